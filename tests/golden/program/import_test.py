"""`atelier data import` on real samples of every kind of source, written by the libraries that made those kinds; the same bytes for
any number of ranks and threads, and after any number of kills (ATELIER_KILLS=50 kills it that often)."""
import gzip
import io
import json
import os
import random
import shutil
import struct
import tarfile
import time
import zipfile
import zlib

from program import ProgramTest, main

import h5py
import numpy
from PIL import Image

KILLS = int(os.environ.get("ATELIER_KILLS", "8"))  # at random moments
RANDOM = numpy.random.default_rng(7)


def pictures(count, height=8, width=8, channels=3):
    shape = (count, height, width, channels) if channels else (count, height, width)
    return RANDOM.integers(0, 256, shape, dtype=numpy.uint8)


def png(pixels):
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def add_to_tar(archive, name, content):
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    archive.addfile(entry, io.BytesIO(content))


def write_idx(path, array):
    content = struct.pack(">BBBB", 0, 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


class ImportTest(ProgramTest):
    def imported(self, source, *words, ranks=0, out="set"):
        """The samples of each split by id: (pixels, class, name); and what was said."""
        target = self.folder / out
        shutil.rmtree(target, ignore_errors=True)
        done = self.run_program("data", "import", source, "--out", target, *words, ranks=ranks)
        self.assertEqual(done.code, 0, done)
        self.assertEqual(self.run_program("data", "verify", target).code, 0)
        return self.samples(target), done

    def samples(self, target):
        found = {}
        for entry in json.loads((target / "manifest.json").read_text())["shards"]:
            with h5py.File(target / entry["file"]) as shard:
                names = [name.decode() for name in shard.attrs["class_names"]]
                own = found.setdefault(entry["split"], {})
                files = shard["names"][:] if "names" in shard else [b""] * len(shard["ids"])
                for pixels, label, number, name in zip(shard["images"][:], shard["labels"][:], shard["ids"][:], files):
                    own[int(number)] = (pixels, names[label], name.decode())
        return found

    def assert_samples(self, found, pixels, classes, first=0):
        """Images `pixels` have the ids from `first` on."""
        everything = {key: value for split in found.values() for key, value in split.items()}
        for number, (wanted, name) in enumerate(zip(pixels, classes), first):
            wanted = wanted if wanted.ndim == 3 else wanted[..., None]
            self.assertTrue(numpy.array_equal(everything[number][0], wanted), number)
            self.assertEqual(everything[number][1], str(name), number)

    def refused(self, source, *words, code=65):
        done = self.run_program("data", "import", source, "--out", self.folder / "refused", *words)
        self.assertEqual(done.code, code, done)
        self.assertFalse((self.folder / "refused").exists())
        return done.err


class Arrays(ImportTest):
    def test_npy_of_each_order_of_axes_and_range(self):
        images = pictures(30)
        path = self.folder / "images.npy"
        for array in (images, images.transpose(0, 3, 1, 2).copy(), images.astype(numpy.float32) / 255,
                      images.astype(numpy.float64) / 127.5 - 1,
                      *(images.astype(kind) for kind in ("u2", "u4", "u8", "i2", "i4", "i8", "f4", "f8"))):
            numpy.save(path, array)
            found, _ = self.imported(path)
            self.assert_samples(found, images, ["images"] * 30)
        grey = pictures(30, channels=0)
        for array, wanted in ((grey, grey), (grey > 99, (grey > 99) * 255), ((grey > 99).astype(numpy.uint8), (grey > 99) * 255)):
            numpy.save(path, array)
            found, _ = self.imported(path)
            self.assert_samples(found, wanted.astype(numpy.uint8), ["images"] * 30)
        numpy.save(path, (grey // 2).astype(numpy.int8))
        self.assert_samples(self.imported(path)[0], grey // 2, ["images"] * 30)

    def test_npy_that_cannot_be_meant_is_refused(self):
        path = self.folder / "images.npy"
        numpy.save(path, RANDOM.normal(size=(4, 8, 8)))
        self.assertRegex(self.refused(path), r"its values go from -\d.* to \d.*decimals of 0 to 1")
        for value in numpy.nan, numpy.inf, -numpy.inf:
            odd = numpy.full((300, 32, 32), 0.5)
            odd[150, 3, 4] = value
            numpy.save(path, odd)
            self.assertIn("decimals of 0 to 1", self.refused(path))
        numpy.save(path, -pictures(4).astype(numpy.int8))
        self.assertRegex(self.refused(path), r"its values go from -\d")
        numpy.save(path, RANDOM.normal(size=(4, 8)))
        self.assertRegex(self.refused(path), r"no images .*images \[4, 8\]")
        numpy.save(path, numpy.asfortranarray(pictures(4)))
        self.assertIn("of a type that is not read", self.refused(path))
        numpy.save(path, numpy.array([1, "a", None], dtype=object), allow_pickle=True)
        self.assertIn("of a type that is not read", self.refused(path))
        numpy.save(path, pictures(4))
        path.write_bytes(path.read_bytes()[:-1])
        self.assertRegex(self.refused(path), "its header states 768 bytes of elements, it holds 767")

    def test_npz_with_splits_and_labels(self):
        train, test, labels = pictures(40), pictures(10), RANDOM.integers(3, 12, 50)
        path = self.folder / "faces.npz"
        for save in (numpy.savez, numpy.savez_compressed):
            save(path, x_train=train, y_train=labels[:40], x_test=test, y_test=labels[40:, None])
            found, done = self.imported(path)
            self.assertEqual(len(found["test"]), 10)
            self.assert_samples(found, [*test, *train] if 0 in found["test"] else [*train, *test],
                                [*labels[40:], *labels[:40]] if 0 in found["test"] else labels)
            self.assertIn("labels 'y_train'", done.err)

    def test_several_arrays_of_images_have_to_be_chosen_from(self):
        path = self.folder / "two.npz"
        first, second = pictures(9), pictures(9)
        numpy.savez(path, faces=first, masks=second)
        self.assertIn("could be the images: faces, masks", self.refused(path))
        found, _ = self.imported(path, "--dataset", "masks")
        self.assert_samples(found, second, ["images"] * 9)
        self.assertIn("under the name 'mask'", self.refused(path, "--dataset", "mask"))

    def test_dsprites(self):
        """Its npz and its hdf5: imgs of 0 and 1, latents/classes of six columns, a pickled array beside them."""
        imgs = (pictures(60, 16, 16, 0) > 127).astype(numpy.uint8)
        classes = RANDOM.integers(0, 3, (60, 6))
        numpy.savez_compressed(self.folder / "dsprites.npz", imgs=imgs, latents_classes=classes, latents_values=classes / 3,
                               metadata=numpy.array({"date": "2017"}, dtype=object))
        with h5py.File(self.folder / "dsprites.hdf5", "w") as file:
            file.create_dataset("imgs", data=imgs, chunks=(7, 16, 16), compression="gzip", shuffle=True)
            file.create_dataset("latents/classes", data=classes)
            file.create_dataset("latents/values", data=classes / 3)
        for name, labels in (("dsprites.npz", "latents_classes:1"), ("dsprites.hdf5", "latents/classes:1")):
            found, done = self.imported(self.folder / name, "--labels", labels)
            self.assert_samples(found, imgs * 255, classes[:, 1])
            self.assertIn("values are 0 and 1", done.err)

    def test_a_foreign_hdf5_file(self):
        images, labels = pictures(50), RANDOM.integers(0, 5, 50)
        path = self.folder / "foreign.h5"
        with h5py.File(path, "w") as file:
            file.create_dataset("images", data=images, chunks=(16, 8, 8, 3), compression="lzf")
            file.create_dataset("labels", data=labels.astype("i2"))
            file.create_dataset("names", data=[b"a"] * 50)
        self.assertIn("images [50, 8, 8, 3] of a type that is not read", self.refused(path))  # only h5py brings that filter
        with h5py.File(path, "w") as file:
            file.create_dataset("deep/images", data=images, chunks=(16, 8, 8, 3), compression="gzip")
            file.create_dataset("deep/labels", data=labels.astype(">i4"))
            file["elsewhere"] = h5py.ExternalLink("/etc/passwd", "/x")
        found, _ = self.imported(path)
        self.assert_samples(found, images, labels)

    def test_hdf5_in_every_layout(self):
        images, labels = pictures(50), RANDOM.integers(-3, 5, 50)
        path = self.folder / "layout.h5"
        for kind in ({"chunks": (7, 3, 5, 2), "compression": "gzip", "shuffle": True}, {"chunks": (64, 8, 8, 3), "shuffle": True}, {}):
            with h5py.File(path, "w") as file:
                file.create_dataset("x", data=images, maxshape=(99, 8, 8, 3) if kind else None, **kind)
                file.create_dataset("y", data=labels.astype(">i8"), **({"chunks": (9,), "compression": "gzip"} if kind else {}))
            found, _ = self.imported(path)
            self.assert_samples(found, images, labels)
        numbers = (images / 255.0).astype(">f4")
        with h5py.File(path, "w") as file:
            file.create_dataset("x", data=numbers, chunks=(7, 3, 5, 2), compression="gzip", shuffle=True)
            file.create_dataset("labels", data=labels.astype("i1"))
            compact = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
            compact.set_layout(h5py.h5d.COMPACT)
            h5py.h5d.create(file.id, b"y", h5py.h5t.STD_I16BE, h5py.h5s.create_simple((50,)), compact)
            file["y"][:] = labels
            del file["labels"]
        found, _ = self.imported(path)
        self.assert_samples(found, images, labels)
        with h5py.File(path, "w") as file:
            sparse = file.create_dataset("x", (50, 8, 8, 3), "u1", chunks=(10, 8, 8, 3))
            sparse[10:20] = images[10:20]
        found, _ = self.imported(path)
        images[:10], images[20:] = 0, 0
        self.assert_samples(found, images, ["images"] * 50)

    def test_bytes_of_other_files_are_never_read(self):
        secret = self.folder / "secret"
        secret.write_bytes(bytes(768))
        with h5py.File(self.folder / "external.h5", "w") as file:
            file.create_dataset("images", (4, 8, 8, 3), "u1", external=[(str(secret), 0, 768)])
        self.assertIn("of a type that is not read", self.refused(self.folder / "external.h5"))

    def test_idx_of_the_mnist_family(self):
        folder = self.folder / "mnist"
        folder.mkdir()
        train, test, labels = pictures(40, 28, 28, 0), pictures(10, 28, 28, 0), RANDOM.integers(0, 10, 50).astype(numpy.uint8)
        write_idx(folder / "train-images-idx3-ubyte.gz", train)
        write_idx(folder / "train-labels-idx1-ubyte.gz", labels[:40])
        write_idx(folder / "t10k-images-idx3-ubyte", test)
        write_idx(folder / "t10k-labels-idx1-ubyte", labels[40:])
        (folder / "README.txt").write_text("not an array")
        found, done = self.imported(folder)
        self.assertEqual(len(found["test"]), 10)
        self.assert_samples(found, [*test, *train], [*labels[40:], *labels[:40]])
        self.assertIn("Skipped 'README.txt': it is no array", done.err)
        found, _ = self.imported(folder / "train-images-idx3-ubyte.gz")
        self.assert_samples(found, train, ["images"] * 40)
        content = (folder / "t10k-images-idx3-ubyte").read_bytes()
        (folder / "t10k-images-idx3-ubyte").write_bytes(content[:-5])
        self.assertRegex(self.refused(folder), "t10k-images-idx3-ubyte': its header states 7840 bytes of elements, it holds 7835")

    def test_emnist_is_turned_upright(self):
        folder = self.folder / "emnist"
        folder.mkdir()
        images, labels = pictures(30, 28, 28, 0), RANDOM.integers(0, 26, 30).astype(numpy.uint8)
        write_idx(folder / "emnist-letters-train-images-idx3-ubyte.gz", images.transpose(0, 2, 1).copy())
        write_idx(folder / "emnist-letters-train-labels-idx1-ubyte.gz", labels)
        found, done = self.imported(folder)
        self.assert_samples(found, images, labels)
        self.assertIn("30 images of 28x28x1 turned upright", done.err)

    def test_cifar_as_it_is_downloaded(self):
        for kind, labels, names in (("10", 1, "batches.meta.txt"), ("100", 2, "fine_label_names.txt")):
            images = pictures(30, 32, 32)
            marks = RANDOM.integers(0, 10, (30, labels), dtype=numpy.uint8)
            records = numpy.concatenate([marks, images.transpose(0, 3, 1, 2).reshape(30, -1)], 1)
            path = self.folder / f"cifar-{kind}-binary.tar.gz"
            words = [f"class {i}" for i in range(100 if kind == "100" else 10)]
            with tarfile.open(path, "w:gz") as archive:
                add_to_tar(archive, f"cifar-{kind}/{names}", "\n".join([*words, "", ""]).encode())
                add_to_tar(archive, f"cifar-{kind}/data_batch_1.bin", records[:10].tobytes())
                add_to_tar(archive, f"cifar-{kind}/data_batch_2.bin", records[10:20].tobytes())
                add_to_tar(archive, f"cifar-{kind}/test_batch.bin", records[20:].tobytes())
            found, _ = self.imported(path)
            self.assertEqual(len(found["test"]), 10)
            self.assert_samples(found, images, [f"class {mark}" for mark in marks[:, -1]])


class Files(ImportTest):
    def test_webdataset(self):
        images, labels = pictures(24), RANDOM.integers(0, 12, 24)
        folder = self.folder / "shards"
        folder.mkdir()
        for shard in range(3):
            name = f"{'train' if shard < 2 else 'val'}-{shard:06}.tar"
            with tarfile.open(folder / name, "w") as archive:
                for i in range(8 * shard, 8 * shard + 8):
                    add_to_tar(archive, f"{i:08}.png", png(images[i]))
                    add_to_tar(archive, f"{i:08}.cls", f"{labels[i]}\n".encode())
                    add_to_tar(archive, f"{i:08}.txt", b"a caption")
        found, done = self.imported(folder)
        self.assertEqual({split: len(samples) for split, samples in found.items()}, {"train": 16, "valid": 8})
        self.assert_samples(found, images, labels)
        self.assertIn("4 more", done.err)  # captions, of which twenty are told
        with tarfile.open(self.folder / "one.tar", "w") as archive:
            for i in range(24):
                add_to_tar(archive, f"a/{i:08}.png", png(images[i]))
                add_to_tar(archive, f"a/{i:08}.json", json.dumps({"cls": int(labels[i]), "text": "x"}).encode())
        found, _ = self.imported(self.folder / "one.tar")
        self.assert_samples(found, images, labels)
        with tarfile.open(self.folder / "one.tar", "a") as archive:
            add_to_tar(archive, "a/99999999.png", png(images[0]))
        self.assertIn("99999999.png': there is no label beside it", self.refused(self.folder / "one.tar"))

    def test_stylegan(self):
        images, labels = pictures(24), RANDOM.integers(0, 12, 24)
        names = [f"{i % 3:05}/img{i:08}.png" for i in range(24)]
        order = sorted(range(24), key=lambda i: names[i])
        for pairs in ([[name, int(label)] for name, label in zip(names, labels)], None):
            with zipfile.ZipFile(self.folder / "style.zip", "w") as archive:
                for name, image in zip(names, images):
                    archive.writestr(name, png(image))
                archive.writestr("dataset.json", json.dumps({"labels": pairs}))
            found, _ = self.imported(self.folder / "style.zip")
            self.assert_samples(found, images[order], labels[order] if pairs else ["images"] * 24)
        with zipfile.ZipFile(self.folder / "style.zip", "a") as archive:
            archive.writestr("00000/img00000024.png", png(images[0]))
        self.imported(self.folder / "style.zip")
        with zipfile.ZipFile(self.folder / "broken.zip", "w") as archive:
            archive.writestr(names[0], png(images[0]))
            archive.writestr("dataset.json", '{"labels": [["a.png", [0.5]]]}')
        self.assertIn("pairs of a name and an integer", self.refused(self.folder / "broken.zip"))

    def test_webp(self):
        folder = self.folder / "webp"
        folder.mkdir()
        images = pictures(6, 9, 7)
        for i, image in enumerate(images):
            Image.fromarray(image).save(folder / f"{i}.webp", lossless=True)
        clear = numpy.dstack([images[0], numpy.full((9, 7), 128, numpy.uint8)])
        Image.fromarray(clear, "RGBA").save(folder / "6.webp", lossless=True, exact=True)
        turned = Image.fromarray(images[1])
        exif = turned.getexif()
        exif[0x0112] = 3
        turned.save(folder / "7.webp", lossless=True, exif=exif)
        found, _ = self.imported(folder)
        over_white = numpy.rint((images[0] * 128.0 + 255.0 * 127) / 255).astype(numpy.uint8)
        self.assert_samples(found, [*images, over_white, images[1][::-1, ::-1]], ["images"] * 8)
        (folder / "8.webp").write_bytes((folder / "0.webp").read_bytes()[:-30])
        self.assertRegex(self.refused(folder), "8.webp': its WebP data is damaged")


class Oddities(ImportTest):
    """What real collections hold besides plain photographs; each with the behaviour that the README of data/ declares."""

    def setUp(self):
        super().setUp()
        self.cats = self.folder / "odd/train/cat"
        self.cats.mkdir(parents=True)
        self.rgb = pictures(1, 16, 16)[0]

    def save(self, name, image, **options):
        image.save(self.cats / name, **options)

    def by_name(self, *words, code=0):
        report = self.folder / "report.txt"
        found, done = self.imported(self.folder / "odd", "--size", "16x16", "--on-error", "skip", "--report", report, "--channels", "3", *words)
        samples = {sample[2].split("/")[-1]: sample[0] for split in found.values() for sample in split.values()}
        return samples, dict(line.split("\t") for line in report.read_text().splitlines()), done

    def test_every_kind_of_pixel_becomes_rgb(self):
        image, grey = Image.fromarray(self.rgb), Image.fromarray(self.rgb).convert("L")
        alpha = Image.fromarray(RANDOM.integers(0, 256, (16, 16), dtype=numpy.uint8))
        self.save("grey.png", grey)
        self.save("grey_alpha.png", Image.merge("LA", (grey, alpha)))
        self.save("rgba.png", Image.merge("RGBA", (*image.split(), alpha)))
        self.save("palette.png", image.quantize(8))
        self.save("inks.jpg", image.convert("CMYK"), quality=95)
        self.save("deep.png", Image.fromarray((numpy.asarray(grey).astype(numpy.uint16) * 257)))
        turned = Image.Exif()
        turned[0x0112] = 3
        self.save("turned.jpg", image, exif=turned, quality=95)
        self.save("wrong.jpg", image, format="PNG")
        self.save("one.png", Image.new("RGB", (1, 1), (9, 99, 199)))
        found, skipped, _ = self.by_name()
        self.assertEqual(skipped, {})
        share = numpy.asarray(alpha)[..., None] / 255
        rgb_of_grey = numpy.stack([numpy.asarray(grey)] * 3, -1)
        decoded = {name: numpy.asarray(Image.open(self.cats / name).convert("RGB")) for name in ("palette.png", "inks.jpg", "turned.jpg")}
        wanted = {"grey.png": rgb_of_grey, "grey_alpha.png": rgb_of_grey * share + 255 * (1 - share),
                  "rgba.png": self.rgb * share + 255 * (1 - share), "palette.png": decoded["palette.png"], "inks.jpg": decoded["inks.jpg"],
                  "deep.png": rgb_of_grey, "turned.jpg": decoded["turned.jpg"][::-1, ::-1], "wrong.jpg": self.rgb,
                  "one.png": numpy.full((16, 16, 3), (9, 99, 199))}
        self.assertEqual(found.keys(), wanted.keys())
        for name, pixels in wanted.items():
            self.assertLessEqual(numpy.abs(found[name].astype(float) - pixels).max(), 2, name)

    def test_what_is_no_whole_image_is_listed_with_its_reason(self):
        self.save("good.jpg", Image.fromarray(self.rgb))
        photo = (self.cats / "good.jpg").read_bytes()
        (self.cats / "zero.png").write_bytes(b"")
        (self.cats / "cut.jpg").write_bytes(photo[:-100])
        (self.cats / "text.png").write_text("no image")
        parts = [(b"IHDR", struct.pack(">IIBBBBB", 16000, 16000, 8, 2, 0, 0, 0)), (b"IDAT", zlib.compress(bytes(99))), (b"IEND", b"")]
        (self.cats / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in parts))
        (self.cats / "notes.txt").write_text("hello")
        (self.cats / ".hidden.png").write_text("junk")
        found, skipped, done = self.by_name()
        self.assertEqual(found.keys(), {"good.jpg"})
        reasons = {name.split("/")[-1]: reason for name, reason in skipped.items()}
        for name, reason in {"zero.png": "it is empty", "cut.jpg": "premature|Premature", "text.png": "no JPEG, PNG or WebP",
                             "bomb.png": "16000 x 16000 pixels", "notes.txt": "no image|not an image"}.items():
            self.assertRegex(reasons.pop(name), reason)
        self.assertEqual(reasons, {})
        self.assertIn("1 hidden files passed over", done.err)

    def test_links_and_names_in_any_encoding(self):
        self.save("good.png", Image.fromarray(self.rgb))
        with open(os.fsencode(self.cats) + b"/caf\xe9.png", "wb") as file:
            file.write(png(255 - self.rgb))
        (self.cats / "link.png").symlink_to("good.png")
        (self.cats / "lost.png").symlink_to("nowhere.png")
        outside = self.folder / "outside"
        outside.mkdir()
        (outside / "other.png").write_bytes(png(self.rgb))
        (self.cats / "folder").symlink_to(outside)
        (self.cats / "loop").symlink_to(self.cats)
        found, skipped, _ = self.by_name()
        self.assertEqual(found.keys(), {"good.png", "link.png", "caf?.png"})
        self.assertTrue(numpy.array_equal(found["link.png"], self.rgb))
        self.assertTrue(numpy.array_equal(found["caf?.png"], 255 - self.rgb))
        self.assertEqual({name.split("/")[-1] for name in skipped}, {"lost.png", "folder", "loop"})


class Wishes(ImportTest):
    def setUp(self):
        super().setUp()
        self.photos = self.folder / "photos"
        for i, image in enumerate(pictures(40)):
            path = self.photos / f"{'ab'[i % 2]}/{i:03}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(png(image))

    def count(self, found):
        return {split: len(samples) for split, samples in found.items()}

    def test_splits_by_share(self):
        numpy.save(self.folder / "many.npy", pictures(2000, 1, 1))
        found, _ = self.imported(self.folder / "many.npy", "--split", "70:20:10")
        self.assertAlmostEqual(len(found["valid"]), 400, delta=60)
        self.assertAlmostEqual(len(found["test"]), 200, delta=45)
        self.assertEqual(sum(map(len, found.values())), 2000)
        self.assertIn("100 in all", self.refused(self.photos, "--split", "70:20:20", code=2))

    def test_a_limit_draws_by_the_seed(self):
        drawn = []
        for seed in ("0", "0", "1"):
            found, _ = self.imported(self.photos, "--limit", "10", "--shuffle-seed", seed)
            drawn.append({number for split in found.values() for number in split})
            self.assertEqual(len(drawn[-1]), 10)
        self.assertEqual(drawn[0], drawn[1])
        self.assertNotEqual(drawn[0], drawn[2])

    def test_mirrored_images_come_besides_in_training_alone(self):
        plain, _ = self.imported(self.photos)
        found, _ = self.imported(self.photos, "--xflip")
        self.assertEqual(len(found["train"]), 2 * len(plain["train"]))
        self.assertEqual(found["valid"].keys(), plain["valid"].keys())
        for number, (pixels, name, file) in plain["train"].items():
            mirror = found["train"][number + 40]
            self.assertTrue(numpy.array_equal(mirror[0], pixels[:, ::-1]))
            self.assertEqual(mirror[1:], (name, file))

    def test_a_report_lists_what_was_skipped(self):
        (self.photos / "a/bad.png").write_bytes(b"\x89PNG\r\n\x1a\n")
        (self.photos / "notes.txt").write_text("x")
        report = self.folder / "report.tsv"
        self.imported(self.photos, "--on-error", "skip", "--report", report)
        lines = dict(line.split("\t") for line in report.read_text().splitlines())
        self.assertEqual(lines.keys(), {"a/bad.png", "notes.txt"})

    def test_the_manifest_tells_how_it_was_made(self):
        self.imported(self.photos, "--size", "6x4", "--fit", "pad", "--filter", "box", "--xflip")
        self.assertEqual(json.loads((self.folder / "set/manifest.json").read_text())["creator"],
                         "atelier data import --size 6x4 --fit pad --filter box --xflip --shuffle-seed 0")


class Ranks(ImportTest):
    """Many files, many shards."""

    def setUp(self):
        super().setUp()
        self.source = self.folder / "photos.zip"
        with zipfile.ZipFile(self.source, "w") as archive:
            for i, image in enumerate(pictures(8000, 24, 24)):
                archive.writestr(f"{'train' if i % 10 else 'test'}/{'abc'[i % 3]}/{i:05}.png", png(image))

    def start_import(self, out, ranks, *words):
        return self.start("data", "import", self.source, "--out", self.folder / out, "--size", "16x16", *words, ranks=ranks)

    def hashes(self, out):
        manifest = json.loads((self.folder / out / "manifest.json").read_text())
        return manifest["dataset_id"], {entry["file"]: entry["hash"] for entry in manifest["shards"]}

    def test_any_number_of_ranks_and_threads_gives_the_same_bytes(self):
        wanted = None
        for ranks, threads in ((0, 1), (0, 3), (1, 2), (2, 1), (3, 2), (4, 1)):
            out = f"set-{ranks}-{threads}"
            done = self.start_import(out, ranks, "--threads", str(threads)).end()
            self.assertEqual(done.code, 0, done)
            wanted = wanted or self.hashes(out)
            self.assertEqual(self.hashes(out), wanted)
            self.assertEqual(self.run_program("data", "verify", self.folder / out).code, 0)
            self.assertEqual(sorted(path.name for path in (self.folder / out).iterdir()), sorted([*wanted[1], "manifest.json"]))

    def test_an_error_is_the_same_on_all_ranks(self):
        with zipfile.ZipFile(self.source, "a") as archive:
            archive.writestr("train/a/zz.png", b"\x89PNG\r\n\x1a\n")
        done = self.start_import("bad", 3).end()
        self.assertEqual(done.code, 65, done)
        self.assertEqual(done.err.count("Cannot import 'train/a/zz.png'"), 1, done)
        self.assertEqual(sorted(path.name for path in self.folder.iterdir()), ["photos.zip"])

    def test_a_killed_import_goes_on_to_the_same_bytes(self):
        self.assertEqual(self.start_import("whole", 0).end().code, 0)
        start = time.monotonic()
        self.assertEqual(self.start_import("timed", 0).end().code, 0)
        whole_s = time.monotonic() - start
        kills, attempt = 0, 0
        chance = random.Random(5)
        while kills < KILLS:
            attempt += 1
            for _ in range(3):
                job = self.start_import("killed", (0, 2)[attempt % 2], "--threads", "1")
                time.sleep(chance.uniform(0.1, 0.9) * whole_s)
                job.kill()
                if (self.folder / "killed").exists():
                    break
                kills += 1
            if not (self.folder / "killed").exists():
                done = self.start_import("killed", (0, 3)[attempt % 2]).end()
                self.assertEqual(done.code, 0, done)
            self.assertEqual(self.hashes("killed"), self.hashes("whole"))
            shutil.rmtree(self.folder / "killed")

    def test_what_was_decoded_before_a_kill_is_not_decoded_again(self):
        job = self.start_import("killed", 0, "--threads", "1")
        journal = self.folder / ".killed.partial/.journal-0"
        while not (journal.exists() and journal.stat().st_size > 0):
            self.assertFalse((self.folder / "killed").exists(), "it was faster than we look")
            time.sleep(0.001)
        job.kill()
        done = self.start_import("killed", 0).end()
        self.assertEqual(done.code, 0, done)
        self.assertRegex(done.err, r"Went on with [\d,]+ images that an earlier import had decoded")


if __name__ == "__main__":
    main()
