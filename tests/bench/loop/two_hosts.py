"""What a slow wire costs, and what summing gradients during the backward saves: two ranks on two hosts of our own making.

    sudo python3 tests/bench/loop/two_hosts.py build/release/atelier [--preset vae-64] [--rate 1gbit] [--rounds 5]

The hosts are network namespaces of this machine, joined by a pair of virtual interfaces whose rate `tc` limits; mpirun starts
the second rank in the other one, and the ranks have nothing but TCP between them. One thread a rank. Runs take turns; prints a Markdown
table with medians of images per second, and of the ratios of each round to its first run. Needs root, Linux, iproute2.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import tempfile

from jobs import environment

HOSTS = {"atelier-a": "10.231.7.1", "atelier-b": "10.231.7.2"}
NETWORK = "10.231.7.0/24"
PLANS = {
    "after the backward": ("optimizer.overlap=off",),
    "during, pieces of 4 MiB": ("optimizer.overlap=on", "optimizer.bucket_bytes=4194304"),
    "during, pieces as measured": ("optimizer.overlap=on",),
    "auto": (),
}
AGENT = """#!/bin/sh
# What mpirun calls instead of ssh: host, command ...
shift
exec ip netns exec atelier-b unshare --uts sh -c "hostname atelier-b; $*"
"""


def run(*words):
    subprocess.run(words, check=True)


def connect(rate):
    for name in HOSTS:
        run("ip", "netns", "add", name)
    run("ip", "link", "add", "wire-a", "type", "veth", "peer", "name", "wire-b")
    for name, address in HOSTS.items():
        wire = "wire-" + name[-1]
        run("ip", "link", "set", wire, "netns", name)
        run("ip", "-n", name, "addr", "add", address + "/24", "dev", wire)
        run("ip", "-n", name, "link", "set", wire, "up")
        run("ip", "-n", name, "link", "set", "lo", "up")
        run("ip", "netns", "exec", name, "tc", "qdisc", "add", "dev", wire, "root", "tbf", "rate", rate, "burst", "256kb", "latency", "100ms")


def disconnect():
    for name in HOSTS:
        subprocess.run(["ip", "netns", "del", name], check=False, stderr=subprocess.DEVNULL)


def bench(options, agent, plan):
    mpirun = ["mpirun", "--allow-run-as-root", "--host", ",".join(HOSTS.values()), "-n", "2", "--bind-to", "none", "--mca", "plm_rsh_agent",
              agent, "--mca", "btl", "tcp,self", "--mca", "btl_tcp_if_include", NETWORK, "--mca", "oob_tcp_if_include", NETWORK]
    words = [str(pathlib.Path(options.program).resolve()), "bench", "step", "--preset", options.preset, "--batch-per-rank",
             str(options.batch_per_rank), "--threads", "1", "--steps", str(options.steps), "--json", "--set", "train.precision=bf16",
             "--set", "optimizer.wire=" + options.wire]
    for setting in plan:
        words += ["--set", setting]
    done = subprocess.run(["ip", "netns", "exec", "atelier-a", "unshare", "--uts", "sh", "-c", 'hostname atelier-a; exec "$@"', "sh",
                           *mpirun, *words], env=environment(), capture_output=True, text=True, timeout=900, check=False)
    if done.returncode != 0:
        raise SystemExit(done.stderr[-3000:])
    return json.loads(done.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("program")
    parser.add_argument("--preset", default="vae-64")
    parser.add_argument("--batch-per-rank", type=int, default=32)
    parser.add_argument("--steps", type=int, default=15)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rate", default="1gbit")
    parser.add_argument("--wire", default="full")
    options = parser.parse_args()
    results = {name: [] for name in PLANS}
    disconnect()
    with tempfile.TemporaryDirectory() as folder:
        agent = pathlib.Path(folder) / "agent"
        agent.write_text(AGENT)
        agent.chmod(0o755)
        try:
            connect(options.rate)
            for _ in range(options.rounds):
                for name, plan in PLANS.items():
                    results[name].append(bench(options, str(agent), plan))
        finally:
            disconnect()
    first = [result["images_per_second"] for result in results["after the backward"]]
    print(f"{options.preset}, {options.batch_per_rank} images per rank, two hosts, {options.rate}, "
          f"{results['auto'][0]['reduced_bytes'] / 1e6:.1f} MB of gradients a step\n\n"
          "| gradients are summed | pieces | images/s | ratio |\n|---|---|---|---|")
    for name, runs in results.items():
        speeds = [result["images_per_second"] for result in runs]
        ratios = [speed / base for speed, base in zip(speeds, first)]
        plans = sorted({f"{'during' if result['buckets']['overlap'] else 'after'} {result['buckets']['bytes'] / 2**20:g} MiB"
                        for result in runs})
        print(f"| {name} | {', '.join(plans)} | {statistics.median(speeds):.0f} | {statistics.median(ratios):.2f} "
              f"({min(ratios):.2f}-{max(ratios):.2f}) |")


if __name__ == "__main__":
    main()
