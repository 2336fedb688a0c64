"""Datasets whose images are stored as their files, or deflated: the samples of raw ones, read by zlib, Pillow and h5py as FORMAT.md
says, and trained on with the same numbers."""
import hashlib
import io
import json
import pathlib
import zipfile
import zlib

from program import ProgramTest, main

import h5py
import numpy
from PIL import Image

RANDOM = numpy.random.default_rng(3)


def photograph(height, width, mode="RGB"):
    """Something smooth, which JPEG keeps small."""
    y, x = numpy.mgrid[0:height, 0:width] / max(height, width)
    waves = [numpy.sin(a * x + b * y + c) for a, b, c in RANDOM.uniform(1, 9, (3, 3))]
    pixels = (numpy.stack(waves, -1) * 100 + 128).astype(numpy.uint8)
    return Image.fromarray(pixels if mode == "RGB" else pixels[..., 0])


def written(image, **options):
    out = io.BytesIO()
    image.save(out, **options)
    return out.getvalue()


# Of datasets that earlier programs wrote: what `data verify` says of them, and SHA-256 of all their arrays, by name.
KEPT = {"format-1.0": ("a6ee7b3824327b71", "369059ace1c06aed31176ad959e92f9ef0b4f08f004fb68bf0f977f2dc266d08"),
        "format-2.0": ("772beb9f20a429a4",
                       "0b28729cfe3f7093e66a1f604530bf1d6c1e770502bb05cce3b81172e30a2fc0")}


class OldFormats(ProgramTest):
    def test_datasets_of_every_format_stay_readable(self):
        folder = pathlib.Path(__file__).parent.parent / "data"
        self.assertEqual({file.stem for file in folder.glob("format-*.zip")}, set(KEPT))
        for name, (dataset_id, digest) in KEPT.items():
            with zipfile.ZipFile(folder / f"{name}.zip") as archive:
                archive.extractall(self.folder / name)
            self.assertIn(dataset_id, self.run_program("data", "verify", self.folder / name).out)
            self.must_run("data", "export", self.folder / name, "--out", self.folder / f"{name}.npz")
            arrays = numpy.load(self.folder / f"{name}.npz")
            found = hashlib.sha256(b"".join(arrays[key].tobytes() for key in sorted(arrays)))
            self.assertEqual(found.hexdigest(), digest, name)


