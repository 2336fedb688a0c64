"""Atelier's all_reduce beside gloo's, two ranks, runs taking turns.

    peers/bin/python tests/bench/peers/gloo_sums.py build/release/atelier [--rounds 5]

Beside MPI_Allreduce it is measured by all_reduce_bench (tests/bench/comm), in one process. Prints a Markdown table of medians.
"""

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import time

SIZES = (64 << 10, 1 << 20, 32 << 20)
CALLS = {64 << 10: 300, 1 << 20: 100, 32 << 20: 15}


def worker():
    import torch
    import torch.distributed as dist

    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    medians = {}
    for size in SIZES:
        values = torch.full((size // 4,), float(dist.get_rank() + 1))
        dist.all_reduce(values)
        assert bool((values == 3).all())
        values.zero_()
        times = []
        for _ in range(CALLS[size]):
            start = time.perf_counter()
            dist.all_reduce(values)
            times.append(1e6 * (time.perf_counter() - start))
        medians[size] = statistics.median(times)
    if dist.get_rank() == 0:
        print(json.dumps(medians), flush=True)
    dist.destroy_process_group()


def gloo():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    ranks = [subprocess.Popen([sys.executable, __file__, "--worker"], stdout=subprocess.PIPE, text=True,
                              env={**os.environ, "RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1",
                                   "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}) for rank in range(2)]
    told = [rank.communicate(timeout=300)[0] for rank in ranks]
    return {int(size): micros for size, micros in json.loads(told[0].splitlines()[-1]).items()}


def ours(program):
    environment = {**os.environ, "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    done = subprocess.run(["mpirun", "-n", "2", "--bind-to", "none", program, "bench", "comm", "--json"], env=environment,
                          capture_output=True, text=True, check=True)
    return {row["bytes"]: (row["microseconds"]["median"], row["allocated_microseconds"]["median"])
            for row in json.loads(done.stdout)["all_reduce"]}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("program")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    pairs = [(ours(options.program), gloo()) for _ in range(options.rounds)]
    print("| bytes | ours, any memory, µs | ours, from allocate, µs | gloo, µs | gloo / ours, any memory | gloo / ours, from allocate |\n"
          "|---|---|---|---|---|---|")
    for size in SIZES:
        any_memory, allocated = (statistics.median(mine[size][i] for mine, _ in pairs) for i in range(2))
        other = statistics.median(theirs[size] for _, theirs in pairs)
        to_any, to_allocated = (statistics.median(theirs[size] / mine[size][i] for mine, theirs in pairs) for i in range(2))
        print(f"| {size} | {any_memory:.1f} | {allocated:.1f} | {other:.0f} | {to_any:.1f} | {to_allocated:.1f} |")


if __name__ == "__main__":
    worker() if "--worker" in sys.argv else main()
