"""Stops or kills one rank of a running job at random moments, again and again: is it named each time, and how soon is all over?

    PYTHONPATH=tests/support python tests/fault/program/lost_ranks_soak.py build/release/atelier mpirun [--tries 50]

No test of every day: 50 tries of each take about ten minutes. Prints a line per signal; exit code 1 when a try went wrong.
"""
import os
import random
import re
import signal
import statistics
import sys
import time

from program import ProgramTest, read_stats, wait_until

PATIENCE_SECONDS = 2
GRACE_SECONDS = 5  # from the deadline to the end of the job
RANKS = 2


class LostRanks(ProgramTest):
    def runTest(self):
        raise AssertionError("called by main() below")

    def attempt(self, number, run):
        """Seconds from the signal to the end; raises where the rank was not named or it took too long."""
        job = self.start_training("ae", run, ranks=RANKS, train__steps=1_000_000, monitoring__steps=1, checkpoint__steps=50,
                                  comm__patience_seconds=PATIENCE_SECONDS, comm__slow_patience_seconds=PATIENCE_SECONDS)
        try:
            moment = random.randrange(2, 120)
            wait_until(lambda: not job.running() or any(step >= moment for step in read_stats(run)), f"step {moment}")
            time.sleep(random.random() * 0.05)
            rank = random.randrange(RANKS)
            os.kill(sorted(set(job.members()) - {job.pid})[rank], number)
            start = time.monotonic()
            result = job.end()
            took = time.monotonic() - start
        finally:
            job.close()
        told = self.run_program("health", run).out
        if number == signal.SIGSTOP:
            self.assertEqual(result.code, 76, result)
            self.assertLess(took, PATIENCE_SECONDS + GRACE_SECONDS, result)
            self.assertRegex(result.err, rf"waited .* for rank {rank}\b")
            self.assertRegex(told, rf"(Waited for: rank {rank}, in|All ranks have entered) \w+\(.*\), call \d+\.")
        else:  # mpirun notices at once and ends the others
            self.assertEqual(result.code, 128 + signal.SIGKILL, result)
            self.assertRegex(result.err, rf"(?s)rank {rank} .*signal 9")
        for one in range(RANKS):
            self.assertTrue(re.search(rf"(?m)^rank {one}: .*call \d+", told), told)
        return took


def main():
    tries = int(sys.argv[sys.argv.index("--tries") + 1]) if "--tries" in sys.argv else 50
    wrong = 0
    for number in (signal.SIGSTOP, signal.SIGKILL):
        seconds = []
        for one in range(tries):
            test = LostRanks()
            LostRanks.setUpClass()
            test.setUp()
            try:
                seconds.append(test.attempt(number, test.folder / f"run-{one}"))
            except AssertionError as problem:
                print(f"{number.name}, try {one}: {problem}", file=sys.stderr)
            finally:
                test.doCleanups()
                test.tearDown()
                LostRanks.doClassCleanups()
        wrong += tries - len(seconds)
        took = f"{statistics.median(seconds):.1f} s to the end (longest {max(seconds):.1f} s)" if seconds else ""
        print(f"{number.name}: {len(seconds)} of {tries} named by rank; {took}", flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
