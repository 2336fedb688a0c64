"""`atelier data import` of a zip of photographs beside the script people write: zipfile, Pillow, h5py. Runs take turns.

    peers/bin/pip install -r tests/bench/peers/loaders_requirements.txt pillow
    peers/bin/python tests/bench/peers/import_photos.py build/release/atelier photos.zip [--rounds 5]

Both read every image of one size, decode it, and leave an HDF5 file of images and labels; ours also shuffles, hashes and reads back what
it wrote. The pixels of all images are compared before a time is reported.
"""

import argparse
import io
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile

import h5py
import numpy
from PIL import Image


def image_names(archive):
    return sorted(name for name in archive.namelist() if name.lower().endswith((".jpg", ".jpeg", ".png")))


def by_hand(source, target):
    """One h5py file, images in the order of their names."""
    with zipfile.ZipFile(source) as archive, h5py.File(target, "w") as out:
        names = image_names(archive)
        classes = sorted({name.split("/")[-2] for name in names})
        first = numpy.asarray(Image.open(io.BytesIO(archive.read(names[0]))).convert("RGB"))
        images = out.create_dataset("images", (len(names), *first.shape), "u1")
        labels = out.create_dataset("labels", (len(names),), "i8")
        for begin in range(0, len(names), 1024):
            batch = names[begin:begin + 1024]
            images[begin:begin + len(batch)] = numpy.stack(
                [numpy.asarray(Image.open(io.BytesIO(archive.read(name))).convert("RGB")) for name in batch])
            labels[begin:begin + len(batch)] = [classes.index(name.split("/")[-2]) for name in batch]
        out.attrs["names"] = len(names)


def timed(work):
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def require_equal(dataset, other):
    """Our ids are ranks of names."""
    with h5py.File(other) as wanted:
        images = wanted["images"][:]
    met = 0
    for shard in sorted(dataset.glob("*.h5")):
        with h5py.File(shard) as found:
            if not numpy.array_equal(found["images"][:], images[found["ids"][:].astype("i8")]):
                sys.exit(f"{shard}: pixels differ from Pillow's")
            met += len(found["ids"])
    if met != len(images):
        sys.exit(f"{met} images of {len(images)}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("zip", type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    ours, theirs = [], []
    with tempfile.TemporaryDirectory() as folder:
        dataset, other = pathlib.Path(folder) / "set", pathlib.Path(folder) / "other.h5"
        for turn in range(options.rounds):
            shutil.rmtree(dataset, ignore_errors=True)
            other.unlink(missing_ok=True)
            command = [options.program, "data", "import", options.zip, "--out", dataset, "--threads", "2"]
            ours.append(timed(lambda: subprocess.run(command, check=True, capture_output=True)))
            theirs.append(timed(lambda: by_hand(options.zip, other)))
            if turn == 0:
                require_equal(dataset, other)
    ratios = sorted(b / a for a, b in zip(ours, theirs))
    print(f"ours {statistics.median(ours):.1f} s, by hand {statistics.median(theirs):.1f} s, "
          f"ratio {statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})")


if __name__ == "__main__":
    main()
