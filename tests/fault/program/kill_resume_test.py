"""Killed at random moments or asked to stop, then resumed: the run ends with the bytes of an undisturbed one."""
import json
import os
import random
import signal
import time

from program import FAMILIES, ProgramTest, losses, main, read_json, read_stats, wait_until, weights

STEPS = 120
STOP_STEPS = 400  # enough for a signal to arrive in time
SCHEDULE = {"train__steps": STEPS, "checkpoint__steps": 10, "monitoring__steps": 1, "picture__steps": STEPS}
KILLS = 2


class KillAndResume(ProgramTest):
    def undisturbed(self, family, ranks, schedule):
        run = self.folder / f"{family}-{ranks}-undisturbed"
        self.train(family, run, ranks=ranks, **schedule)
        return run

    def assert_same_ending(self, run, reference):
        self.assert_same_weights(run, reference)
        found, expected = read_stats(run), read_stats(reference)
        self.assertEqual(sorted(found), sorted(expected))
        for step, line in expected.items():
            self.assertEqual(losses(found[step]), losses(line), step)
        self.assertEqual(read_json(run / "outcome.json")["status"], "finished")
        self.assertEqual([path.name for path in (run / "checkpoints").iterdir() if path.name.startswith(".")], [])

    def assert_counters_never_go_back(self, run):
        """Over all attempts, in the order of writing: steps repeated after a kill (none, if it came right after a save) count once more."""
        lines = [json.loads(line) for line in (run / "stats.jsonl").read_text().splitlines()]
        for name in ("atelier_optimizer_steps_total{rank=0}", "atelier_samples_total{rank=0}", "atelier_restarts_total"):
            counted = [line[name] for line in lines]
            self.assertEqual(counted, sorted(counted), name)
        steps = [line["atelier_optimizer_steps_total{rank=0}"] for line in lines]
        self.assertGreaterEqual(steps[-1], STEPS)
        self.assertEqual(len(set(steps)), len(steps))
        self.assertEqual(lines[-1]["atelier_restarts_total"], KILLS)

    def wait_for_step(self, job, run, step, attempt):
        """Until the attempt wrote a record of the step; fails when the job ends before."""
        def reached():
            self.assertTrue(job.running(), job.read(job.err))
            return any(line["attempt"] == attempt and number >= step for number, line in read_stats(run).items())
        wait_until(reached, f"step {step}")

    def kill(self, job, ranks):
        """Everything at once, or one rank alone, of which mpirun tells with 128 + 9."""
        rank_pids = sorted(set(job.members()) - {job.pid})
        if ranks > 1 and rank_pids and random.random() < 0.5:
            os.kill(random.choice(rank_pids), signal.SIGKILL)
            self.assertEqual(job.end().code, 137)
        else:
            job.kill()

    def check_kills(self, family, ranks):
        reference = self.undisturbed(family, ranks, SCHEDULE)
        run = self.folder / f"{family}-{ranks}-killed"
        seed = random.SystemRandom().getrandbits(32)
        random.seed(seed)
        moments = sorted(random.sample(range(11, STEPS - 15), KILLS))
        with self.subTest(family=family, ranks=ranks, seed=seed, moments=moments):
            for attempt, moment in enumerate(moments, start=1):
                job = self.start_training(family, run, ranks=ranks, resume="must" if attempt > 1 else None, **SCHEDULE)
                self.wait_for_step(job, run, moment, attempt)
                time.sleep(random.random() * 0.02)
                self.kill(job, ranks)
            self.assertLess(read_stats(run).keys(), read_stats(reference).keys(), "it was killed before its end")
            result = self.train(family, run, ranks=ranks, resume="must", **SCHEDULE)
            self.assertIn("Resumed from step", result.err)
            self.assert_same_ending(run, reference)
            self.assert_counters_never_go_back(run)

    def test_kills_on_one_rank(self):
        for family in FAMILIES:
            self.check_kills(family, 1)

    def test_kills_on_two_ranks(self):
        for family in FAMILIES:
            self.check_kills(family, 2)

    def check_stop(self, family, ranks, number, **settings):
        schedule = SCHEDULE | {"train__steps": STOP_STEPS, "checkpoint__steps": STOP_STEPS} | settings
        reference = self.undisturbed(family, ranks, schedule)
        run = self.folder / f"{family}-{ranks}-{number.name}"
        job = self.start_training(family, run, ranks=ranks, **schedule)
        self.wait_for_step(job, run, 7, 1)
        job.signal(number)
        result = job.end()
        with self.subTest(family=family, ranks=ranks, signal=number.name):
            self.assertEqual(result.code, 75, result)
            self.assertIn("--resume must", result.err)
            step, _ = weights(run)
            self.assertEqual(step, "step-{:010d}".format(max(read_stats(run))))
            self.assertEqual(read_json(run / "outcome.json")["status"], "stopped")
            self.train(family, run, ranks=ranks, resume="must", **schedule)
            self.assert_same_ending(run, reference)

    def test_a_stopped_rank_is_named_also_while_saving(self):
        run = self.folder / "stopped"
        job = self.start_training("ae", run, ranks=2, comm__patience_seconds=2, comm__slow_patience_seconds=2,
                                  train__steps=100000, checkpoint__steps=1, monitoring__steps=1)
        self.wait_for_step(job, run, 3, 1)
        os.kill(sorted(set(job.members()) - {job.pid})[1], signal.SIGSTOP)
        result = job.end()
        self.assertEqual(result.code, 76, result)
        self.assertRegex(result.err, "waited .* for rank 1")
        told = self.run_program("health", run).out
        self.assertRegex(told, r"failed at step \d+ of 100000\nrank 0: .*waited .* for rank 1")
        self.assertRegex(told, r"\nrank 1: (in|left) \w+\(.*\), call \d+.*, at \w+ since ")
        self.assertRegex(told, r"\n(Waited for: rank 1, in|All ranks have entered) ")

    def test_after_a_kill_the_files_tell_where_the_ranks_were(self):
        run = self.folder / "lost"
        job = self.start_training("ae", run, ranks=2, train__steps=100000, monitoring__steps=1)
        self.wait_for_step(job, run, 3, 1)
        os.kill(sorted(set(job.members()) - {job.pid})[1], signal.SIGKILL)
        self.assertEqual(job.end().code, 137)
        told = self.run_program("health", run)
        self.assertEqual(told.code, 0, told)
        self.assertRegex(told.out, r"ended without a word\nrank 0: .*call \d+.*\nrank 1: .*call \d+.*\n")

    def test_a_job_that_stood_still_goes_on(self):
        run = self.folder / "paused"
        job = self.start_training("ae", run, ranks=2, comm__patience_seconds=2, train__steps=STOP_STEPS,
                                  monitoring__steps=1, checkpoint__steps=STOP_STEPS)
        self.wait_for_step(job, run, 3, 1)
        ranks = sorted(set(job.members()) - {job.pid})
        for number in (signal.SIGSTOP, signal.SIGCONT):
            for pid in ranks:
                os.kill(pid, number)
            time.sleep(4 if number == signal.SIGSTOP else 0)
        self.assertEqual(job.end().code, 0)

    def test_usr2_to_mpirun_saves_and_ends_with_75(self):
        self.check_stop("gan", 2, signal.SIGUSR2, train__accumulation=2)

    def test_every_stop_signal_to_one_process_saves_and_ends_with_75(self):
        for family, number in zip(FAMILIES, (signal.SIGUSR2, signal.SIGTERM, signal.SIGINT)):
            self.check_stop(family, 1, number)


if __name__ == "__main__":
    main()
