"""Real mpirun jobs that go wrong: exit code, time to the end, and what the user reads.

Usage: comm_faults.py MPIRUN COMM_JOB CASE
"""
import os
import re
import signal
import subprocess
import sys
import tempfile
import time

DEADLINE_S = 2.0  # of each step in comm_job
SLACK_S = 5.0     # DESIGN.md: survivors end within deadline + 5 s


class Job:
    def __init__(self, mpirun, program, ranks, *arguments):
        self.out = tempfile.TemporaryFile("w+")
        self.err = tempfile.TemporaryFile("w+")
        command = [mpirun, "--oversubscribe", "--bind-to", "none", "-n", str(ranks), program, *arguments]
        self.process = subprocess.Popen(command, stdout=self.out, stderr=self.err, start_new_session=True)

    def read(self, file):
        file.seek(0)
        return file.read()

    def pid_of(self, rank, ranks):
        """Waits until every rank works; mpirun hands its ranks' output on in whole lines."""
        for _ in range(300):
            pids = dict(re.findall(r"rank (\d+) pid (\d+)", self.read(self.out)))
            if len(pids) == ranks:
                return int(pids[str(rank)])
            time.sleep(0.1)
        raise AssertionError("the job did not start: " + self.read(self.err))

    def end(self, limit_s):
        """(exit code, seconds until then, standard error); kills the job when it hangs."""
        start = time.monotonic()
        try:
            code = self.process.wait(limit_s)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            raise AssertionError(f"the job did not end within {limit_s} s: {self.read(self.err)}")
        return code, time.monotonic() - start, self.read(self.err)


def expect(condition, *shown):
    if not condition:
        raise AssertionError("\n".join(str(part) for part in shown))


def one_report(error_output, *parts):
    """Exactly one of our reports, holding every part."""
    reports = [line for line in error_output.splitlines() if "atelier:" in line]
    expect(len(reports) == 1, "expected one report, found", reports, error_output)
    for part in parts:
        expect(part in reports[0], f"'{part}' is not in", reports[0])


def orderly_end(start):
    code, _, error_output = start(2, "steps", "50").end(30)
    expect(code == 0 and "atelier:" not in error_output, code, error_output)


def rank_throws(start):
    code, seconds, error_output = start(3, "throw").end(30)
    expect(code == 65 and seconds < 15, code, seconds, error_output)
    one_report(error_output, "rank 1 of 3", "exit code 65", "shard 7 is damaged. Import it again.")


def ranks_differ(start):
    code, _, error_output = start(2, "differ").end(30)
    expect(code == 2, code, error_output)
    one_report(error_output, "rank 1 has train.batch = 32, rank 0 has 64")


def rank_killed(start):
    job = start(2, "forever")
    os.kill(job.pid_of(1, 2), signal.SIGKILL)
    code, seconds, error_output = job.end(30)
    expect(code == 137 and seconds < 10, code, seconds, error_output)


def rank_stopped(start):
    ranks = 3
    job = start(ranks, "forever")
    os.kill(job.pid_of(1, ranks), signal.SIGSTOP)
    code, seconds, error_output = job.end(30)
    expect(code == 76 and seconds < DEADLINE_S + SLACK_S, code, seconds, error_output)
    one_report(error_output, "waited 2.0 s for rank 1", "all_reduce(sum, float32 x 100000, \"gradients\")", "exit code 76")


CASES = {case.__name__: case for case in (orderly_end, rank_throws, ranks_differ, rank_killed, rank_stopped)}

if __name__ == "__main__":
    mpirun, program, name = sys.argv[1:]
    CASES[name](lambda ranks, *arguments: Job(mpirun, program, ranks, *arguments))
    print(f"{name}: passed")
