"""`atelier bench`: one JSON document each, figures that fit together, and inputs that another program can train on."""
import json
import math

from PIL import Image
from program import ProgramTest, main
from safetensors.numpy import load_file

SMALL = ("--steps", "3", "--set", "model.width=8", "--set", "train.precision=fp32")


class Bench(ProgramTest):
    def bench(self, *words, ranks=1):
        done = self.run_program("bench", *words, "--json", ranks=ranks)
        self.assertEqual(done.code, 0, done)
        return json.loads(done.out)

    def test_comm(self):
        found = self.bench("comm", ranks=2)
        self.assertEqual((found["bench"], found["ranks"], found["backend"]), ("comm", 2, "mpi"))
        self.assertEqual([row["bytes"] for row in found["all_reduce"]], [4, 65536, 1 << 20, 7 << 20, 32 << 20])
        for row in found["all_reduce"]:
            for kind in ("microseconds", "allocated_microseconds"):
                self.assertGreater(row[kind]["tenth"], 0)
                self.assertLessEqual(row[kind]["tenth"], row[kind]["median"])

    def test_optimizer(self):
        found = self.bench("optimizer", "--parameters", "200000", "--tensors", "7")
        self.assertEqual((found["parameters"], found["tensors"]), (200000, 7))
        self.assertAlmostEqual(found["bytes_per_second"] * found["milliseconds"] / 1e3, 36 * 200000, delta=1)
        self.assertGreater(found["faster_than_peer"]["median"], 0)

    def test_step_with_the_inputs_of_the_first_steps(self):
        folder = self.folder / "inputs"
        found = self.bench("step", "--preset", "dcgan-64", "--side", "32", "--batch-per-rank", "4", *SMALL, "--inputs", folder, ranks=2)
        self.assertEqual((found["ranks"], found["batch_per_rank"], found["precision"]), (2, 4, "fp32"))
        self.assertAlmostEqual(found["images_per_second"], 8e3 / found["step_milliseconds"]["median"], places=3)
        stages = found["stage_milliseconds"]
        self.assertEqual(list(stages), ["forward", "backward", "all_reduce", "optimizer", "metrics"])
        self.assertLess(sum(stages.values()), 3 * found["step_milliseconds"]["ninetieth"])
        self.assertEqual(len(found["losses"]), 10)
        self.assertTrue(all(math.isfinite(loss) for row in found["losses"] for loss in row.values()))
        self.assertEqual(sorted(found["losses"][0]), ["D.adversarial", "G.adversarial"])

        inputs = load_file(folder / "inputs.safetensors")
        self.assertEqual(inputs["images.0"].shape, (10, 8, 32, 32, 3))
        self.assertEqual(inputs["latents"].shape, (10, 8, 100))
        self.assertLess(abs(inputs["latents"].mean()), 0.1)
        weights = load_file(folder / "weights.safetensors")
        self.assertEqual(weights["D.to_logit.weight"].shape, (1, 32 * 16))
        self.assertIn("G.normalizations.0.running_var", weights)

    def test_the_losses_are_those_of_one_rank_with_the_whole_batch(self):
        words = ("step", "--preset", "vae-32", *SMALL, "--set", "train.precision=fp64")
        two = self.bench(*words, "--batch-per-rank", "4", ranks=2)["losses"]
        one = self.bench(*words, "--batch-per-rank", "8")["losses"]
        for a, b in zip(one, two):
            for name, value in a.items():
                self.assertAlmostEqual(b[name] / value, 1, places=9)

    def test_watching(self):
        folder = self.folder / "watched"
        words = ("--preset", "gan-32", "--batch-per-rank", "4", *SMALL, "--out", folder, "--set", "monitoring.port=0")
        found = self.bench("watching", *words, ranks=2)
        parts = [found[f"{name}_nanoseconds"] for name in ("metrics", "recorder", "replica")]
        self.assertTrue(all(part > 0 for part in parts))
        self.assertAlmostEqual(found["share_of_step"], sum(parts) / found["step_nanoseconds"])
        self.assertGreaterEqual(found["collectives_per_step"], 3)
        self.assertTrue((folder / "stats.jsonl").exists())
        self.assertEqual(self.run_program("bench", "watching", *words).code, 73)

    def test_words_for_a_reader(self):
        done = self.run_program("bench", "step", "--preset", "gan-32", "--batch-per-rank", "4", *SMALL)
        self.assertRegex(done.out, r"gan-32 on 1 rank\(s\) x 1 thread\(s\), fp32, 4 images per rank\n  [\d.]+ images/s; a step takes")

    def test_data_raw_and_cold(self):
        found = self.bench("data", self.data, "--batch", "32", "--rounds", "2")
        self.assertEqual((found["storage"], found["reference"]), ("raw", "memcpy"))
        self.assertGreater(found["ratio_to_memcpy"]["median"], 0)
        self.assertGreater(found["checked_once_to_unchecked"]["median"], 0)
        cold = self.run_program("bench", "data", self.data, "--batch", "32", "--rounds", "2", "--cold", "--order", "block", "--json")
        if cold.code == 78:  # its file system is memory
            self.assertRegex(cold.err, "past the page cache|keeps .* in its cache")
        else:
            self.assertEqual(cold.code, 0, cold)
            self.assertGreater(json.loads(cold.out)["ratio_to_direct_reads"]["median"], 0)

    def test_data_of_jpeg_files(self):
        photos = self.folder / "photos"
        photos.mkdir()
        for i in range(40):
            shade = Image.radial_gradient("L").resize((48, 32)).point(lambda value, i=i: (value + 6 * i) % 256)
            shade.convert("RGB").save(photos / f"{i:02}.jpg")
        self.must_run("data", "import", photos, "--out", self.folder / "set", "--storage", "encoded")
        found = self.bench("data", self.folder / "set", "--batch", "8", "--rounds", "2")
        self.assertEqual((found["storage"], found["image"]), ("encoded", "32x48x3"))
        self.assertGreater(found["ratio_to_unpacking_alone"]["median"], 0.3)
        self.assertIn("unpacking alone", self.run_program("bench", "data", self.folder / "set", "--rounds", "1").out)

    def test_what_would_be_ignored_is_refused(self):
        done = self.run_program("bench", "step", "--preset", "gan-32", "--set", "train.accumulation=2")
        self.assertEqual(done.code, 2)
        self.assertIn("train.accumulation", done.err)

    def test_a_file_in_the_way_is_not_overwritten(self):
        (self.folder / "inputs").mkdir()
        (self.folder / "inputs" / "weights.safetensors").write_text("mine")
        done = self.run_program("bench", "step", "--preset", "gan-32", *SMALL, "--inputs", self.folder / "inputs")
        self.assertEqual(done.code, 74)
        self.assertEqual((self.folder / "inputs" / "weights.safetensors").read_text(), "mine")


if __name__ == "__main__":
    main()
