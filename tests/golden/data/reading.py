"""What the Python tests of the data library share: running the program, reading shards with h5py."""

import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

try:
    import h5py
    import numpy
    from PIL import Image
except ImportError as problem:  # told as skipped, never as passed
    print(f"no independent reader: {problem}\nskipped=1")
    sys.exit(0)

PROGRAM = sys.argv.pop(1)


def run(*arguments, code=0):
    done = subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True, check=False)
    if done.returncode != code:
        raise AssertionError(f"{arguments} gave {done.returncode}: {done.stderr}")
    return json.loads(done.stdout) if code == 0 else done.stderr


def read_split(folder, split):
    """All tables of a split, in the order of its samples, as h5py reads them."""
    tables = {}
    for file in sorted(pathlib.Path(folder).glob(f"{split}-*.h5")):
        with h5py.File(file, "r") as shard:
            for name in set(shard) - {"hashes"}:
                tables.setdefault(name, []).append(shard[name][...])
    return {name: numpy.concatenate(parts) for name, parts in tables.items()}


class FolderTest(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = pathlib.Path(temporary.name)
