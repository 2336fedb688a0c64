"""Trainings on real GPUs, two ranks: killed and stopped ones are noticed within their deadline, by name, and the run goes on afterwards."""
import json
import os
import signal
import time
import unittest

from program import PROGRAM, Job, ProgramTest, main, read_json, read_stats, wait_until

ANSWER_S = 5   # from a deadline to the end of the job
PATIENCE_S = 4
START_S = 100  # until steps are told of: CUDA and NCCL start, kernels are loaded


def gpus():
    """How many answer; raises SkipTest with the reason when none does."""
    job = Job([PROGRAM, "doctor", "--json"])
    told = job.end()
    job.close()
    gpu = json.loads(told.out)["facts"][0]["gpu"]
    if gpu["devices"] == 0:
        raise unittest.SkipTest(gpu["fault"])
    return gpu["devices"]


class LostRanks(ProgramTest):
    @classmethod
    def setUpClass(cls):
        cls.sharing = ["--share-gpu"] if gpus() < 2 else []
        super().setUpClass()

    def start_on_gpus(self, run, resume=None, **more):
        patience = {"comm__patience_seconds": PATIENCE_S, "comm__slow_patience_seconds": 2 * PATIENCE_S}
        more = {"train__steps": 100000, "checkpoint__steps": 20, "monitoring__steps": 1} | patience | more
        return self.start("--backend", "nccl", *self.sharing, *self.train_words("gan", run, resume=resume, **more), ranks=2)

    def wait_for_steps(self, job, run, steps):
        def reached():
            self.assertTrue(job.running(), job.read(job.err))
            return max(read_stats(run), default=0) >= steps
        wait_until(reached, f"step {steps}", START_S)

    def strike(self, run, number):
        """The end of a job whose second rank got the signal, and the seconds until then."""
        job = self.start_on_gpus(run)
        self.wait_for_steps(job, run, 30)
        ranks = sorted(set(job.members()) - {job.pid})
        self.assertEqual(len(ranks), 2)
        os.kill(ranks[-1], number)
        start = time.monotonic()
        return job.end(60), time.monotonic() - start

    def test_a_stopped_rank_is_named(self):
        run = self.folder / "stopped"
        done, seconds = self.strike(run, signal.SIGSTOP)
        self.assertEqual(done.code, 76, done)
        self.assertRegex(done.err, "It waits for rank 1: rank 1 does not answer|waited .* for rank 1")
        self.assertNotRegex(done.err, "terminate called|[Ss]egmentation|defect", done)
        self.assertLess(seconds, 2 * PATIENCE_S + ANSWER_S)
        self.assertIn("rank 1", self.run_program("health", run).out)

    def test_a_killed_rank_ends_the_job_and_the_run_goes_on(self):
        run = self.folder / "killed"
        done, seconds = self.strike(run, signal.SIGKILL)
        self.assertIn(done.code, (76, 137), done)
        self.assertLess(seconds, 2 * PATIENCE_S + ANSWER_S)
        reached = max(read_stats(run))

        done = self.start_on_gpus(run, resume="must", train__steps=reached + 10).end()
        self.assertEqual(done.code, 0, done)
        self.assertIn("Resumed from step", done.err)
        self.assertEqual(read_json(run / "outcome.json")["status"], "finished")


if __name__ == "__main__":
    main()
