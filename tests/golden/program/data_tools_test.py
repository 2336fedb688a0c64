"""`atelier data` besides import: datasets resharded, repaired, exported, looked at and rendered; read by h5py, NumPy and Pillow."""
import json
import shutil

from program import ProgramTest, main

import h5py
import numpy
from PIL import Image


class DataTools(ProgramTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.data = cls.data.parent / "larger"  # several shards of a MiB
        cls.must_run("data", "make", "shapes", "--out", cls.data, "--train", 1500, "--test", 100)

    def run_data(self, *words, code=0):
        done = self.run_program("data", *words)
        self.assertEqual(done.code, code, done)
        return done

    def manifest(self, folder):
        return json.loads((folder / "manifest.json").read_text())

    def samples(self, folder):
        """By split: pixels, label and id of each sample, in order."""
        found = {}
        for entry in self.manifest(folder)["shards"]:
            with h5py.File(folder / entry["file"]) as shard:
                rows = found.setdefault(entry["split"], [])
                rows += zip(shard["images"][:].tolist(), shard["labels"][:].tolist(), shard["ids"][:].tolist())
        return found

    def test_other_shards_hold_the_same_samples_and_id(self):
        self.run_data("reshard", self.data, "--out", self.folder / "small", "--shard-mib", "1")
        self.run_data("verify", self.folder / "small")
        self.assertGreater(len(self.manifest(self.folder / "small")["shards"]), len(self.manifest(self.data)["shards"]))
        self.assertEqual(self.manifest(self.folder / "small")["dataset_id"], self.manifest(self.data)["dataset_id"])
        self.assertEqual(self.samples(self.folder / "small"), self.samples(self.data))
        self.assertIn("it exists", self.run_data("reshard", self.data, "--out", self.folder / "small", code=73).err)

    def copy(self):
        folder = self.folder / "copy"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.data, folder)
        return folder

    def test_a_lost_or_damaged_manifest_is_made_again_from_whole_shards(self):
        folder, whole = self.copy(), self.manifest(self.data)
        self.assertIn("nothing to repair", self.run_data("repair", folder, code=73).err)
        (folder / "manifest.json").unlink()
        self.run_data("repair", folder)
        self.run_data("verify", folder)
        made = self.manifest(folder)
        for key in ("dataset_id", "image", "class_names", "factor_names", "tables", "splits", "pixel_sums", "pixel_square_sums", "shards"):
            self.assertEqual(made[key], whole[key], key)
        damaged = (folder / "manifest.json").read_text().replace("train", "trein", 1)
        (folder / "manifest.json").write_text(damaged)
        self.run_data("repair", folder)
        self.assertEqual((folder / "manifest.json.damaged").read_text(), damaged)

    def test_a_manifest_is_not_made_from_what_is_not_whole(self):
        folder = self.copy()
        (folder / "manifest.json").unlink()
        shard = sorted(folder.glob("train-*.h5"))[0]
        content = bytearray(shard.read_bytes())
        entry = next(entry for entry in self.manifest(self.data)["shards"] if entry["file"] == shard.name)
        content[entry["data_offset"] + 1000] ^= 1
        shard.write_bytes(content)
        self.assertIn("Block 0 of /images", self.run_data("repair", folder, code=74).err)
        self.assertFalse((folder / "manifest.json").exists())
        folder = self.copy()
        self.run_data("reshard", folder, "--out", self.folder / "several", "--shard-mib", "1")
        (self.folder / "several/manifest.json").unlink()
        sorted((self.folder / "several").glob("train-*.h5"))[1].unlink()
        self.assertRegex(self.run_data("repair", self.folder / "several", code=65).err, "'train-00001-of-.*' is missing")

    def test_a_folder_that_was_exported_can_be_imported(self):
        self.run_data("export", self.data, "--out", self.folder / "files")
        self.run_data("import", self.folder / "files", "--out", self.folder / "again", "--no-shuffle")
        def by_content(folder):
            return {split: sorted((label, pixels) for pixels, label, _ in rows) for split, rows in self.samples(folder).items()}
        names = self.manifest(self.data)["class_names"]
        self.assertEqual(self.manifest(self.folder / "again")["class_names"], sorted(names))
        order = [sorted(names).index(name) for name in names]
        wanted = {split: sorted((order[label], pixels) for label, pixels in rows) for split, rows in by_content(self.data).items()}
        self.assertEqual(by_content(self.folder / "again"), wanted)

    def test_arrays_are_numpy_s(self):
        self.run_data("export", self.data, "--out", self.folder / "arrays.npz")
        arrays = numpy.load(self.folder / "arrays.npz")
        for split, rows in self.samples(self.data).items():
            self.assertTrue(numpy.array_equal(arrays[f"{split}_images"], numpy.array([row[0] for row in rows], numpy.uint8)))
            self.assertEqual(arrays[f"{split}_labels"].tolist(), [row[1] for row in rows])
        self.assertEqual([name.decode() for name in arrays["class_names"]], self.manifest(self.data)["class_names"])
        self.run_data("import", self.folder / "arrays.npz", "--out", self.folder / "again")
        self.assertEqual(list(self.folder.glob("*.partial")), [])

    def test_info_draws_a_picture_and_counts_classes(self):
        done = self.run_data("info", self.data, "--grid", self.folder / "grid.png")
        with Image.open(self.folder / "grid.png") as picture:
            self.assertEqual(picture.size, (8 * 34 + 2, 8 * 34 + 2))
        self.assertRegex(done.out, r"(?m)^  disc +\d[\d,]* +\d+ +\d+$")

    def test_some_blocks_are_verified(self):
        folder = self.copy()
        self.assertIn("whole where it was read: ", self.run_data("verify", folder, "--sample", "2").out)
        shard = sorted(folder.glob("train-*.h5"))[0]
        entry = next(entry for entry in self.manifest(folder)["shards"] if entry["file"] == shard.name)
        content = bytearray(shard.read_bytes())
        for block in range(0, entry["num_samples"] * 3072, 1 << 18):
            content[entry["data_offset"] + block + 5] ^= 1
        shard.write_bytes(content)
        self.assertRegex(self.run_data("verify", folder, "--sample", "2", code=65).out, r"Block \d+ of /images in .* sample ids")

    def test_glyphs(self):
        for words, classes, channels in (((), 10, 1), (("--stacked",), 1000, 3)):
            folder = self.folder / f"glyphs{classes}"
            self.run_data("make", "glyphs", "--out", folder, "--train", "400", "--test", "50", *words)
            self.run_data("verify", folder)
            made = self.manifest(folder)
            self.assertEqual((len(made["class_names"]), made["image"]["channels"]), (classes, channels))
            rows = [row for split in self.samples(folder).values() for row in split]
            self.assertEqual(len(rows), 450)
            pictures = numpy.array([row[0] for row in rows])
            self.assertTrue((pictures.max(axis=(1, 2)) > 190).all())  # ink in every channel
            self.assertLess(pictures.mean(), 90)
            if classes == 10:
                counts = numpy.bincount([row[1] for row in rows], minlength=10)
                self.assertEqual(counts.tolist(), [45] * 10)
                same = [picture for picture, label, _ in rows if label == 3]
                self.assertEqual(len({str(picture) for picture in same}), 45)  # no two alike


if __name__ == "__main__":
    main()
