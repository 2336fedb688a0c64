"""Runs a command to its end or its deadline, and leaves no process behind."""

import os
import pathlib
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass


@dataclass
class Ended:
    code: int
    out: str
    err: str
    seconds: float
    timed_out: bool = False

    @property
    def output(self):
        return self.out + self.err


def session_members(session):
    """Pids of a session, zombies left out; mpirun gives each rank a process group, but no session, of its own."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session and fields[0] != "Z":
            found.append(int(entry.name))
    return found


def end_session(process):
    for _ in range(100):
        alive = session_members(process.pid)
        for pid in alive:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        process.poll()
        if not alive:
            return
        time.sleep(0.05)


def run(command, environment, limit_s):
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        start = time.monotonic()
        process = subprocess.Popen([str(word) for word in command], env=environment, stdin=subprocess.DEVNULL, stdout=out,
                                   stderr=err, start_new_session=True)
        timed_out = False
        try:
            process.wait(limit_s)
        except subprocess.TimeoutExpired:
            timed_out = True
        finally:
            end_session(process)
        code = process.wait()
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode(errors="replace"))
        return Ended(code, *texts, time.monotonic() - start, timed_out)
