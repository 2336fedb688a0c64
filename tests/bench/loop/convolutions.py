"""Where a training step's time goes: convolutions by kind and rate, everything else, and what a large convolution reaches here.

    python3 tests/bench/loop/convolutions.py build/release/atelier [--preset dcgan-64] [--batch-per-rank 32] [--ranks 2]

oneDNN reports each primitive with its shape and time (ONEDNN_VERBOSE=1). The peak is the best rate of the convolutions of a second,
wider run of the same preset (width 256, where channels fill the processor's matrix units). Prints a Markdown table.
"""

import argparse
import json
import re
import subprocess
from collections import defaultdict

from jobs import command, environment

WARM_UP = 12  # steps before the timed ones, and a margin; their primitives are left out
SHAPE = re.compile(r"mb(\d+)_ic(\d+)oc(\d+)_ih\d+oh(\d+)kh(\d+)\S*_iw\d+ow(\d+)kw(\d+)")


def run(options, width=None, steps=10):
    words = ["bench", "step", "--preset", options.preset, "--batch-per-rank", str(options.batch_per_rank), "--steps", str(steps), "--json",
             "--set", "train.precision=bf16", "--set", "optimizer.overlap=off"]  # no steps but those that are counted
    words += ["--set", f"model.width={width}"] if width else []
    done = subprocess.run(command(options.program, options.ranks, words), env={**environment(), "ONEDNN_VERBOSE": "1"},
                          capture_output=True, text=True, timeout=900, check=False)
    if done.returncode != 0:
        raise SystemExit(done.stderr[-2000:])
    lines = done.stdout.splitlines()
    begin = lines.index("{")
    report = json.loads("\n".join(line for line in lines[begin:] if not line.startswith("onednn_verbose")))
    return report, [line for line in lines if line.startswith("onednn_verbose")]


def primitives(lines):
    """(kind, operations, milliseconds) of each executed primitive."""
    found = []
    for line in lines:
        fields = line.split(",")
        if "exec" not in fields:
            continue
        at = fields.index("exec")
        kind, direction = fields[at + 2], fields[at + 4]
        shape = SHAPE.search(line)
        operations = 0
        if kind in ("convolution", "deconvolution") and shape:
            images, ins, outs, height, kernel_h, width, kernel_w = map(int, shape.groups())
            operations = 2 * images * ins * outs * height * width * kernel_h * kernel_w
        found.append((f"{kind} {direction}", operations, float(fields[-1])))
    return found


def rates(found):
    return [operations / (1e6 * milliseconds) for _, operations, milliseconds in found if operations > 1e8 and milliseconds > 0]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("program")
    parser.add_argument("--preset", default="dcgan-64")
    parser.add_argument("--batch-per-rank", type=int, default=32)
    parser.add_argument("--ranks", type=int, default=2)
    options = parser.parse_args()
    report, lines = run(options)
    found = primitives(lines)
    steps = 20 * options.ranks  # ten whose losses are told, ten that are timed, on every rank
    _, wide = run(options, width=256, steps=2)
    peak = max(rates(primitives(wide)) + rates(found))
    step = report["step_milliseconds"]["median"]
    by_kind = defaultdict(lambda: [0, 0.0])
    for kind, operations, milliseconds in found:
        by_kind[kind][0] += operations / steps
        by_kind[kind][1] += milliseconds / steps
    print(f"{options.preset}, {options.ranks} rank(s), a step takes {step:.0f} ms; the best convolution reaches {peak:.0f} GFLOP/s\n\n"
          "| what | ms per step and rank | share of the step | GFLOP/s |\n|---|---|---|---|")
    inside = 0.0
    for kind, (operations, milliseconds) in sorted(by_kind.items(), key=lambda item: -item[1][1]):
        if milliseconds > 0.005 * step:
            rate = f"{operations / (1e6 * milliseconds):.0f}" if operations else ""
            print(f"| {kind} | {milliseconds:.1f} | {milliseconds / step:.2f} | {rate} |")
        inside += milliseconds
    operations = sum(value[0] for value in by_kind.values())
    print(f"| all else | {step - inside:.1f} | {1 - inside / step:.2f} | |")
    print(f"\nConvolutions of the whole step: {operations / 1e9:.1f} GFLOP, {operations / (1e6 * step):.0f} GFLOP/s, "
          f"{operations / (1e6 * step) / peak:.2f} of the peak.")


if __name__ == "__main__":
    main()
