"""Whole trainings on made-up GPUs: with sums by NcclComm alone the bytes of the MPI backend; computed there too, its numbers.
And named failures."""
import json
import os
import signal
import time

from program import FAMILIES, ProgramTest, losses, main, read_stats, wait_until

ANSWER_S = 5  # from a deadline to the end of the job
STEPS = 12
IN_TRAINING = 60  # a call of NCCL's that is later than those of the self-test at the start
PATIENCE = {"comm__patience_seconds": 2, "comm__slow_patience_seconds": 2}  # in steps and while saving


class FakeGpu(ProgramTest):
    """The program under test is `atelier_fake_gpu`."""

    def start_on(self, backend, family, run, ranks, faults="", options=(), **more):
        os.environ["ATELIER_FAKE_GPU"] = faults
        more = {"train__steps": STEPS, "checkpoint__steps": STEPS, "monitoring__steps": 1} | more
        words = self.train_words(family, run, **more)
        return self.start("--backend", backend, *options, *words, ranks=ranks)

    def test_trainings_give_the_bytes_of_the_host_backend(self):
        for family, ranks in zip(FAMILIES, (2, 3, 4)):
            with self.subTest(family=family, ranks=ranks):
                runs = {backend: self.folder / f"{family}-{backend}" for backend in ("mpi", "nccl")}
                for backend, run in runs.items():
                    overlap = {"optimizer__overlap": "on", "optimizer__bucket_bytes": 4096} if backend == "nccl" else {}
                    done = self.start_on(backend, family, run, ranks, "delay_us=50", **overlap).end()
                    self.assertEqual(done.code, 0, done)
                self.assert_same_weights(*runs.values())
                first, second = (read_stats(run) for run in runs.values())
                self.assertEqual({step: losses(line) for step, line in first.items()},
                                 {step: losses(line) for step, line in second.items()})

    DEVICE = "memory=own,delay_us=20"  # the host cannot touch it: LibTorch computes there
    LAG = 2  # steps until a device's numbers are seen

    def test_a_device_computes_what_a_host_computes(self):
        for family, ranks in zip(FAMILIES, (2, 3, 2)):
            with self.subTest(family=family, ranks=ranks):
                seen = {}
                for backend in ("mpi", "nccl"):
                    run = self.folder / f"{family}-{backend}"
                    done = self.start_on(backend, family, run, ranks, self.DEVICE, train__precision="fp64",
                                         device__report_steps=1).end()
                    self.assertEqual(done.code, 0, done)
                    seen[backend] = read_stats(run)
                for step in range(1 + self.LAG, STEPS):
                    self.assert_close(seen["nccl"][step], seen["mpi"][step - self.LAG])
                self.assert_close(seen["nccl"][STEPS], seen["mpi"][STEPS])  # the end waits for its own

    def assert_close(self, found, expected):
        found, expected = losses(found), losses(expected)
        self.assertEqual(found.keys(), expected.keys())
        for name, value in expected.items():
            self.assertAlmostEqual(found[name], value, delta=1e-4 * max(1, abs(value)), msg=name)

    def test_a_device_goes_on_where_it_was_asked_to_stop(self):
        whole, stopped = self.folder / "whole", self.folder / "stopped"
        more = {"train__steps": 60, "checkpoint__steps": 60}
        done = self.start_on("nccl", "gan", whole, 2, self.DEVICE, **more).end()
        self.assertEqual(done.code, 0, done)
        job = self.start_on("nccl", "gan", stopped, 2, self.DEVICE, **more)
        wait_until(lambda: len(read_stats(stopped)) > 5, "some steps")
        os.kill(job.pid, signal.SIGUSR2)
        self.assertEqual(job.end().code, 75)
        done = self.start_on("nccl", "gan", stopped, 2, self.DEVICE, resume="must", **more).end()
        self.assertEqual(done.code, 0, done)
        self.assert_same_weights(whole, stopped)

    def test_a_device_repeats_recorded_steps_with_the_same_bytes(self):
        told = "Steps are repeated from recordings, which agree: "
        for family, ranks in zip(FAMILIES, (2, 3, 2)):
            with self.subTest(family=family, ranks=ranks):
                runs = {graphs: self.folder / f"{family}-{graphs}" for graphs in ("off", "on")}
                for graphs, run in runs.items():
                    done = self.start_on("nccl", family, run, ranks, self.DEVICE, device__graphs=graphs, train__steps=20).end()
                    self.assertEqual(done.code, 0, done)
                    self.assertEqual((run / "log.txt").read_text().count(told), int(graphs == "on"), done)
                self.assert_same_weights(*runs.values())
                first, second = (read_stats(run) for run in runs.values())
                self.assertEqual({step: losses(line) for step, line in first.items()},
                                 {step: losses(line) for step, line in second.items()})

    def test_a_device_without_room_says_what_to_change(self):
        done = self.start_on("nccl", "vae", self.folder / "run", 2, self.DEVICE + ",1:bytes=2500000").end()
        self.assertEqual(done.code, 70, done)
        self.assertRegex(done.err, r"The device of rank 1 is out of memory at step \d+: the made-up device has 2500000 bytes")
        self.assertIn("raise train.accumulation (1), lower train.batch", done.err)

    def assert_lost(self, done, *parts):
        self.assertEqual(done.code, 76, done)
        for part in parts:
            self.assertRegex(done.err, part)
        self.assertNotRegex(done.err, "terminate called|[Ss]egmentation|defect", done)

    def test_the_doctor_tells_which_way_the_sums_went(self):
        os.environ["ATELIER_FAKE_GPU"] = ""
        done = self.run_program("--backend", "nccl", "doctor", "--json", ranks=2)
        found = [each["found"] for each in json.loads(done.out)["findings"] if each["topic"] == "NCCL"]
        self.assertEqual(found, ["moves data directly from device to device (P2P/made-up)"], done)

    def test_two_ranks_on_one_gpu_are_refused(self):
        done = self.start_on("nccl", "ae", self.folder / "run", 2, "bus=one").end()
        self.assertEqual(done.code, 78, done)
        self.assertIn("Ranks 0 and 1 would share the GPU", done.err)
        self.assertFalse((self.folder / "run").exists())

    def test_two_ranks_share_a_gpu_when_told_to(self):
        done = self.start_on("nccl", "ae", self.folder / "run", 2, "bus=one", options=["--share-gpu"]).end()
        self.assertEqual(done.code, 0, done)

    def test_another_nccl_than_the_one_built_for_is_refused(self):
        done = self.start_on("nccl", "ae", self.folder / "run", 2, "1:nccl=22105").end()
        self.assertEqual(done.code, 70, done)
        self.assertIn("NCCL 2.21.5 is loaded", done.err)

    def test_an_error_that_nccl_meets_ends_the_job_by_name(self):
        done = self.start_on("nccl", "gan", self.folder / "run", 2, f"1:async_error={IN_TRAINING}", train__steps=1000).end()
        self.assert_lost(done, r'all_reduce\(sum, float32 x \d+, "gradients of [DG], bucket \d+"\), call \d+',
                         "a made-up socket was closed|a peer has aborted")

    def test_a_device_that_stands_still_ends_the_job_by_its_deadline(self):
        start = time.monotonic()
        done = self.start_on("nccl", "vae", self.folder / "run", 2, f"1:stall={IN_TRAINING}", train__steps=1000, **PATIENCE).end()
        self.assert_lost(done, "waited 2", "gradients of")
        self.assertLess(time.monotonic() - start, 2 + ANSWER_S + 5)  # and the start

    def test_an_abort_that_hangs_cannot_keep_the_job(self):
        start = time.monotonic()
        done = self.start_on("nccl", "ae", self.folder / "run", 2, f"abort=hangs,1:stall={IN_TRAINING}",
                             train__steps=1000, **PATIENCE).end()
        self.assert_lost(done, "ncclCommAbort did not come back either")
        self.assertLess(time.monotonic() - start, 2 + ANSWER_S + 5)  # and the start

    def check_signal(self, number, faults="", **more):
        run = self.folder / f"run-{number}"
        job = self.start_on("nccl", "gan", run, 3, faults, train__steps=100000, **PATIENCE | more)
        wait_until(lambda: len(read_stats(run)) > 5, "some steps")
        ranks = sorted(set(job.members()) - {job.pid})
        os.kill(ranks[-1], number)
        start = time.monotonic()
        done = job.end()
        self.assertLess(time.monotonic() - start, 2 + ANSWER_S)
        return done

    def test_a_stopped_rank_is_named(self):
        self.assert_lost(self.check_signal(signal.SIGSTOP), "It waits for rank 2: rank 2 does not answer|waited .* for rank 2")

    def test_a_rank_that_is_stopped_between_recorded_steps_is_named(self):
        done = self.check_signal(signal.SIGSTOP, self.DEVICE, device__graphs="on")
        self.assert_lost(done, r'replay\(\d+ recorded calls, "recorded step"\)|flags of the step|rank 2')

    def test_a_killed_rank_ends_the_job(self):
        self.assertIn(self.check_signal(signal.SIGKILL).code, (76, 137))


if __name__ == "__main__":
    main()
