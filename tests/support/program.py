"""Runs the program `atelier` as its users do: alone or under mpirun, always with a deadline, and never leaving a process behind.

A test file imports this, derives from ProgramTest and ends with main(); it is called as `python FILE ATELIER MPIRUN`.
"""
import ctypes
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

PROGRAM, MPIRUN = sys.argv[1:3] if len(sys.argv) > 2 else (None, None)
FAMILIES = ("ae", "vae", "gan")
WEIGHTS = ("model.safetensors", "ema.safetensors", "optimizer.safetensors")
TINY = {"model.width": 8, "model.latent": 8, "train.batch": 16, "train.steps": 30, "train.deterministic": "true",
        "train.precision": "fp32", "monitoring.port": 0}
PATIENCE_S = 240.0  # of every wait; far more than any of these runs takes on two busy cores

os.environ.update(OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")


PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


def die_with_parent():
    """Runs in the child: a test that CTest kills takes its jobs along; ranks end with their mpirun."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


INSIDE_NAMESPACE = "ATELIER_TEST_INSIDE_NAMESPACE"


def enter_mount_namespace():
    """Starts this test again where it may mount without anybody else seeing it; returns there, and where that cannot be had."""
    if INSIDE_NAMESPACE in os.environ:
        return
    for command in (["unshare", "--mount", "--propagation", "private"], ["unshare", "-Urm"]):
        if shutil.which(command[0]) and subprocess.run([*command, "true"], capture_output=True).returncode == 0:
            os.environ[INSIDE_NAMESPACE] = "1"
            os.execvp(command[0], [*command, sys.executable, *sys.argv])


def mount_tmpfs(folder, options):
    """Whether it worked."""
    return INSIDE_NAMESPACE in os.environ and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True).returncode == 0


def settings(values):
    return [word for key, value in values.items() for word in ("--set", f"{key}={value}")]


def under_mpirun(*groups):
    """Each group is (ranks, command); several groups make one job of different commands."""
    command = [MPIRUN, "--oversubscribe", "--bind-to", "none"]
    for number, (ranks, words) in enumerate(groups):
        command += ([":"] if number else []) + ["-n", str(ranks), *words]
    return command


class Result:
    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err

    def __str__(self):
        return f"exit code {self.code}\nstdout:\n{self.out}\nstderr:\n{self.err}"

    def reports(self):
        """What the program says when it fails: a line of level E, or the last word of a rank under mpirun."""
        return [line for line in self.err.splitlines()
                if re.match(r"[0-9:.]+ (\[\d+\] )?E |atelier: ", line)]


class Job:
    """A running command with a session of its own, so that all its processes can be found again."""

    def __init__(self, command):
        self.out = tempfile.TemporaryFile("w+")
        self.err = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen([str(word) for word in command], stdout=self.out, stderr=self.err,
                                        stdin=subprocess.DEVNULL, start_new_session=True, preexec_fn=die_with_parent)

    @property
    def pid(self):
        return self.process.pid

    def read(self, file):
        return os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0).decode(errors="replace")

    def running(self):
        return self.process.poll() is None

    def members(self):
        """Pids of the session, zombies left out. mpirun gives each rank a process group, but no session, of its own."""
        found = []
        for entry in pathlib.Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[3]) == self.pid and fields[0] != "Z":
                found.append(int(entry.name))
        return found

    def kill(self):
        """SIGKILL to everything at once, as when the power fails; returns when all is gone."""
        deadline = time.monotonic() + PATIENCE_S
        while (alive := self.members()) and time.monotonic() < deadline:
            for pid in alive:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            self.process.poll()
            time.sleep(0.01)
        self.process.wait(PATIENCE_S)

    def close(self):
        self.kill()
        self.out.close()
        self.err.close()

    def signal(self, number):
        self.process.send_signal(number)

    def end(self, limit_s=PATIENCE_S):
        try:
            code = self.process.wait(limit_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"no end within {limit_s} s: {self.read(self.err)}") from None
        self.kill()  # what a broken job left behind
        return Result(code, self.read(self.out), self.read(self.err))


def wait_until(condition, what, limit_s=PATIENCE_S):
    """The first true value of `condition()`."""
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.005)
    raise AssertionError(f"waited {limit_s} s for {what}")


def read_json(path):
    return json.loads(pathlib.Path(path).read_text())


def read_stats(run):
    """{step: line} of the highest attempt of each step; a line torn by a kill is left out."""
    steps = {}
    path = pathlib.Path(run) / "stats.jsonl"
    for text in path.read_text().splitlines() if path.exists() else []:
        try:
            line = json.loads(text)
        except ValueError:
            continue
        if line["step"] not in steps or line["attempt"] >= steps[line["step"]]["attempt"]:
            steps[line["step"]] = line
    return steps


def losses(line):
    return {name: value for name, value in line.items() if name.startswith("atelier_loss")}


def checkpoints(run):
    """Published checkpoint folders, oldest first."""
    return sorted((pathlib.Path(run) / "checkpoints").glob("step-*"))


def weights(run):
    newest = checkpoints(run)[-1]
    return newest.name, {name: (newest / name).read_bytes() for name in WEIGHTS}


def tree(folder):
    """{relative path: bytes} of every file."""
    folder = pathlib.Path(folder)
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def flip_byte(path, offset):
    with open(path, "r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 0x40]))


class ProgramTest(unittest.TestCase):
    """Has one tiny dataset per class in `data` and an empty folder per test in `folder`."""

    @classmethod
    def setUpClass(cls):
        cls.shared = pathlib.Path(tempfile.mkdtemp(prefix="atelier-"))
        cls.addClassCleanup(shutil.rmtree, cls.shared)
        cls.data = cls.make_data(cls.shared / "data")

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(dir=self.shared))
        self.jobs = []
        self.addCleanup(lambda: [job.close() for job in self.jobs])

    @staticmethod
    def must_run(*words):
        """For what a test class needs before its first test."""
        job = Job([PROGRAM, *words])
        result = job.end()
        job.close()
        if result.code != 0:
            raise AssertionError(str(result))

    @classmethod
    def make_data(cls, path, *more):
        cls.must_run("data", "make", "shapes", "--out", path, "--train", 400, "--test", 40, "--height", 16, "--width", 16,
                     *more)
        return path

    def start(self, *words, ranks=1):
        command = [PROGRAM, *words]
        return self.start_command(under_mpirun((ranks, command)) if ranks > 1 else command)

    def start_command(self, command):
        job = Job(command)
        self.jobs.append(job)
        return job

    def run_program(self, *words, ranks=1):
        return self.start(*words, ranks=ranks).end()

    def train_words(self, family, run, resume=None, **more):
        """Keys in `more` have '__' for '.': train__steps=30."""
        values = TINY | {key.replace("__", "."): value for key, value in more.items()}
        return ["train", f"{family}-32", "--data", self.data, "--run", run, *settings(values),
                *(["--resume", resume] if resume else [])]

    def start_training(self, family, run, ranks=1, **more):
        return self.start(*self.train_words(family, run, **more), ranks=ranks)

    def train(self, family, run, ranks=1, code=0, **more):
        """Waits for its end; `resume="must"` goes on."""
        result = self.start_training(family, run, ranks=ranks, **more).end()
        self.assertEqual(result.code, code, result)
        return result

    def assert_same_weights(self, one, other):
        (step, left), (other_step, right) = weights(one), weights(other)
        self.assertEqual(step, other_step)
        for name in WEIGHTS:
            self.assertTrue(left[name] == right[name], f"{name} of {step} differs between {one.name} and {other.name}")


def main():
    unittest.main(argv=sys.argv[:1] + sys.argv[3:], verbosity=2)
