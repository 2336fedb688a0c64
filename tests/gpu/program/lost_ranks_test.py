"""Trainings on real GPUs, two ranks: killed and stopped ones are noticed within their deadline, by name, and the run goes on afterwards."""
import os
import signal
import time

from gpu_training import GpuTraining
from program import main, read_json, read_stats

ANSWER_S = 5   # from a deadline to the end of the job
PATIENCE_S = 4


class LostRanks(GpuTraining):
    def start_impatient(self, run, resume=None, **more):
        patience = {"comm__patience_seconds": PATIENCE_S, "comm__slow_patience_seconds": 2 * PATIENCE_S}
        more = {"train__steps": 100000, "checkpoint__steps": 20} | patience | more
        return self.start_on_gpus(run, resume, **more)

    def strike(self, run, number, **more):
        """The end of a job whose second rank got the signal, and the seconds until then."""
        job = self.start_impatient(run, **more)
        self.wait_for_steps(job, run, 30)
        ranks = sorted(set(job.members()) - {job.pid})
        self.assertEqual(len(ranks), 2)
        os.kill(ranks[-1], number)
        start = time.monotonic()
        return job.end(60), time.monotonic() - start

    def test_a_stopped_rank_is_named(self):
        for graphs in ("off", "on"):
            with self.subTest(graphs=graphs):
                self.check_stopped_rank(self.folder / f"stopped-{graphs}", graphs)

    def check_stopped_rank(self, run, graphs):
        done, seconds = self.strike(run, signal.SIGSTOP, device__graphs=graphs)
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

        done = self.start_impatient(run, resume="must", train__steps=reached + 10).end()
        self.assertEqual(done.code, 0, done)
        self.assertIn("Resumed from step", done.err)
        self.assertEqual(read_json(run / "outcome.json")["status"], "finished")


if __name__ == "__main__":
    main()
