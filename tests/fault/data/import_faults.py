"""Imports that are killed, or run out of room, leave no dataset that looks whole; the next one works."""

import os
import pathlib
import random
import resource
import signal
import struct
import subprocess
import sys
import tempfile
import time
import unittest
import zlib

PROGRAM = sys.argv.pop(1)


def picture(seed):
    pixels = random.Random(seed)
    rows = b"".join(b"\0" + pixels.randbytes(48 * 3) for _ in range(48))

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 48, 48, 8, 2, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(rows, 1)) + chunk(b"IEND", b""))


class Faults(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.temporary.cleanup)
        cls.root = pathlib.Path(cls.temporary.name)
        (cls.root / "photos/a").mkdir(parents=True)
        for i in range(1500):
            (cls.root / f"photos/a/{i:04}.png").write_bytes(picture(i % 50))

    def start(self, **options):
        command = [PROGRAM, "import", self.root / "photos", self.root / "set", "shard=2000000"]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)

    def whole(self):
        """Imports to the end, verifies, removes the result; returns the bytes of all shards."""
        process = self.start()
        self.assertEqual(process.wait(60), 0, process.communicate()[1])
        verified = subprocess.run([PROGRAM, "verify", self.root / "set"], capture_output=True, text=True, check=True)
        self.assertIn('"findings":[]', verified.stdout)
        shards = {file.name: file.read_bytes() for file in (self.root / "set").glob("*.h5")}
        self.remove()
        return shards

    def remove(self):
        subprocess.run(["rm", "-rf", self.root / "set"], check=True)

    def test_killed_at_random_moments(self):
        begin = time.monotonic()
        expected = self.whole()
        duration = time.monotonic() - begin
        moments = random.Random(1)
        killed = 0
        for _ in range(12):
            process = self.start()
            time.sleep(moments.uniform(0, duration))
            process.send_signal(signal.SIGKILL)
            killed += process.wait(60) == -signal.SIGKILL
            process.communicate()
            if (self.root / "set").exists():  # it was quicker: then all of it is there
                subprocess.run([PROGRAM, "info", self.root / "set"], capture_output=True, check=True)
                self.remove()
        self.assertGreater(killed, 3)
        self.assertEqual(self.whole(), expected)
        self.assertEqual(sorted(p.name for p in self.root.iterdir()), ["photos"])

    def test_no_room_is_an_io_error_and_leaves_nothing(self):
        def limit(size):
            def apply():
                signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
                resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

            return apply

        for size in [0, 4096, 1_000_000, 5_000_000]:
            process = self.start(preexec_fn=limit(size))
            _, message = process.communicate(timeout=60)
            self.assertEqual(process.returncode, 74, message)
            self.assertIn("Cannot", message)
            self.assertEqual(sorted(p.name for p in self.root.iterdir()), ["photos"])

    def test_an_existing_target_is_refused(self):
        os.mkdir(self.root / "set")
        process = self.start()
        _, message = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 73, message)
        self.assertEqual(list((self.root / "set").iterdir()), [])
        self.remove()


if __name__ == "__main__":
    unittest.main()
