"""Forward and backward of each net of the presets, channels_last beside NCHW, in turns, one thread.

    peers/bin/python tests/bench/peers/memory_formats.py [--rounds 9]

Prints a Markdown table of how many times as fast channels_last is: the median of the rounds, with the least and the greatest. Atelier
keeps all weights and images in channels_last.
"""

import argparse
import statistics
import time

import torch

import models

NETS = {
    "dcgan-64, D": (lambda: models.dcgan(64, 100)[1], lambda: torch.rand(32, 3, 64, 64)),
    "dcgan-64, G": (lambda: models.dcgan(64, 100)[0], lambda: torch.randn(32, 100, 1, 1)),
    "vae-64": (lambda: models.Vae(32, 256), lambda: torch.rand(32, 3, 64, 64)),
    "gan-32, D": (lambda: models.plain_gan(32, 64)[1], lambda: torch.rand(32, 3, 32, 32)),
    "gan-32, G": (lambda: models.plain_gan(32, 64)[0], lambda: torch.randn(32, 64)),
    "gan-32 at width 16, D, 8 images": (lambda: models.plain_gan(16, 64)[1], lambda: torch.rand(8, 3, 32, 32)),
}


def trainee(make_net, make_input, memory_format, precision):
    """A function that runs one forward and backward."""
    torch.manual_seed(1)
    net = make_net().to(memory_format=memory_format)
    x = make_input()
    if x.dim() == 4:
        x = x.contiguous(memory_format=memory_format)
    for layer in net.modules():
        if isinstance(layer, models.Base):  # its output has channels last by nature
            layer.register_forward_hook(lambda _, __, out: out.contiguous(memory_format=memory_format))
    more = (torch.randn(len(x), 256),) if isinstance(net, models.Vae) else ()

    def run():
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            out = net(x, *more)
        total = sum(part.float().square().mean() for part in out) if isinstance(out, tuple) else out.float().square().mean()
        total.backward()
    return run


def seconds(run, repeats):
    start = time.perf_counter()
    for _ in range(repeats):
        run()
    return time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    print("| net | fp32 | bf16 |\n|---|---|---|")
    for name, (make_net, make_input) in NETS.items():
        cells = []
        for precision in ("fp32", "bf16"):
            runs = [trainee(make_net, make_input, layout, precision) for layout in (torch.channels_last, torch.contiguous_format)]
            repeats = max(1, round(0.3 / max(seconds(run, 2) / 2 for run in runs)))
            ratios = []
            for _ in range(options.rounds):
                last, first = (seconds(run, repeats) for run in runs)
                ratios.append(first / last)
            cells.append(f"{statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})")
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
