"""Two ranks with one thread each beside one rank with two threads, the same global batch, runs taking turns.

    python3 tests/bench/loop/layouts.py build/release/atelier [--rounds 5] [--presets dcgan-64 ...] [--batch 64] [--precision fp32]

Prints a Markdown table: medians of images per second, and of the ratio of each pair of runs with its least and greatest.
"""

import argparse
import json
import statistics
import subprocess

from jobs import command, environment

PRESETS = ("dcgan-64", "vae-64", "gan-32")


def images_per_second(options, preset, ranks):
    words = ["bench", "step", "--preset", preset, "--batch-per-rank", str(options.batch // ranks), "--threads", str(2 // ranks), "--steps",
             str(options.steps), "--json", "--set", f"train.precision={options.precision}"]
    done = subprocess.run(command(options.program, ranks, words), env=environment(), capture_output=True, text=True, timeout=600, check=False)
    if done.returncode != 0:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout)["images_per_second"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("program")
    parser.add_argument("--presets", nargs="*", default=PRESETS)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=15)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--precision", choices=("bf16", "fp32"), default="bf16")
    options = parser.parse_args()
    print(f"| preset, {options.batch} images a step | 2 ranks x 1 thread, images/s | 1 rank x 2 threads | ratio |\n|---|---|---|---|")
    for preset in options.presets:
        pairs = [(images_per_second(options, preset, 2), images_per_second(options, preset, 1)) for _ in range(options.rounds)]
        ratios = [two / one for two, one in pairs]
        print(f"| {preset} | {statistics.median(two for two, _ in pairs):.0f} | {statistics.median(one for _, one in pairs):.0f} "
              f"| {statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f}) |", flush=True)


if __name__ == "__main__":
    main()
