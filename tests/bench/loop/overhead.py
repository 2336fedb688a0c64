"""What watching a run costs: processor time of the exporter's and the watchdog's threads, and the loop's time for metrics.

    python3 tests/bench/loop/overhead.py build/release/atelier [--preset gan-32] [--seconds 30] [--scrape 1]

Trains on two ranks, scrapes both once a second, and compares the threads' nanoseconds (/proc/.../schedstat) and the phase `metrics` of
the loop, which holds the one small sum over ranks of a step, with the wall time of the steps.
"""

import argparse
import pathlib
import re
import subprocess
import tempfile
import time
import urllib.request

from jobs import command, environment

WATCHERS = ("civetweb", "atelier-watch")


def ranks_of(job):
    """Pids of the job's ranks."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and int((entry / "stat").read_text().rpartition(")")[2].split()[1]) == job.pid:
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def watching_seconds(pid):
    """Processor time of each kind of watching thread so far."""
    spent = dict.fromkeys(WATCHERS, 0.0)
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        name = (task / "comm").read_text().strip()
        for kind in WATCHERS:
            if name.startswith(kind):
                spent[kind] += int((task / "schedstat").read_text().split()[0]) / 1e9
    return spent


def scrape(target):
    with urllib.request.urlopen(f"http://{target}/metrics", timeout=5) as answer:
        return answer.read().decode()


def sample(text, pattern):
    return sum(float(value) for value in re.findall(pattern + r" (\S+)", text, re.M))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("program")
    parser.add_argument("--preset", default="gan-32")
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--scrape", type=float, default=1, help="seconds between two scrapes")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        side = options.preset.split("-")[1]
        subprocess.run([options.program, "data", "make", "shapes", "--out", f"{name}/data", "--height", side, "--width", side, "--train",
                        "4000", "--test", "100"], check=True, stderr=subprocess.DEVNULL)
        words = ["train", options.preset, "--data", f"{name}/data", "--run", f"{name}/run", "--set", "train.steps=1000000",
                 "--set", f"monitoring.discovery_dir={name}/targets", "--set", "quality.steps=1000000"]
        job = subprocess.Popen(command(options.program, 2, words), env=environment(), stderr=subprocess.DEVNULL)
        try:
            measure(options, job, pathlib.Path(name) / "targets")
        finally:
            job.terminate()
            job.wait()


def measure(options, job, folder):
    targets = []
    while len(targets) < 2:
        time.sleep(0.2)
        targets = [target for file in folder.glob("*.json") for target in re.findall(r'"([\d.]+:\d+)"', file.read_text())]
    time.sleep(5)  # past the start
    pids = ranks_of(job)
    before = [scrape(target) for target in targets]
    threads = [watching_seconds(pid) for pid in pids]
    end = time.monotonic() + options.seconds
    while time.monotonic() < end:
        after = [scrape(target) for target in targets]
        time.sleep(options.scrape)
    spent = [watching_seconds(pid) for pid in pids]
    loop = sum(sample(b, r"^atelier_step_phase_seconds_total\{.*\}") - sample(a, r"^atelier_step_phase_seconds_total\{.*\}")
               for a, b in zip(before, after))
    metrics = sum(sample(b, r'^atelier_step_phase_seconds_total\{.*phase="metrics".*\}') -
                  sample(a, r'^atelier_step_phase_seconds_total\{.*phase="metrics".*\}') for a, b in zip(before, after))
    print(f"{options.preset}, 2 ranks, {loop / 2:.0f} s of training, a scrape every {options.scrape:g} s of each rank\n"
          "| what | share of the loop's time |\n|---|---|")
    for kind in WATCHERS:
        share = sum(b[kind] - a[kind] for a, b in zip(threads, spent)) / loop
        print(f"| threads {kind} | {100 * share:.3f} % |")
    print(f"| the loop's phase metrics, with its sum over ranks | {100 * metrics / loop:.2f} % |")


if __name__ == "__main__":
    main()