class StorageTest(ProgramTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.photos = cls.data.parent / "photos.zip"
        cls.files = {}
        for i in range(240):
            height, width = RANDOM.integers(20, 70, 2)
            image = photograph(height, width, "L" if i % 11 == 0 else "RGB")
            kind = ("JPEG", "PNG", "WEBP")[i % 3]
            cls.files[f"{'test' if i % 6 == 0 else 'train'}/{'ab'[i % 2]}/{i:03}.{kind.lower()}"] = written(image, format=kind)
        turned = Image.Exif()
        turned[0x0112] = 6  # lies on its side
        cls.files["train/a/turned.jpeg"] = written(photograph(30, 50), format="JPEG", exif=turned)
        with zipfile.ZipFile(cls.photos, "w") as archive:
            for name, content in cls.files.items():
                archive.writestr(name, content)
        for storage in ("raw", "deflate", "encoded"):
            cls.must_run("data", "import", cls.photos, "--out", cls.set_of(storage), "--size", "32x32", "--storage", storage,
                         "--filter", "box")

    @classmethod
    def set_of(cls, storage):
        return cls.data.parent / storage

    def manifest(self, folder):
        return json.loads((folder / "manifest.json").read_text())

    def exported(self, folder):
        """As the program itself reads them."""
        target = self.folder / "exported.npz"
        target.unlink(missing_ok=True)
        self.must_run("data", "export", folder, "--out", target)
        return {name: array for name, array in numpy.load(target).items()}

    def test_each_storage_gives_the_same_samples(self):
        raw = self.exported(self.set_of("raw"))
        for storage in ("deflate", "encoded"):
            found = self.exported(self.set_of(storage))
            for name, array in raw.items():
                self.assertTrue(numpy.array_equal(found[name], array), (storage, name))
            self.must_run("data", "verify", self.set_of(storage))
            self.assertEqual(self.manifest(self.set_of(storage))["pixel_square_sums"], self.manifest(self.set_of("raw"))["pixel_square_sums"])
        self.assertEqual(self.manifest(self.set_of("deflate"))["dataset_id"], self.manifest(self.set_of("raw"))["dataset_id"])

    def test_files_are_kept_byte_by_byte(self):
        folder, found = self.set_of("encoded"), {}
        for entry in self.manifest(folder)["shards"]:
            with h5py.File(folder / entry["file"]) as shard:
                self.assertEqual(shard.attrs["storage"], b"encoded")
                images, ends = shard["images"][:].tobytes(), [0, *shard["ends"][:].tolist()]
                for name, begin, end in zip(shard["names"][:], ends, ends[1:]):
                    found[f"{entry['split']}/{name.decode().split('/', 1)[-1]}"] = images[begin:end]
        by_end = {name.split("/")[-1]: content for name, content in self.files.items()}
        self.assertEqual({name.split("/")[-1]: content for name, content in found.items()}, by_end)

    def test_zlib_inflates_what_is_deflated(self):
        raw, folder = self.exported(self.set_of("raw")), self.set_of("deflate")
        for entry in self.manifest(folder)["shards"]:
            with h5py.File(folder / entry["file"]) as shard:
                images, ends = shard["images"][:].tobytes(), [0, *shard["ends"][:].tolist()]
                pixels = [numpy.frombuffer(zlib.decompress(images[begin:end]), numpy.uint8) for begin, end in zip(ends, ends[1:])]
                wanted = raw[f"{entry['split']}_images"]
                self.assertTrue(numpy.array_equal(numpy.stack(pixels).reshape(wanted.shape), wanted))

    def test_ranks_and_threads_do_not_change_a_byte(self):
        hashes = [entry["hash"] for entry in self.manifest(self.set_of("encoded"))["shards"]]
        for ranks, threads in ((2, 1), (3, 2), (0, 3)):
            folder = self.folder / f"ranks-{ranks}"
            done = self.run_program("data", "import", self.photos, "--out", folder, "--size", "32x32", "--storage", "encoded",
                                    "--filter", "box", "--threads", str(threads), ranks=ranks)
            self.assertEqual(done.code, 0, done)
            self.assertEqual([entry["hash"] for entry in self.manifest(folder)["shards"]], hashes)

    def test_shards_are_cut_and_mended_as_raw_ones_are(self):
        for storage in ("deflate", "encoded"):
            folder = self.folder / storage
            self.must_run("data", "reshard", self.set_of(storage), "--out", folder)
            self.assertEqual(self.manifest(folder)["shards"], self.manifest(self.set_of(storage))["shards"])
            (folder / "manifest.json").unlink()
            self.must_run("data", "repair", folder)
            self.assertEqual(self.manifest(folder)["dataset_id"], self.manifest(self.set_of(storage))["dataset_id"])
        self.must_run("data", "reshard", self.set_of("encoded"), "--out", self.folder / "raw", "--storage", "raw")
        self.assertEqual(self.manifest(self.folder / "raw")["dataset_id"], self.manifest(self.set_of("raw"))["dataset_id"])
        self.must_run("data", "reshard", self.set_of("raw"), "--out", self.folder / "flat", "--storage", "deflate")
        self.assertEqual(self.manifest(self.folder / "flat")["shards"], self.manifest(self.set_of("deflate"))["shards"])

    def test_what_cannot_be_stored_as_files_is_refused(self):
        numpy.save(self.folder / "images.npy", RANDOM.integers(0, 256, (9, 8, 8, 3), dtype=numpy.uint8))
        done = self.run_program("data", "import", self.folder / "images.npy", "--out", self.folder / "set", "--storage", "encoded")
        self.assertEqual(done.code, 65, done)
        self.assertIn("--storage raw and deflate keep pixels", done.err)
        done = self.run_program("data", "import", self.photos, "--out", self.folder / "set", "--size", "8x8", "--storage", "encoded", "--xflip")
        self.assertEqual(done.code, 2, done)
        self.assertIn("Training mirrors images by itself", done.err)

    def test_training_gives_the_same_numbers(self):
        weights = {}
        for storage in ("raw", "deflate", "encoded"):
            self.data, run = self.set_of(storage), self.folder / f"run-{storage}"
            self.train("ae", run, ranks=2, train__steps=12, data__readers=3)
            weights[storage] = [path.read_bytes() for path in sorted(run.rglob("model.safetensors"))]
            self.assertTrue(weights[storage])
        self.assertEqual(weights["deflate"], weights["raw"])  # encoded ones have an id, and so an order, of their own

    def test_glyphs_are_small_deflated(self):
        for name, words in (("plain", ()), ("flat", ("--deflate",))):
            self.must_run("data", "make", "glyphs", "--out", self.folder / name, "--train", "400", "--test", "40", *words)
        plain, flat = self.manifest(self.folder / "plain"), self.manifest(self.folder / "flat")
        self.assertEqual(flat["dataset_id"], plain["dataset_id"])
        self.assertLess(sum(entry["image_bytes"] for entry in flat["shards"]), 440 * 32 * 32 / 3)
        self.assertRegex(self.run_program("data", "info", self.folder / "flat").out, "images deflated to [0-9.]+ % of their pixels")


if __name__ == "__main__":
    main()
