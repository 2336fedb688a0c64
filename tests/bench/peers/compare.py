"""Atelier's training step beside PyTorch's on the same weights and bytes, runs taking turns.

    python3 -m venv peers && peers/bin/pip install -r tests/bench/peers/requirements.txt
    peers/bin/python tests/bench/peers/compare.py build/release/atelier [--rounds 5] [--only dcgan-best ...] [--json FILE]

On GPUs: --device cuda [--ranks N]; one rank a GPU. --compile adds the tuned peers through torch.compile, --budget ends the rounds by
the clock. The losses of ten steps must agree before anything is timed; they are taken at a tenth of the learning rate, since Adam's
first steps, whose size hardly depends on the gradient's, turn round-off into differences that PyTorch shows between two layouts of its
own. Prints a Markdown table: medians, and the ratio of each pair of runs with its 95 % interval (bootstrap of the median).
"""

import argparse
import json
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cases

HERE = Path(__file__).resolve().parent

# What our program tells the allocator too: blocks that are freed stay with the process.
KEEP_FREED_MEMORY = "glibc.malloc.mmap_threshold=1073741824:glibc.malloc.trim_threshold=2147483647"
VERIFYING = 0.1  # of the learning rate, where losses are compared
TOLERANCE = {"fp32": 1e-3, "bf16": 2e-2}
LIMIT_S = 600  # of a run
GPU_LIMIT_S = 120  # of one without torch.compile on a GPU


class RunFailed(Exception):
    pass


def last_lines(text, count=4):
    return "\n".join(text.strip().splitlines()[-count:])


