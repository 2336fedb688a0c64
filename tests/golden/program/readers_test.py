"""Independent readers: safetensors and numpy, TensorBoard, Pillow, h5py make of a run's files what the program says of them."""
import json
import math

import numpy as np
from PIL import Image
from safetensors.numpy import load_file

from program import ProgramTest, checkpoints, main, read_json, read_stats

SIDE = 16       # of the images
SCALE = 4       # pictures show small images enlarged
SEPARATOR = 2
STEPS = 100


def convolve(x, weight, bias):
    """4x4, stride 2, padding 1. Shapes: [N,C,H,W], [O,C,4,4] -> [N,O,H/2,W/2]."""
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    height, width = x.shape[2] // 2, x.shape[3] // 2
    y = np.zeros((x.shape[0], weight.shape[0], height, width))
    for i in range(4):
        for j in range(4):
            part = padded[:, :, i:i + 2 * height:2, j:j + 2 * width:2]
            y += np.einsum("nchw,oc->nohw", part, weight[:, :, i, j])
    return y + bias[None, :, None, None]


def convolve_transposed(x, weight, bias):
    """The transpose of `convolve`. Shapes: [N,C,H,W], [C,O,4,4] -> [N,O,2H,2W]."""
    count, _, height, width = x.shape
    y = np.zeros((count, weight.shape[1], 2 * height + 2, 2 * width + 2))
    for i in range(4):
        for j in range(4):
            y[:, :, i:i + 2 * height:2, j:j + 2 * width:2] += np.einsum("nchw,co->nohw", x, weight[:, :, i, j])
    return y[:, :, 1:-1, 1:-1] + bias[None, :, None, None]


def silu(x):
    return x / (1 + np.exp(-x))


def reconstruct(tensors, x):
    """The whole autoencoder in float64 from its named tensors, which are named alike in every file: NET.PART.LAYER.KIND."""
    def pair(name):
        return tuple(tensors[f"AE.{name}.{kind}"].astype(np.float64) for kind in ("weight", "bias"))

    for level in range(2):
        x = silu(convolve(x, *pair(f"encoder.convolutions.{level}")))
    weight, bias = pair("encoder.to_latent")
    code = x.transpose(0, 2, 3, 1).reshape(len(x), -1) @ weight.T + bias
    weight, bias = pair("decoder.from_latent")
    base = SIDE // 4
    x = (code @ weight.T + bias).reshape(len(code), base, base, -1).transpose(0, 3, 1, 2)
    for level in range(2):
        x = convolve_transposed(silu(x), *pair(f"decoder.convolutions.{level}"))
    return x


def read_images(data, split):
    """Shapes: [N,C,H,W] float64 in [-1,1]."""
    import h5py
    shards = [shard for shard in read_json(data / "manifest.json")["shards"] if shard["split"] == split]
    images = []
    for shard in shards:
        with h5py.File(data / shard["file"]) as file:
            images.append(file["images"][:])
    return np.concatenate(images).transpose(0, 3, 1, 2) / 127.5 - 1


def open_picture(path):
    with Image.open(path) as picture:
        picture.load()  # every byte decodes
        return picture


def cell(picture, columns, index):
    """Image `index` of a grid, as the file shows it."""
    step = SIDE * SCALE + SEPARATOR
    top, left = index // columns * step + SEPARATOR, index % columns * step + SEPARATOR
    return picture[top:top + SIDE * SCALE, left:left + SIDE * SCALE]


def grid_size(columns, rows):
    return (columns * (SIDE * SCALE + SEPARATOR) + SEPARATOR, rows * (SIDE * SCALE + SEPARATOR) + SEPARATOR)


