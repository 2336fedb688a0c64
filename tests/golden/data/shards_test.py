"""h5py as the independent reader: every shard holds what went in, is laid out as FORMAT.md says, and
does not depend on clocks."""

import json
import time
import unittest

from reading import FolderTest, Image, h5py, numpy, read_split, run


class Shards(FolderTest):
    def test_every_image_of_a_folder_tree_reads_back(self):
        random = numpy.random.default_rng(0)
        pictures = {}
        for split, count in [("train", 40), ("val", 6), ("test", 9)]:
            for i in range(count):
                name = f"{split}/{'cats' if i % 2 else 'dogs'}/{i:03}.png"
                pictures[name] = random.integers(0, 256, (20, 24, 3), dtype=numpy.uint8)
                file = self.folder / "photos" / name
                file.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pictures[name]).save(file)

        run("import", self.folder / "photos", self.folder / "set", f"shard={20 * 24 * 3 * 16}")

        ids = []
        for split, count in [("train", 40), ("valid", 6), ("test", 9)]:
            tables = read_split(self.folder / "set", split)
            self.assertEqual(len(tables["ids"]), count)
            for image, label, name in zip(tables["images"], tables["labels"], tables["names"]):
                numpy.testing.assert_array_equal(image, pictures.pop(name.decode()))
                self.assertEqual(label, 0 if b"/cats/" in name else 1)
            ids += list(tables["ids"])
        self.assertEqual(pictures, {})
        self.assertEqual(sorted(ids), list(range(55)))
        self.assertGreater(len(list((self.folder / "set").glob("train-*.h5"))), 2)

    def test_layout_is_as_documented(self):
        run("shapes", self.folder / "set", 300, 20)
        manifest = json.loads((self.folder / "set/manifest.json").read_text())
        for entry in manifest["shards"]:
            file = self.folder / "set" / entry["file"]
            self.assertEqual(file.stat().st_size, entry["bytes"])
            with h5py.File(file, "r") as shard:
                self.assertEqual(shard.attrs["format"], b"atelier-shard")
                self.assertEqual(shard.attrs["split"].decode(), entry["split"])
                self.assertEqual(shard.attrs["num_samples"], entry["num_samples"])
                self.assertEqual([n.decode() for n in shard.attrs["class_names"]], manifest["class_names"])
                images = shard["images"]
                self.assertIsNone(images.chunks)
                self.assertEqual(images.dtype, numpy.uint8)
                self.assertEqual(images.shape, (entry["num_samples"], 32, 32, 3))
                self.assertEqual(images.id.get_offset(), entry["data_offset"])
                self.assertEqual(entry["data_offset"] % 4096, 0)
                self.assertEqual(shard["labels"].dtype, numpy.int64)
                self.assertEqual(shard["ids"].dtype, numpy.uint64)
                self.assertEqual(shard["factors"].shape, (entry["num_samples"], 7))
                self.assertEqual(len(shard["hashes/images"]), -(-entry["num_samples"] // entry["block_size"]))
                numpy.testing.assert_array_equal(shard["factors"][:, 0], shard["labels"])
                numpy.testing.assert_array_equal(shard["ids"][...] % 6, shard["labels"])
                raw = file.read_bytes()[entry["data_offset"] :][: images.size]
                self.assertEqual(raw, images[...].tobytes())

    def test_mean_and_deviation_are_those_of_train(self):
        run("shapes", self.folder / "set", 200, 5)
        pixels = read_split(self.folder / "set", "train")["images"].astype(numpy.float64)
        found = run("info", self.folder / "set")
        numpy.testing.assert_allclose(found["mean"], pixels.mean((0, 1, 2)), rtol=1e-12)
        numpy.testing.assert_allclose(found["stddev"], pixels.std((0, 1, 2)), rtol=1e-9)

    def test_shards_do_not_depend_on_the_clock_nor_the_id_on_their_number(self):
        run("shapes", self.folder / "a", 500, 50)
        time.sleep(1.1)  # HDF5 would store whole seconds
        run("shapes", self.folder / "b", 500, 50)
        run("shapes", self.folder / "c", 500, 50, 200000)
        for file in sorted((self.folder / "a").glob("*.h5")):
            self.assertEqual(file.read_bytes(), (self.folder / "b" / file.name).read_bytes())
        self.assertGreater(len(list((self.folder / "c").glob("*.h5"))), 6)
        ids = {run("info", self.folder / name)["dataset_id"] for name in "abc"}
        self.assertEqual(len(ids), 1)


if __name__ == "__main__":
    unittest.main()
