"""The check itself, inside an unpacked bundle: finds LibTorch, runs tests and benchmarks, writes result.json and page.html."""

import json
import os
import pathlib
import sys
import time

import benchmarks
import gpu_tests
import libtorch
import machine
import manifest
import page
from refusal import FAILED_TO_WRITE, Refusal

ALL_S = 570.0         # of tests and benchmarks together, also when tests hang
LEAST_BENCH_S = 60.0
LEAST_TEST_S = 5.0    # less is not worth a start


def say(text):
    print(text, flush=True)


def new_folder(path):
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise Refusal(f"'{path}' exists already. Name another folder with --out DIR.", FAILED_TO_WRITE)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Refusal(f"Cannot create '{path}': {error.strerror}. Name another folder with --out DIR.", FAILED_TO_WRITE) from None
    return path


def environment_of(found):
    """Of our programs: started through bin/, they set what else they need, so that nothing of it reaches Python."""
    kept = {name: value for name, value in os.environ.items()
            if not name.startswith(("OMPI_", "OPAL_", "PMIX_", "NCCL_", "ATELIER_")) and name != "LD_LIBRARY_PATH"}
    # Ranks share cores as they like; mpirun wants to hear that being root, as in a container, is meant.
    return {**kept, "ATELIER_LIBTORCH": ":".join(map(str, found.libraries)), "PYTHONDONTWRITEBYTECODE": "1",
            "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "OMPI_MCA_rmaps_base_oversubscribe": "1"}


def run_tests(content, bundle, environment, out, budget_s):
    """Each test has its own limit, and all together the budget."""
    folder = out / "googletest"
    folder.mkdir()
    end = time.monotonic() + budget_s
    results = []
    for test in content["tests"]:
        left_s = end - time.monotonic()
        if left_s < LEAST_TEST_S:
            results.append(gpu_tests.out_of_time(test, budget_s))
        else:
            places = {"bundle": bundle, "python": sys.executable}
            results.append(gpu_tests.run_one({**test, "limit_s": min(test["limit_s"], left_s)}, places, environment, folder))
        result = results[-1]
        say(f"{result['state']:>9}  {result['name']}  {result['seconds']:.1f} s" + (f": {result['reason']}" if "reason" in result else ""))
    return results


def verdict(tests, bench, asked):
    """(exit code, one sentence). A skipped test is never one that passed."""
    counts = {state: sum(test["state"] == state for test in tests) for state in ("passed", "failed", "timed out", "skipped")}
    told = ", ".join(f"{count} {state}" for state, count in counts.items() if count) or "none run"
    sentence = f"tests: {told}" if asked != "benchmarks" else "tests: not asked for"
    if asked != "tests":
        sentence += f"; benchmarks: {bench['state']}"
    if counts["failed"] or counts["timed out"] or bench["state"] == "failed":
        return 1, sentence
    if counts["skipped"] or (not tests and asked != "benchmarks") or (asked == "benchmarks" and bench["state"] != "run"):
        return 78, sentence
    return 0, sentence


class Check:
    def __init__(self, bundle, options):
        self.bundle, self.options = bundle, options
        self.begin = time.monotonic()
        self.content = manifest.read(bundle)
        self.out = new_folder(pathlib.Path(options.out).resolve())
        self.result = {"version": 1, "commit": self.content["commit"], "started": time.strftime("%Y-%m-%d %H:%M:%S %z"),
                       "machine": machine.about(), "torch": None, "doctor": None, "tests": [],
                       "benchmarks": benchmarks.not_run("not asked for")}

    def passed_s(self):
        return time.monotonic() - self.begin

    def find_torch(self):
        machine.require(self.content)
        found = libtorch.find(self.options.torch, self.content["torch"], self.content["libraries_of_torch"])
        self.result["torch"] = {"folder": str(found.folder), "version": found.version, "cuda": found.cuda, "python": found.python}
        say(f"LibTorch {found.version}, CUDA {found.cuda or 'of unknown version'}: {found.folder}")
        return found

    def run(self):
        """Returns the exit code."""
        asked = self.options.only
        try:
            found = self.find_torch()
        except Refusal as refusal:
            say(f"gpu_check: {refusal}")
            self.result["tests"] = [gpu_tests.skipped(test, str(refusal)) for test in self.content["tests"]]
            self.result["benchmarks"] = benchmarks.not_run(str(refusal))
        else:
            environment = environment_of(found)
            self.result["doctor"] = machine.examined(self.bundle, environment)
            if asked != "benchmarks":
                later_s = 0 if asked == "tests" else LEAST_BENCH_S + benchmarks.SLACK_S
                self.result["tests"] = run_tests(self.content, self.bundle, environment, self.out, ALL_S - self.passed_s() - later_s)
            if asked != "tests":
                self.result["benchmarks"] = self.compare(found, environment)
        return self.finish(asked)

    def compare(self, found, environment):
        facts = self.result["doctor"].get("facts", [{}])[0].get("gpu", {})
        if not facts.get("devices"):
            return benchmarks.not_run(f"no GPU answers: {facts.get('fault') or self.result['doctor'].get('failure', 'unknown')}")
        if not self.options.compile:
            budget_s = max(LEAST_BENCH_S, min(benchmarks.MOST_S, ALL_S - self.passed_s() - benchmarks.SLACK_S))
        else:
            budget_s = benchmarks.MOST_S + benchmarks.COMPILE_MORE_S
        say(f"beside PyTorch, about {budget_s:.0f} s")
        return benchmarks.run(self.bundle, found, environment, self.out, budget_s, self.options.compile)

    def finish(self, asked):
        code, sentence = verdict(self.result["tests"], self.result["benchmarks"], asked)
        self.result.update(seconds=round(self.passed_s(), 1), exit_code=code, verdict=sentence)
        (self.out / "result.json").write_text(json.dumps(self.result, indent=1) + "\n")
        (self.out / "page.html").write_text(page.page(self.result), encoding="utf-8")
        say(f"{sentence}\n{self.out / 'page.html'} and result.json; exit code {code}")
        return code
