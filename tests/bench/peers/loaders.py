"""Atelier's loader beside others, on the same images, runs taking turns; files in the page cache, batches of 256 as uint8 tensors.

    python3 -m venv loaders && loaders/bin/pip install -r tests/bench/peers/loaders_requirements.txt
    loaders/bin/python tests/bench/peers/loaders.py build/release/atelier DATASET [--rounds 5] [--seconds 5] [--only numpy ...]

DATASET: a folder that `atelier data` made, best of 500 MB or more. What a loader reads is written beside it, in its own format and
uncompressed, into a folder that is removed again. Each gets its best number of worker processes (0, 1 or 2), and is checked: every image
of a first batch must be one of the dataset's. Prints a Markdown table: medians of images per second, and of the ratio of each pair of
runs with the least and the greatest.
"""

import argparse
import glob
import itertools
import json
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

BATCH = 256
WORKERS = (0, 1, 2)
CHUNK = 64
TAR_SHARD = 5000


def shards(folder):
    return sorted(glob.glob(f"{folder}/train-*.h5"))


def all_images(folder):
    with_shards = [h5py.File(shard, "r") for shard in shards(folder)]
    return np.concatenate([shard["images"][:] for shard in with_shards])


class Hdf5(Dataset):
    """Opened in the worker that reads: handles of HDF5 do not outlive a fork."""

    def __init__(self, path):
        self.path, self.images = path, None
        with h5py.File(path, "r") as file:
            self.count = len(file["images"])

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        if self.images is None:
            self.images = h5py.File(self.path, "r")["images"]
        return self.images[index]


def endless(make):
    return itertools.chain.from_iterable(make() for _ in itertools.count())


def numpy_gather(images, folder):
    path = folder / "images.npy"
    np.save(path, images)
    mapped = np.load(path, mmap_mode="r")

    def batches(_workers):
        def epoch():
            order = np.random.permutation(len(mapped))
            for first in range(0, len(order) - BATCH + 1, BATCH):
                yield torch.from_numpy(mapped[order[first:first + BATCH]])
        return endless(epoch)
    return batches, (0,)


def hdf5(images, folder, chunks):
    path = folder / f"images-{chunks or 'contiguous'}.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("images", data=images, chunks=(chunks, *images.shape[1:]) if chunks else None)

    def batches(workers):
        return endless(lambda: DataLoader(Hdf5(path), batch_size=BATCH, shuffle=True, num_workers=workers, drop_last=True))
    return batches, WORKERS


def webdataset_tars(images, folder):
    import webdataset
    with webdataset.ShardWriter(str(folder / "tar-%05d.tar"), maxcount=TAR_SHARD, verbose=0) as writer:
        for index, image in enumerate(images):
            writer.write({"__key__": f"{index:08d}", "bin": image.tobytes()})
    shape = images.shape[1:]
    tars = sorted(str(path) for path in folder.glob("tar-*.tar"))

    def decode(sample):
        return torch.frombuffer(bytearray(sample["bin"]), dtype=torch.uint8).reshape(shape)

    def batches(workers):
        data = webdataset.WebDataset(tars, shardshuffle=len(tars), nodesplitter=webdataset.split_by_node).shuffle(1000).map(decode)
        return endless(lambda: DataLoader(data.batched(BATCH, collation_fn=torch.stack, partial=False), batch_size=None, num_workers=min(workers, len(tars))))
    return batches, WORKERS


def mosaic(images, folder):
    from streaming import MDSWriter, StreamingDataset
    path = str(folder / "mds")
    with MDSWriter(out=path, columns={"image": f"ndarray:uint8:{','.join(map(str, images.shape[1:]))}"}) as writer:
        for image in images:
            writer.write({"image": image})

    def batches(workers):
        data = StreamingDataset(local=path, shuffle=True, batch_size=BATCH)
        return endless(lambda: (batch["image"] for batch in DataLoader(data, batch_size=BATCH, num_workers=workers)))
    return batches, WORKERS


PEERS = {
    "numpy": ("numpy, gather from a mapped array", numpy_gather),
    "h5py": ("h5py in a DataLoader, contiguous", lambda images, folder: hdf5(images, folder, None)),
    "h5py-chunked": ("h5py in a DataLoader, chunks of 64 images", lambda images, folder: hdf5(images, folder, CHUNK)),
    "webdataset": ("WebDataset, raw pixels in tar", webdataset_tars),
    "mosaic": ("Mosaic Streaming, raw pixels", mosaic),
}


def rate(batches, workers, seconds):
    """Images per second, after a first batch."""
    source = batches(workers)
    next(source)
    images, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        images += len(next(source))
    return images / (time.perf_counter() - start)


def check(name, batches, known):
    batch = np.asarray(next(batches(0)))
    wrong = [image for image in batch if image.tobytes() not in known]
    if wrong or len(batch) != BATCH:
        raise SystemExit(f"{name} hands out other images than the dataset holds")


def ours(program, dataset, readers):
    command = [program, "bench", "data", dataset, "--threads", str(readers), "--rounds", "3", "--json"]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)["images_per_second"]


def compare(options, folder, images, name):
    about, make = PEERS[name]
    batches, workers = make(images, folder)
    check(name, batches, {image.tobytes() for image in images})
    best = max(workers, key=lambda count: rate(batches, count, options.seconds / 2))
    pairs = [(ours(options.program, options.dataset, 1), rate(batches, best, options.seconds)) for _ in range(options.rounds)]
    ratios = [mine / other for mine, other in pairs]
    print(f"| {about}, {best} workers | {statistics.median(other for _, other in pairs) / 1000:.1f} "
          f"| {statistics.median(mine for mine, _ in pairs) / 1000:.0f} "
          f"| {statistics.median(ratios):.3g} ({min(ratios):.3g}-{max(ratios):.3g}) |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("program")
    parser.add_argument("dataset")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--only", nargs="*", choices=PEERS, default=list(PEERS))
    options = parser.parse_args()
    torch.set_num_threads(1)
    images = all_images(options.dataset)
    print("| loader | k images/s | Atelier, one reader | ratio |\n|---|---|---|---|")
    for name in options.only:
        with tempfile.TemporaryDirectory(dir=Path(options.dataset).resolve().parent) as folder:
            compare(options, Path(folder), images, name)


if __name__ == "__main__":
    main()
