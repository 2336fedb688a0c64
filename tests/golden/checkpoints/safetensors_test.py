"""Our safetensors files against the format's own library: each reads the other's, both write the same bytes, and what it refuses we refuse."""

import pathlib
import random
import subprocess
import sys
import tempfile
import unittest

PROGRAM = sys.argv.pop(1)
try:
    import numpy
    import safetensors
    import safetensors.numpy
except ImportError as missing:
    safetensors = None
    REASON = f"no independent reader: {missing}"
else:
    REASON = ""

TYPES = {"U64": "uint64", "I64": "int64", "F64": "float64", "F32": "float32", "U32": "uint32", "I32": "int32", "BF16": "bfloat16",
         "F16": "float16", "U16": "uint16", "I16": "int16", "I8": "int8", "U8": "uint8", "BOOL": "bool"}


def run(*arguments):
    return subprocess.run([PROGRAM, *map(str, arguments)], check=True, capture_output=True, text=True, timeout=60).stdout


def write_with_library(tensors, metadata):
    """tensors: {name: (type, shape, bytes)}"""
    buffers = {name: numpy.frombuffer(data + b"\0", numpy.uint8) for name, (_, _, data) in tensors.items()}
    specs = {name: safetensors.TensorSpec(dtype=TYPES[kind], shape=shape, data_ptr=buffers[name].ctypes.data, data_len=len(data))
             for name, (kind, shape, data) in tensors.items()}
    return bytes(safetensors.serialize(specs, metadata))


@unittest.skipIf(safetensors is None, REASON)
class SafetensorsTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def test_library_reads_ours_and_writes_the_same_bytes(self):
        path = self.folder / "ours.safetensors"
        run("sample", path)
        ours = path.read_bytes()
        read = {name: (t["dtype"], t["shape"], bytes(t["data"])) for name, t in safetensors.deserialize(ours)}
        self.assertEqual(len(read), 3 * len(TYPES))
        self.assertEqual({kind for kind, _, _ in read.values()}, set(TYPES))
        self.assertEqual(write_with_library(read, {"format": "pt"}), ours)

    def test_numpy_sees_the_shapes_and_values_we_wrote(self):
        run("sample", self.folder / "ours.safetensors")
        with safetensors.safe_open(self.folder / "ours.safetensors", "numpy") as opened:
            self.assertEqual(opened.metadata(), {"format": "pt"})
            self.assertEqual(opened.get_tensor("b.I64").shape, (2, 3))
            self.assertEqual(opened.get_tensor("c.F32").shape, (4, 0))
            self.assertEqual(opened.get_tensor('a "é".U8').shape, ())

    def test_ours_reads_and_rewrites_what_numpy_wrote(self):
        generator = numpy.random.default_rng(1)
        for count in range(1, 9):
            arrays = {f"t{i}.{kind}": generator.integers(0, 2, generator.integers(0, 4, i)).astype(kind)
                      for i in range(count) for kind in ("f4", "f8", "f2", "i8", "u1", "?")}
            safetensors.numpy.save_file(arrays, self.folder / f"{count}.in", {"name": "a\tb\u00e9\u2028"})
            run("copy", self.folder / f"{count}.in", self.folder / f"{count}.out")
            self.assertEqual((self.folder / f"{count}.out").read_bytes(), (self.folder / f"{count}.in").read_bytes())

    def test_what_the_library_refuses_ours_refuses(self):
        start = write_with_library({"weight": ("F32", [2, 3], bytes(range(24))), "n": ("I64", [], bytes(8))}, {"k": "v"})
        chance = random.Random(1)
        alphabet = b'{}[]":,0123456789-.eE \\unulltrfas\x00\x80\xc3\xff'
        verdicts = {}
        for number in range(3000):
            changed = bytearray(start)
            for _ in range(chance.randint(1, 3)):
                at = chance.randrange(len(changed))
                how = chance.randrange(3)
                if how == 0:
                    changed[at] = chance.choice(alphabet)
                elif how == 1:
                    changed.insert(at, chance.choice(alphabet))
                else:
                    del changed[at]
            name = f"{number:05}"
            (self.folder / name).write_bytes(changed)
            try:
                safetensors.deserialize(bytes(changed))
                verdicts[name] = True
            except safetensors.SafetensorError:
                verdicts[name] = False
        ours = dict(line.split() for line in run("check", self.folder).splitlines())
        self.assertEqual(len(ours), len(verdicts))
        self.assertEqual([name for name, fine in verdicts.items() if not fine and ours[name] == "ok"], [])
        both = [name for name, fine in verdicts.items() if fine and ours[name] == "ok"]
        self.assertGreater(len(both), 100)


if __name__ == "__main__":
    unittest.main()
