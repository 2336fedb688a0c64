"""A disk that fills up while a run saves: training goes on, older checkpoints stay, and only the last save must succeed.

The run folder lies on a small tmpfs in a mount namespace of this process, so the test starts itself again under unshare.
"""
import os
import shutil
import subprocess

from program import (INSIDE_NAMESPACE, ProgramTest, checkpoints, enter_mount_namespace, main, mount_tmpfs, read_stats,
                     wait_until)

SCHEDULE = {"train__steps": 600, "checkpoint__steps": 120, "monitoring__steps": 1, "picture__steps": 600,
            "quality__steps": 600, "model__width": 16}


class FullDisk(ProgramTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.reference = cls.shared / "reference"
        if INSIDE_NAMESPACE in os.environ:
            cls.must_run(*cls.train_words(cls, "gan", cls.reference, **SCHEDULE))

    def setUp(self):
        super().setUp()
        self.disk = self.folder / "disk"
        self.disk.mkdir()
        if not mount_tmpfs(self.disk, "size=32m"):
            self.skipTest("cannot mount a tmpfs in a namespace of its own")
        self.addCleanup(subprocess.run, ["umount", "-l", str(self.disk)], check=True)
        self.filler = self.disk / "filler"

    def fill(self):
        with open(self.filler, "wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(1 << 16))
            except OSError:
                pass

    def start_and_fill(self, run, ranks):
        """Fills the disk once the first checkpoint is there; returns at the first save that failed."""
        job = self.start_training("gan", run, ranks=ranks, **SCHEDULE)
        wait_until(lambda: checkpoints(run) or not job.running(), "the first checkpoint")
        self.fill()
        wait_until(lambda: "was not saved" in job.read(job.err) or not job.running(), "a failed save")
        return job

    def assert_good(self, run):
        listing = self.run_program("checkpoint", "ls", run)
        self.assertEqual(listing.code, 0, listing)

    def test_training_survives_a_failed_save(self):
        for ranks in (1, 2):
            with self.subTest(ranks=ranks):
                run = self.disk / f"survives-{ranks}"
                job = self.start_and_fill(run, ranks)
                self.filler.unlink()  # at once: a third failure in a row would end the run
                self.assert_good(run)
                result = job.end()
                self.assertEqual(result.code, 0, result)
                self.assertEqual(result.err.count("older ones are untouched"), result.err.count("was not saved"), result)
                self.assert_good(run)
                if ranks == 1:
                    self.assert_same_weights(run, self.reference)
                shutil.rmtree(run)

    def test_a_disk_that_stays_full_ends_the_run_with_74_and_the_run_can_be_resumed(self):
        run = self.disk / "stays"
        job = self.start_and_fill(run, 1)
        saved = [path.name for path in checkpoints(run)]
        result = job.end()
        self.assertEqual(result.code, 74, result)
        self.assertRegex(result.err, "--resume must")
        self.assertEqual(len(result.reports()), 1, result)
        self.assertEqual([path.name for path in checkpoints(run)], saved)
        self.assert_good(run)
        reached = max(read_stats(run), default=0)

        self.filler.unlink()
        self.train("gan", run, resume="must", **SCHEDULE)
        self.assert_same_weights(run, self.reference)
        print(f"the run went on to step {reached} or beyond with {saved[-1]} as its last checkpoint")


if __name__ == "__main__":
    enter_mount_namespace()
    main()