class Readers(ProgramTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.runs = {}
        for family in ("ae", "vae", "gan"):
            cls.runs[family] = cls.shared / family
            cls.must_run(*cls.train_words(cls, family, cls.runs[family], train__steps=STEPS, monitoring__steps=10,
                                          checkpoint__steps=50))

    def test_safetensors_reads_every_tensor_file(self):
        for family, run in self.runs.items():
            newest = checkpoints(run)[-1]
            model, ema, optimizer = (load_file(newest / f"{name}.safetensors") for name in ("model", "ema", "optimizer"))
            outcome = read_json(run / "outcome.json")
            for net, count in outcome["parameters"].items():
                sizes = [tensor.size for name, tensor in model.items() if name.startswith(f"{net}.")]
                self.assertEqual(sum(sizes), count, family)
            self.assertTrue(set(ema) <= set(model) and ema, family)
            for name, average in ema.items():
                self.assertEqual(average.shape, model[name].shape)
                self.assertTrue(np.isfinite(average).all())
                self.assertFalse(np.array_equal(average, model[name]), name)
            floats = sum(tensor.size for tensor in optimizer.values() if tensor.dtype == np.float32)
            self.assertEqual(floats, 2 * sum(outcome["parameters"].values()))

    def test_numpy_reconstructs_as_the_program(self):
        said = self.run_program("reconstruct", self.runs["ae"], "--data", self.data, "--json")
        self.assertEqual(said.code, 0, said)
        said = json.loads(said.out)
        images = read_images(self.data, "test")
        self.assertEqual(said["images"], len(images))
        tensors = load_file(checkpoints(self.runs["ae"])[-1] / "ema.safetensors")
        error = np.clip(reconstruct(tensors, images), -1, 1) - images
        self.assertAlmostEqual(10 * math.log10(4 / np.mean(error ** 2)), said["psnr_db"], delta=1e-3)
        mean = read_images(self.data, "train").mean(axis=0)
        self.assertAlmostEqual(10 * math.log10(4 / np.mean((images - mean) ** 2)), said["mean_image_psnr_db"], delta=1e-3)

    def test_tensorboard_shows_the_values_of_stats(self):
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
        for family, run in self.runs.items():
            events = EventAccumulator(str(run), size_guidance={"scalars": 0, "images": 0})
            events.Reload()
            shown = {}
            for tag in events.Tags()["scalars"]:
                for scalar in events.Scalars(tag):
                    shown[tag, scalar.step] = scalar.value
            stats = read_stats(run)
            self.assertEqual(list(stats), list(range(10, STEPS + 1, 10)))
            compared = 0
            for step, line in stats.items():
                for name, value in line.items():
                    if name in ("attempt", "step", "unix_seconds"):
                        continue
                    found = shown[name.rstrip("}").replace("{", "/"), step]
                    self.assertTrue(math.isnan(found) if value is None else
                                    math.isclose(found, value, rel_tol=1e-6, abs_tol=1e-30), (family, step, name, found, value))
                    compared += 1
            self.assertGreater(compared, 200)
            self.assertTrue(events.Tags()["images"])

    def test_pictures_have_their_sizes(self):
        held_out = read_json(self.data / "manifest.json")["splits"]["valid"]["num_samples"]
        rows = math.ceil(min(held_out, 64) / 8)
        for family, run in self.runs.items():
            sizes = {path.name: open_picture(path).size for path in run.glob("*.png")}
            expected = {"reals.png": grid_size(8, rows)}
            for step in ("000000", f"{STEPS:06d}"):
                if family != "ae":
                    expected[f"fakes{step}.png"] = grid_size(8, 8)
                if family != "gan":
                    pair_rows = 2 * math.ceil(min(held_out, 32) / 8)
                    expected[f"reconstructions{step}.png"] = grid_size(8, pair_rows)
            self.assertEqual(sizes, expected, family)

    def sample(self, family, count, seed, name):
        out = self.folder / f"{name}.png"
        result = self.run_program("sample", self.runs[family], "--count", count, "--seed", seed, "--out", out)
        self.assertEqual(result.code, 0, result)
        return np.asarray(open_picture(out).convert("RGB"))

    def test_samples_depend_on_the_seed_and_their_number_alone(self):
        for family in ("vae", "gan"):
            few = self.sample(family, 8, 1, "few")
            many = self.sample(family, 64, 1, "many")
            again = self.sample(family, 64, 1, "again")
            other = self.sample(family, 64, 2, "other")
            self.assertTrue(np.array_equal(many, again))
            self.assertFalse(np.array_equal(many, other))
            for index in range(8):
                self.assertTrue(np.array_equal(cell(few, 3, index), cell(many, 8, index)), (family, index))
            self.assertFalse(np.array_equal(cell(many, 8, 0), cell(many, 8, 1)))

    def test_what_a_model_cannot_do_is_refused(self):
        for words, reason in ((("sample", self.runs["ae"], "--out", self.folder / "no.png"), "ae"),
                              (("reconstruct", self.runs["gan"], "--data", self.data), "gan")):
            result = self.run_program(*words)
            self.assertEqual(result.code, 78, result)
            self.assertIn(reason, result.err)
            self.assertFalse((self.folder / "no.png").exists())


if __name__ == "__main__":
    main()
