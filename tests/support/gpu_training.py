"""Trainings of two ranks on real GPUs, as the tests of label `gpu` start them; skipped with the reason where none answers."""
import json
import unittest

from program import PROGRAM, Job, ProgramTest, read_stats, wait_until

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


class GpuTraining(ProgramTest):
    @classmethod
    def setUpClass(cls):
        cls.sharing = ["--share-gpu"] if gpus() < 2 else []
        super().setUpClass()

    def start_on_gpus(self, run, resume=None, **more):
        more = {"monitoring__steps": 1} | more
        return self.start("--backend", "nccl", *self.sharing, *self.train_words("gan", run, resume=resume, **more), ranks=2)

    def wait_for_steps(self, job, run, steps):
        def reached():
            self.assertTrue(job.running(), job.read(job.err))
            return max(read_stats(run), default=0) >= steps
        wait_until(reached, f"step {steps}", START_S)
