"""Trains one preset with several seeds and says what each run reached, so that no figure rests on a lucky start.

    python3 tests/bench/loop/seeds.py build/release/atelier gan-32 --data photos --out out/seeds [--seeds 1 2 3]
                                      [--ranks 2] [--set key=value ...]

Runs that have ended are not trained again and runs that were cut off go on, so the command may be repeated. Prints a Markdown table:
minutes of training, images per second and, of the last step, what the family is judged by: PSNR on all test images beside that of
principal components with as many dimensions, or distances of samples as ratios to those of held-out images.
"""

import argparse
import json
import subprocess
from pathlib import Path

from jobs import command, environment

SAMPLE_RATIOS = {"pairwise": "sample_diversity", "fake to real": "nearest_neighbour_fake_to_real",
                 "real to fake": "nearest_neighbour_real_to_fake"}


def train(program, options, seed):
    """Trains to the end, or finds that this was done before; returns the run's folder and outcome."""
    run = Path(options.out) / f"{options.preset}-seed{seed}"
    outcome = run / "outcome.json"
    if not (outcome.exists() and json.loads(outcome.read_text())["status"] == "finished"):
        arguments = ["train", options.preset, "--data", options.data, "--run", str(run), "--resume", "auto"]
        for value in (f"seed={seed}", "monitoring.port=0", *options.set):
            arguments += ["--set", value]
        subprocess.run(command(program, options.ranks, arguments), env=environment(), check=True)
    return run, json.loads(outcome.read_text())


def reached(program, options, run, outcome):
    """What the run is judged by, as {column: text}."""
    if outcome["family"] == "gan":
        return {name: f"{outcome['indicators'][key]:.3f}" for name, key in SAMPLE_RATIOS.items()}
    done = subprocess.run([program, "reconstruct", str(run), "--data", options.data, "--pca", "--json"],
                          capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    return {"PSNR (dB)": f"{found['psnr_db']:.2f}", f"PCA {found['latent_dims']} (dB)": f"{found['pca_psnr_db']:.2f}"}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("program")
    parser.add_argument("preset")
    parser.add_argument("--data", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--seeds", type=int, nargs="*", default=[1, 2, 3])
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--set", action="append", default=[])
    options = parser.parse_args()
    program = str(Path(options.program).resolve())
    rows = []
    for seed in options.seeds:
        run, outcome = train(program, options, seed)
        rows.append({"seed": str(seed), "steps": f"{outcome['step']:,}",
                     "minutes": f"{outcome['training_seconds'] / 60:.1f}",
                     "images/s": f"{outcome['images_per_second']:,.0f}", "precision": outcome["precision"],
                     **reached(program, options, run, outcome)})
    print("| " + " | ".join(rows[0]) + " |")
    print("|" + "---|" * len(rows[0]))
    for row in rows:
        print("| " + " | ".join(row.values()) + " |")


if __name__ == "__main__":
    main()
