"""Trainings on real GPUs, two ranks: a run that was stopped and resumed ends with the bytes of one that was not."""
import os
import signal

from gpu_training import GpuTraining
from program import main

STEPS = 60
STOPPED_AFTER = 20


class Resume(GpuTraining):
    def test_a_stopped_run_ends_with_the_weights_of_a_whole_one(self):
        for graphs in ("off", "on"):
            with self.subTest(graphs=graphs):
                self.check(graphs)

    def check(self, graphs):
        more = {"train__steps": STEPS, "checkpoint__steps": STEPS, "train__deterministic": "true", "train__precision": "fp32",
                "device__graphs": graphs}
        whole, stopped = self.folder / f"whole-{graphs}", self.folder / f"stopped-{graphs}"
        done = self.start_on_gpus(whole, **more).end()
        self.assertEqual(done.code, 0, done)
        told = (whole / "log.txt").read_text()
        self.assertEqual(told.count("Steps are repeated from recordings"), int(graphs == "on"), told)

        job = self.start_on_gpus(stopped, **more)
        self.wait_for_steps(job, stopped, STOPPED_AFTER)
        os.kill(job.pid, signal.SIGUSR2)
        self.assertEqual(job.end().code, 75)
        done = self.start_on_gpus(stopped, resume="must", **more).end()
        self.assertEqual(done.code, 0, done)
        self.assert_same_weights(whole, stopped)


if __name__ == "__main__":
    main()
