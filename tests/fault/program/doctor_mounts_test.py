"""`atelier doctor` on mounts that a job would stumble over: a small /dev/shm, a read-only disk, a full one.

They are mounted in a namespace of this process, so the test starts itself again under unshare.
"""
import json
import subprocess

from program import ProgramTest, enter_mount_namespace, main, mount_tmpfs


class Mounts(ProgramTest):
    def mount(self, folder, options):
        if not mount_tmpfs(folder, options):
            self.skipTest("cannot mount a tmpfs in a namespace of its own")
        self.addCleanup(subprocess.run, ["umount", "-l", str(folder)], check=True)

    def empty_folder(self):
        folder = self.folder / "disk"
        folder.mkdir()
        return folder

    def finding(self, topic, *words, ranks=1, code=0):
        done = self.run_program("doctor", *words, "--json", ranks=ranks)
        self.assertEqual(done.code, code, done)
        found, = [finding for finding in json.loads(done.out)["findings"] if finding["topic"] == topic]
        return found

    def test_a_small_dev_shm_is_told_alone_and_under_mpirun(self):
        self.mount("/dev/shm", "size=24m")
        for ranks in (1, 2):
            with self.subTest(ranks=ranks):
                shared = self.finding("/dev/shm", ranks=ranks)
                self.assertEqual(shared["status"], "warning")
                self.assertRegex(shared["found"], "of 24.0 MiB; gradients of 2 ranks may not fit")
                self.assertIn("--shm-size", shared["advice"])

    def test_a_dev_shm_in_which_no_job_could_start_is_told_without_mpirun(self):
        self.mount("/dev/shm", "size=4m")
        shared = self.finding("/dev/shm")
        self.assertEqual(shared["found"], "4.0 MiB free of 4.0 MiB; a job of 2 ranks needs 14.0 MiB to start")

    def test_a_job_that_cannot_start_there_says_why(self):
        run = self.folder / "run"
        self.mount("/dev/shm", "size=5m")
        done = self.start_training("ae", run, ranks=2).end()
        self.assertEqual(done.code, 78, done)
        self.assertRegex(done.err, r"ranks of a host share 6.0 MiB of memory, but /dev/shm has [\d.]+ [KM]iB free. Make it larger")
        self.assertFalse(run.exists())

    def test_a_read_only_disk_is_a_problem_for_runs_only(self):
        disk = self.empty_folder()
        self.mount(disk, "size=4m")
        (disk / "images").write_bytes(b"x")
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        self.assertEqual(self.finding("data folder", "--data", disk)["status"], "ok")
        for ranks in (1, 2):
            with self.subTest(ranks=ranks):
                run = self.finding("run folder", "--run", disk / "run", ranks=ranks, code=78)
                self.assertEqual(run["status"], "problem")
                self.assertIn("Read-only", run["found"])

    def test_a_full_disk_is_a_problem_and_gets_no_trial_file(self):
        disk = self.empty_folder()
        self.mount(disk, "size=32m")
        run = self.finding("run folder", "--run", disk, code=78)
        self.assertEqual(run["status"], "problem")
        self.assertRegex(run["found"], "on tmpfs, 32.0 MiB free; in memory.*; little room$")
        self.assertEqual(list(disk.iterdir()), [])


if __name__ == "__main__":
    enter_mount_namespace()
    main()
