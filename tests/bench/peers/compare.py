"""Atelier's training step beside PyTorch's on the same weights and bytes, runs taking turns.

    python3 -m venv peers && peers/bin/pip install -r tests/bench/peers/requirements.txt
    peers/bin/python tests/bench/peers/compare.py build/release/atelier [--rounds 5] [--only dcgan-best ...] [--json FILE]

The losses of ten steps must agree before anything is timed; they are taken at a tenth of the learning rate, since Adam's first steps,
whose size hardly depends on the gradient's, turn round-off into differences that PyTorch shows between two layouts of its own. Prints a Markdown table: medians, and the ratio of each pair of
runs with its 95 % interval (bootstrap of the median).
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
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Case:
    """One row: what we run, what the peer runs, and the bar."""
    name: str
    about: str
    preset: str
    batch: int
    model: str
    style: str
    width: int
    latent: int
    learning_rate: float
    bar: float
    sets: tuple = ()
    gamma: float = 0.0
    ranks: int = 2


CASES = (
    Case("dcgan-plain", "DCGAN-64, batch 32 per rank; DDP as people write it", "dcgan-64", 32, "dcgan", "plain", 64, 100, 2e-4, 2.0),
    Case("dcgan-best", "the same, local batch norm; best DDP", "dcgan-64", 32, "dcgan", "best", 64, 100, 2e-4, 1.05,
         ("train.batch_norm=local",)),
    Case("vae-best", "conv VAE 64x64, batch 32 per rank; best DDP", "vae-64", 32, "vae", "best", 32, 256, 1e-3, 1.05),
    Case("gan-small", "GAN 32x32, width 16, batch 8 per rank; best DDP", "gan-32", 8, "gan", "best", 16, 64, 1.5e-3, 1.3,
         ("model.width=16", "objective.gamma=0.0")),
    Case("gan-r1", "GAN 32x32 with R1 and R2, batch 32 per rank; best hand-written loop", "gan-32", 32, "gan", "best", 32, 64,
         1.5e-3, 1.15, (), 2.0),
)


# What our program tells the allocator too: blocks that are freed stay with the process.
KEEP_FREED_MEMORY = "glibc.malloc.mmap_threshold=1073741824:glibc.malloc.trim_threshold=2147483647"
VERIFYING = 0.1  # of the learning rate, where losses are compared


def sets(case, precision, rate):
    settings = [*case.sets, f"train.precision={precision}", "optimizer.warmup_images=0",
                f"optimizer.learning_rate={rate * case.learning_rate}"]
    if rate != 1 and case.model == "dcgan":
        settings.append("train.batch_norm=local")  # as the peer's
    return [word for setting in settings for word in ("--set", setting)]


def ours(program, case, precision, steps, inputs=None, rate=1.0):
    command = ["mpirun", "-n", str(case.ranks), "--bind-to", "none", program, "bench", "step", "--preset", case.preset,
               "--batch-per-rank", str(case.batch), "--steps", str(steps), "--json", *sets(case, precision, rate)]
    if inputs:
        command += ["--inputs", str(inputs)]
    environment = {**os.environ, "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{case.name}: {' '.join(command)}\n{done.stderr}")
    return json.loads(done.stdout)


def peer(case, precision, steps, inputs, rate=1.0):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, str(HERE / "ddp_step.py"), "--model", case.model, "--style", case.style, "--precision", precision,
               "--inputs", str(inputs), "--width", str(case.width), "--latent", str(case.latent), "--gamma", str(case.gamma),
               "--learning-rate", str(rate * case.learning_rate), "--steps", str(steps)]
    ranks = []
    for rank in range(case.ranks):
        environment = {**os.environ, "RANK": str(rank), "WORLD_SIZE": str(case.ranks), "MASTER_ADDR": "127.0.0.1",
                       "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
        if case.style == "best":
            environment["GLIBC_TUNABLES"] = KEEP_FREED_MEMORY
        ranks.append(subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
    results = [rank.communicate(timeout=600) for rank in ranks]
    if any(rank.returncode for rank in ranks):
        raise SystemExit(f"{case.name}: the peer failed\n" + "\n".join(error for _, error in results))
    return json.loads(results[0][0].splitlines()[-1])


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


def compare(program, case, rounds, steps, folder):
    precision = "fp32" if case.style == "plain" else "bf16"
    inputs = folder / case.name
    tolerance = {"fp32": 1e-3, "bf16": 2e-2}[precision]
    apart = disagreement(ours(program, case, precision, 1, inputs, VERIFYING), peer(case, precision, 1, inputs, VERIFYING))
    timed = "auto" if case.style == "plain" else precision
    pairs = [(ours(program, case, timed, steps), peer(case, precision, steps, inputs)) for _ in range(rounds)]
    ratios = [a["images_per_second"] / b["images_per_second"] for a, b in pairs]
    low, high = interval(ratios)
    return {"case": case.name, "about": case.about, "losses_apart": apart, "losses_agree": apart <= tolerance,
            "images_per_second": statistics.median(a["images_per_second"] for a, _ in pairs),
            "peer_images_per_second": statistics.median(b["images_per_second"] for _, b in pairs),
            "ratio": statistics.median(ratios), "interval": [low, high], "bar": case.bar,
            "peak_memory_bytes": max(a["peak_memory_bytes"] for a, _ in pairs),
            "peer_peak_memory_bytes": max(b["peak_memory_bytes"] for _, b in pairs)}


def row(result):
    memory = result["peak_memory_bytes"] / result["peer_peak_memory_bytes"]
    return (f"| {result['about']} | {result['losses_apart']:.1e}{'' if result['losses_agree'] else ' (too far)'} "
            f"| {result['images_per_second']:.0f} | {result['peer_images_per_second']:.0f} "
            f"| {result['ratio']:.2f} ({result['interval'][0]:.2f}-{result['interval'][1]:.2f}) | {result['bar']} | {memory:.2f} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("program")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--only", nargs="*", default=[case.name for case in CASES])
    parser.add_argument("--json", help="file for the results")
    options = parser.parse_args()
    results = []
    with tempfile.TemporaryDirectory() as name:
        print("| work and peer | losses apart | ours, images/s | peer | ratio (95 %) | bar | memory |\n|---|---|---|---|---|---|---|")
        for case in CASES:
            if case.name in options.only:
                results.append(compare(options.program, case, options.rounds, options.steps, Path(name)))
                print(row(results[-1]), flush=True)
    if options.json:
        Path(options.json).write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