class Comparison:
    """One case: is it verified, then pairs of runs."""

    def __init__(self, case, options, folder):
        self.case, self.options = case, options
        self.inputs = folder / case.name
        self.limit_s = GPU_LIMIT_S if options.device == "cuda" and not case.compile else LIMIT_S
        self.apart = None
        self.pairs = []
        self.failure = None

    def sets(self, precision, rate):
        settings = [*self.case.sets, f"train.precision={precision}", "optimizer.warmup_images=0",
                    f"optimizer.learning_rate={rate * self.case.learning_rate}"]
        if rate != 1 and self.case.model == "dcgan":
            settings.append("train.batch_norm=local")  # as the peer's
        return [word for setting in dict.fromkeys(settings) for word in ("--set", setting)]

    def ours(self, precision, steps, rate=1.0):
        backend = ["--backend", "nccl"] if self.options.device == "cuda" else []
        command = [self.options.mpirun, "-n", str(self.options.ranks), "--bind-to", "none", self.options.program, *backend, "bench",
                   "step", "--preset", self.case.preset, "--batch-per-rank", str(self.case.batch), "--steps", str(steps), "--json",
                   *self.sets(precision, rate), *(["--inputs", str(self.inputs)] if rate != 1 else [])]
        environment = {**os.environ, "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
        try:
            done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=self.limit_s, check=False)
        except subprocess.TimeoutExpired:
            raise RunFailed(f"no end within {self.limit_s} s: {' '.join(command)}") from None
        if done.returncode != 0:
            raise RunFailed(f"exit code {done.returncode}: {' '.join(command)}\n{done.stderr}")
        told = json.loads(done.stdout)
        if refusal := told.get("graphs", {}).get("refusal"):
            raise RunFailed(f"no CUDA graphs: {refusal}")
        return told

    def peer_command(self, steps, rate):
        case, options = self.case, self.options
        return [sys.executable, str(HERE / "ddp_step.py"), "--model", case.model, "--style", case.style,
                "--precision", case.precision, "--inputs", str(self.inputs), "--width", str(case.width),
                "--latent", str(case.latent), "--gamma", str(case.gamma), "--learning-rate", str(rate * case.learning_rate),
                "--steps", str(steps), "--device", options.device, "--warmup", str(options.warmup if rate == 1 else 0),
                *(["--tf32"] if options.tf32 else []), *(["--compile", case.compile] if case.compile else [])]

    def peer(self, steps, rate=1.0):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        ranks = []
        for rank in range(self.options.ranks):
            environment = {**os.environ, "RANK": str(rank), "WORLD_SIZE": str(self.options.ranks), "MASTER_ADDR": "127.0.0.1",
                           "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
            if self.case.style == "best" and self.options.device == "cpu":
                environment["GLIBC_TUNABLES"] = KEEP_FREED_MEMORY
            ranks.append(subprocess.Popen(self.peer_command(steps, rate), env=environment, stdout=subprocess.PIPE,
                                          stderr=subprocess.PIPE, text=True))
        try:
            results = [rank.communicate(timeout=self.limit_s) for rank in ranks]
        except subprocess.TimeoutExpired:
            raise RunFailed(f"the peer had no end within {self.limit_s} s") from None
        finally:
            for rank in ranks:
                rank.kill()
        if any(rank.returncode for rank in ranks):
            raise RunFailed("the peer failed:\n" + "\n".join(last_lines(error) for _, error in results))
        return json.loads(results[0][0].splitlines()[-1])

    def verify(self):
        self.apart = disagreement(self.ours(self.case.precision, 1, VERIFYING), self.peer(1, VERIFYING))

    def round(self):
        timed = self.case.timed or ("auto" if self.case.style == "plain" else self.case.precision)
        self.pairs.append((self.ours(timed, self.options.steps), self.peer(self.options.steps)))

    def advance(self):
        """One more round, the check before the first; a failure ends the case, not the others."""
        if self.failure:
            return
        try:
            if self.apart is None:
                self.verify()
            self.round()
        except (RunFailed, ValueError, KeyError) as error:
            self.failure = f"{self.case.name}: {error}"
            print(self.failure, file=sys.stderr, flush=True)

    def result(self):
        told = {"case": self.case.name, "about": self.case.about, "bar": self.case.bar, "rounds": len(self.pairs)}
        if self.failure:
            told["failure"] = self.failure
        if not self.pairs:
            return told
        ratios = [a["images_per_second"] / b["images_per_second"] for a, b in self.pairs]
        memory = "peak_device_memory_bytes" if all("peak_device_memory_bytes" in run for pair in self.pairs for run in pair) \
            else "peak_memory_bytes"
        return {**told, "losses_apart": self.apart, "losses_agree": self.apart <= TOLERANCE[self.case.precision],
                "images_per_second": statistics.median(a["images_per_second"] for a, _ in self.pairs),
                "peer_images_per_second": statistics.median(b["images_per_second"] for _, b in self.pairs),
                "ratio": statistics.median(ratios), "interval": list(interval(ratios)), "memory": memory,
                memory: max(a[memory] for a, _ in self.pairs), f"peer_{memory}": max(b[memory] for _, b in self.pairs)}


def disagreement(mine, other):
    """Largest difference of a loss over the steps both have, relative above 1 and absolute below."""
    worst = 0.0
    for a, b in zip(mine["losses"], other["losses"]):
        for name in a.keys() & b.keys():
            worst = max(worst, abs(a[name] - b[name]) / max(1.0, abs(a[name])))
    return worst


def interval(ratios, draws=2000):
    """Of the median, by bootstrap."""
    rng = random.Random(1)
    medians = sorted(statistics.median(rng.choices(ratios, k=len(ratios))) for _ in range(draws))
    return medians[int(0.025 * draws)], medians[int(0.975 * draws)]


def row(result):
    if "ratio" not in result:
        return f"| {result['about']} | {'failed' if 'failure' in result else 'not run: no time left'} | | | | {result['bar']} | |"
    memory = result[result["memory"]] / result[f"peer_{result['memory']}"]
    return (f"| {result['about']} | {result['losses_apart']:.1e}{'' if result['losses_agree'] else ' (too far)'} "
            f"| {result['images_per_second']:.0f} | {result['peer_images_per_second']:.0f} "
            f"| {result['ratio']:.2f} ({result['interval'][0]:.2f}-{result['interval'][1]:.2f}) | {result['bar']} | {memory:.2f} |")


def options_of_command_line():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("program")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, help="that are timed in a run; 30, on GPUs 300")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--ranks", type=int, help="2, on GPUs 1")
    parser.add_argument("--mpirun", default="mpirun")
    parser.add_argument("--tf32", action="store_true", help="the peer's float32 products may be rounded to TF32")
    parser.add_argument("--compile", action="store_true", help="also beside the tuned peers through torch.compile: minutes more")
    parser.add_argument("--budget", type=float, default=float("inf"), help="seconds after which no round is begun")
    parser.add_argument("--only", nargs="*", help="names of cases")
    parser.add_argument("--json", help="file for the results")
    options = parser.parse_args()
    on_gpu = options.device == "cuda"
    options.steps = options.steps or (300 if on_gpu else 30)
    options.ranks = options.ranks or (1 if on_gpu else 2)
    options.warmup = 50 if on_gpu else 0
    return options


def write(file, comparisons):
    Path(file).write_text(json.dumps([comparison.result() for comparison in comparisons], indent=1) + "\n")


def main():
    options = options_of_command_line()
    end = time.monotonic() + options.budget
    with tempfile.TemporaryDirectory() as name:
        comparisons = [Comparison(case, options, Path(name)) for case in cases.of(options.device, options.compile)
                       if options.only is None or case.name in options.only]
        for _ in range(options.rounds):
            for comparison in comparisons:
                if time.monotonic() < end:
                    comparison.advance()
                    if options.json:  # whoever ends this program early keeps what there is
                        write(options.json, comparisons)
    results = [comparison.result() for comparison in comparisons]
    precisions = sorted({comparison.case.best for comparison in comparisons})
    print(f"The best peers compute in {' and '.join(precisions)}.\n")
    print("| work and peer | losses apart | ours, images/s | peer | ratio (95 %) | bar | memory |\n|---|---|---|---|---|---|---|")
    print("\n".join(map(row, results)))
    sys.exit(1 if any("failure" in result for result in results) else 0)


if __name__ == "__main__":
    main()
