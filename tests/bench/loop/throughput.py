"""Images per second of every preset, on 1 rank x 2 threads and on 2 ranks x 1 thread, in fp32 and with precision auto.

    python3 tests/bench/loop/throughput.py build/release/atelier [--rounds 3] [--seconds 8]

Renders its own data, trains each combination for about so many seconds, rounds interleaved, and prints a Markdown table of medians.
A run counts only when it ended well and its loss is finite.
"""

import argparse
import json
import math
import statistics
import subprocess
import tempfile
from pathlib import Path

from jobs import command, environment

PRESETS = ("ae-32", "vae-32", "gan-32", "ae-64", "vae-64", "gan-64", "dcgan-64")
LAYOUTS = ((1, 2), (2, 1))
PRECISIONS = ("fp32", "auto")


def train(program, folder, preset, layout, precision, steps):
    """One short run; returns its outcome."""
    ranks, threads = layout
    run = Path(tempfile.mkdtemp(dir=folder)) / "run"
    data = folder / ("data-" + preset.split("-")[1])
    arguments = ["train", preset, "--data", str(data), "--run", str(run)]
    for key, value in (("train.steps", steps), ("train.threads", threads), ("train.precision", precision),
                       ("quality.samples", 16), ("monitoring.port", 0)):
        arguments += ["--set", f"{key}={value}"]
    done = subprocess.run(command(program, ranks, arguments), env=environment(), capture_output=True, text=True,
                          timeout=600, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{preset} on {ranks} ranks failed:\n{done.stderr}")
    last = json.loads((run / "stats.jsonl").read_text().splitlines()[-1])
    if not all(v is not None and math.isfinite(v) for k, v in last.items() if k.startswith("atelier_loss")):
        raise SystemExit(f"{preset}: a loss is not finite")
    return json.loads((run / "outcome.json").read_text())


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("program")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--presets", nargs="*", default=PRESETS, choices=PRESETS)
    options = parser.parse_args()
    program = str(Path(options.program).resolve())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for side in sorted({preset.split("-")[1] for preset in options.presets}):
            subprocess.run([program, "data", "make", "shapes", "--out", str(folder / f"data-{side}"), "--height", side,
                            "--width", side, "--train", "4000", "--test", "100"], check=True, stderr=subprocess.DEVNULL)
        cases = [(p, l, c) for p in options.presets for l in LAYOUTS for c in PRECISIONS]
        steps = {}
        for case in cases:
            trial = train(program, folder, *case, 30)
            steps[case] = max(30, round(options.seconds * trial["images_per_second"] / 64))
        speeds = {case: [] for case in cases}
        chosen = {}
        for _ in range(options.rounds):
            for case in cases:
                outcome = train(program, folder, *case, steps[case])
                speeds[case].append(outcome["images_per_second"])
                chosen[case] = outcome["precision"]
        print("| preset | " + " | ".join(f"{r} x {t}, {c}" for r, t in LAYOUTS for c in PRECISIONS) + " |")
        print("|---|" + "---|" * (len(LAYOUTS) * len(PRECISIONS)))
        for preset in options.presets:
            cells = []
            for layout in LAYOUTS:
                for precision in PRECISIONS:
                    case = (preset, layout, precision)
                    note = f" ({chosen[case]})" if precision == "auto" else ""
                    cells.append(f"{statistics.median(speeds[case]):,.0f}{note}")
            print(f"| {preset} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
