"""Atelier's step beside PyTorch's on this machine's GPUs: tests/bench/peers/compare.py within a budget of seconds."""

import json

import process

MOST_S = 240.0
COMPILE_MORE_S = 600.0
SLACK_S = 150.0  # the round that has begun when the budget ends


def not_run(reason):
    return {"state": "not run", "reason": reason, "rows": []}


def run(bundle, torch, environment, folder, budget_s, with_compile):
    """`environment`: that of the programs; the peers bring their own libraries, so nothing of it may name a folder of ours first."""
    if not torch.python:
        return not_run(f"no Python that imports the PyTorch in {torch.folder} was found, and the peers are Python programs")
    file = folder / "benchmarks.json"
    command = [torch.python, bundle / "peers/compare.py", bundle / "bin/atelier", "--device", "cuda", "--mpirun", bundle / "bin/mpirun",
               "--rounds", "5", "--budget", f"{budget_s:.0f}", "--json", file, *(["--compile"] if with_compile else [])]
    ended = process.run(command, environment, budget_s + SLACK_S)
    rows = json.loads(file.read_text()) if file.is_file() else []
    result = {"state": "run", "seconds": round(ended.seconds, 1), "budget_s": round(budget_s), "rows": rows}
    wrong = [row["case"] for row in rows if "failure" in row or row.get("losses_agree") is False]
    if ended.timed_out:
        return {**result, "state": "failed", "reason": f"no end within {budget_s + SLACK_S:.0f} s", "output": ended.output[-4000:]}
    if wrong or ended.code != 0:
        return {**result, "state": "failed", "reason": f"failed, or losses that differ: {', '.join(wrong) or 'before the first case'}",
                "output": ended.err[-4000:]}
    return result
