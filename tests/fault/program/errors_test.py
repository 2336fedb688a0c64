"""Everything a user or a machine can get wrong: one readable message, the right exit code, and nothing lost."""
import json
import re
import shutil
import socket

from program import PROGRAM, ProgramTest, checkpoints, flip_byte, main, read_stats, tree, under_mpirun


class Errors(ProgramTest):
    def assert_refused(self, result, code, *parts):
        """Failed with `code` and one message that holds every part."""
        self.assertEqual(result.code, code, result)
        for part in parts:
            self.assertRegex(result.err, part)
        reports = result.reports()
        self.assertEqual(len(reports), 1, result)
        self.assertNotRegex(result.err, "terminate called|[Ss]egmentation|Traceback|defect", result)
        self.assertEqual(result.out, "")

    def check_refused(self, run, code, parts, worlds=(1,), **more):
        """Afterwards the run folder holds what it held before."""
        before = tree(run) if run.exists() else None
        for ranks in worlds:
            with self.subTest(ranks=ranks):
                self.assert_refused(self.start_training("ae", run, ranks=ranks, **more).end(), code, *parts)
                self.assertEqual(tree(run) if run.exists() else None, before)


class WrongCommand(Errors):
    CASES = {
        "an unknown key names the nearest": ({"train__bach": 3}, ["train.bach", "'train.batch'"]),
        "a wrong type": ({"train__steps": "many"}, ["train.steps", "many", "integer"]),
        "a value out of range": ({"train__steps": 0}, ["train.steps", "from 1"]),
        "an unknown choice": ({"model__family": "vea"}, ["model.family", "'vae'"]),
        "every fault at once": ({"train__steps": 0, "train__bach": 3}, ["train.steps", "train.bach"]),
    }

    def test_configuration(self):
        for name, (values, parts) in self.CASES.items():
            with self.subTest(name):
                self.check_refused(self.folder / "run", 2, parts, worlds=(1, 2) if "nearest" in name else (1,), **values)

    def test_a_file_is_blamed_with_line_and_column(self):
        file = self.folder / "wrong.toml"
        file.write_text("[train]\nsteps = 10\nbach = 3\n")
        result = self.run_program("train", file, "--data", self.data, "--run", self.folder / "run")
        self.assert_refused(result, 2, r"wrong\.toml:3:1", "train.batch")

    def test_an_unknown_preset_names_the_nearest(self):
        result = self.run_program("train", "gan-23", "--data", self.data, "--run", self.folder / "run")
        self.assert_refused(result, 2, "did you mean 'gan-32'")

    def test_must_without_a_run(self):
        self.check_refused(self.folder / "run", 2, ["no run", "without --resume"], resume="must", worlds=(1, 2))

    def test_a_batch_smaller_than_the_ranks(self):
        result = self.start_training("ae", self.folder / "run", ranks=2, train__batch=1).end()
        self.assert_refused(result, 2, "train.batch is 1", "2 ranks")

    def test_accumulation_that_does_not_divide_the_batch(self):
        result = self.start_training("ae", self.folder / "run", train__batch=16, train__accumulation=3).end()
        self.assert_refused(result, 2, "train.batch is 16", "train.accumulation = 3")

    def test_a_diverging_run_skips_steps_within_its_budget_and_ends_by_name(self):
        run = self.folder / "run"
        for ranks in (1, 2):
            with self.subTest(ranks=ranks):
                result = self.start_training("ae", run / str(ranks), ranks=ranks, train__skip_budget=2,
                                             optimizer__learning_rate=1e30, optimizer__warmup_images=0).end()
                self.assert_refused(result, 77, r"skipped \(3 of at most 2\); net AE: .*not finite on rank 0",
                                    "optimizer.learning_rate")
                self.assertRegex(result.err, r"W .*skipped \(2 of at most 2\)")
                self.assertRegex((run / str(ranks) / "log.txt").read_text(), r"error .*skipped \(3 of at most 2\)")
                outcome = json.loads((run / str(ranks) / "outcome.json").read_text())
                self.assertEqual((outcome["status"], outcome["exit_code"]), ("failed", 77))
                self.assertRegex(outcome["error"], r"rank \d: Step .*not finite")
                last = json.loads((run / str(ranks) / "stats.jsonl").read_text().splitlines()[-1])
                self.assertGreaterEqual(sum(value for key, value in last.items() if "nonfinite_values" in key), 3)

    def test_an_existing_run_is_not_touched(self):
        run = self.folder / "run"
        self.train("ae", run)
        self.check_refused(run, 73, ["already holds a run", r"\n  .*atelier train .* --run \S+/run --resume must\n",
                                     r"\n  .*atelier train .* --run \S+/run-2\n"], worlds=(1, 2))

    def test_a_folder_of_something_else_is_not_touched(self):
        run = self.folder / "run"
        run.mkdir()
        (run / "thesis.tex").write_text("years of work")
        self.check_refused(run, 73, ["not the folder of a run", "--run"])

    def test_a_run_folder_that_cannot_be_made(self):
        (self.folder / "file").write_text("")
        self.check_refused(self.folder / "file" / "run", 73, ["run folder", "file/run"])

    def test_resuming_with_another_configuration_names_the_key(self):
        run = self.folder / "run"
        self.train("ae", run)
        def kept():
            return {name: content for name, content in tree(run).items() if not name.endswith("log.txt")}
        before = kept()
        result = self.start_training("ae", run, resume="must", train__batch=8, train__steps=60).end()
        self.assert_refused(result, 2, "train.batch", "16", "8")
        self.assertEqual(kept(), before)

    def test_a_dry_run_refuses_what_the_run_would_refuse(self):
        words = self.train_words("ae", self.folder / "run")
        for more, code, part in ((["--set", "train.batch=15", "--set", "train.accumulation=2"], 2, "does not divide"),
                                 (["--data", self.folder / "none"], 65, "none"),
                                 (["--resume", "must"], 2, "no run")):
            with self.subTest(part):
                given = words if "--data" not in more else [word for word in words if word not in ("--data", self.data)]
                self.assert_refused(self.run_program(*given, *more, "--dry-run"), code, part)
        self.assertFalse((self.folder / "run").exists())
        self.train("ae", self.folder / "run")
        self.assert_refused(self.run_program(*words, "--dry-run"), 73, "already holds a run")

    def test_looking_at_what_is_no_checkpoint(self):
        for words in (("ls", self.folder / "none"), ("diff", self.folder, self.folder)):
            with self.subTest(words[0]):
                self.assert_refused(self.run_program("checkpoint", *words), 2, "is (no checkpoint|not the folder of a run)")

    def test_a_misspelt_resume_creates_nothing(self):
        self.check_refused(self.folder / "run", 2, ["Cannot resume from 'atuo'"], resume="atuo", worlds=(1, 2))

    def test_resuming_a_finished_run_leaves_its_outcome(self):
        run = self.folder / "run"
        self.train("ae", run)
        before = (run / "outcome.json").read_bytes()
        result = self.train("ae", run, ranks=2, resume="must")
        self.assertRegex(result.err, "is finished")
        self.assertEqual((run / "outcome.json").read_bytes(), before)

    def test_going_on_from_an_older_checkpoint_keeps_what_is_saved_then(self):
        run = self.folder / "run"
        self.train("ae", run, checkpoint__steps=10, checkpoint__keep=4)
        older = next(path for path in checkpoints(run) if path.name.endswith("10"))
        self.train("ae", run, resume=str(older), train__steps=15, checkpoint__steps=10)
        self.assertEqual(sorted(path.name[-2:] for path in checkpoints(run)), ["10", "15"])
        self.assertEqual(len(list((run / "checkpoints" / "abandoned").iterdir())), 2)
        self.assertEqual(json.loads((run / "outcome.json").read_text())["step"], 15)

    def two_commands(self, one, other):
        return self.start_command(under_mpirun((1, [PROGRAM, *one]), (1, [PROGRAM, *other]))).end()

    def test_two_configurations_in_one_job(self):
        run = self.folder / "run"
        result = self.two_commands(self.train_words("ae", run), self.train_words("ae", run, train__batch=32))
        self.assert_refused(result, 2, "rank 1 has train.batch = 32, rank 0 has 16")
        self.assertFalse(run.exists())

    def test_two_datasets_in_one_job(self):
        run = self.folder / "run"
        words = self.train_words("ae", run)
        other = self.make_data(self.folder / "other", "--seed", 2)
        result = self.two_commands(words, [other if word == self.data else word for word in words])
        self.assert_refused(result, 2, "rank 1 has dataset id")
        self.assertFalse(run.exists())


class DamagedData(Errors):
    def setUp(self):
        super().setUp()
        self.whole = self.data
        self.data = self.folder / "data"
        self.addCleanup(setattr, self, "data", self.whole)

    def copy(self):
        shutil.copytree(self.whole, self.data)
        manifest = json.loads((self.data / "manifest.json").read_text())
        return next(shard for shard in manifest["shards"] if shard["split"] == "train")

    def test_a_missing_dataset(self):
        self.check_refused(self.folder / "run", 65, ["no dataset", re.escape(str(self.data)), "data make"], worlds=(1, 2))

    def test_a_folder_that_is_no_dataset(self):
        self.data.mkdir()
        self.check_refused(self.folder / "run", 65, ["manifest.json"])

    def test_a_missing_shard(self):
        shard = self.copy()
        (self.data / shard["file"]).unlink()
        self.check_refused(self.folder / "run", 65, [re.escape(shard["file"]), "missing"])

    def test_a_truncated_shard(self):
        shard = self.copy()
        path = self.data / shard["file"]
        size = path.stat().st_size
        with open(path, "r+b") as file:
            file.truncate(size - 1000)
        self.check_refused(self.folder / "run", 65, [re.escape(shard["file"]), str(size - 1000), str(size)], worlds=(1, 2))

    def test_a_flipped_byte_in_a_shard(self):
        shard = self.copy()
        offset = shard["data_offset"] + 12345
        flip_byte(self.data / shard["file"], offset)
        for ranks in (1, 2):
            with self.subTest(ranks=ranks):
                result = self.start_training("ae", self.folder / f"run-{ranks}", ranks=ranks).end()
                self.assert_refused(result, 65, re.escape(shard["file"]))
                ranges = [(int(a.replace(",", "")), int(b.replace(",", "")))
                          for a, b in re.findall(r"bytes ([\d,]+)(?: to |-|\.\.)([\d,]+)", result.err)]
                self.assertTrue(any(first <= offset <= last for first, last in ranges), result)
        verdict = self.run_program("data", "verify", self.data)
        self.assertEqual(verdict.code, 65, verdict)
        self.assertIn(shard["file"], verdict.out)

    def test_a_flipped_byte_in_the_manifest(self):
        self.copy()
        flip_byte(self.data / "manifest.json", 40)
        self.check_refused(self.folder / "run", 65, ["manifest.json"])


class TakenPort(Errors):
    def test_training_goes_on_with_the_next_port(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            result = self.train("ae", self.folder / "run", ranks=2, monitoring__port=port)
        self.assertRegex(result.err, f"Port {port} .*taken")
        served = [int(number) for number in re.findall(r"http://127\.0\.0\.1:(\d+)/metrics", result.err)]
        self.assertEqual(len(set(served)), 2, result)
        self.assertNotIn(port, served)
        self.assertTrue(all(port < number <= port + 20 for number in served), result)


class DamagedCheckpoint(Errors):
    FILES = ("model.safetensors", "ema.safetensors", "optimizer.safetensors", "state.json", "MANIFEST.json")

    def setUp(self):
        super().setUp()
        self.reference = self.folder / "reference"
        self.train("gan", self.reference, train__steps=60, checkpoint__steps=20, monitoring__steps=1)

    def copy(self, name):
        run = self.folder / name
        shutil.copytree(self.reference, run)
        return run

    def test_the_one_before_takes_over(self):
        for name in self.FILES:
            with self.subTest(name):
                run = self.copy(name)
                newest = checkpoints(run)[-1]
                flip_byte(newest / name, (newest / name).stat().st_size // 2)
                listing = self.run_program("checkpoint", "ls", run)
                self.assertEqual(listing.code, 65, listing)
                result = self.train("gan", run, resume="must", train__steps=60, checkpoint__steps=20, monitoring__steps=1)
                self.assertRegex(result.err, f"{newest.name}/{name}.*(byte|hash)")
                self.assertRegex(result.err, "Resumed from step 40")
                self.assert_same_weights(run, self.reference)
                self.assertTrue(any((run / "checkpoints" / "quarantine").iterdir()))
                self.assertEqual(self.run_program("checkpoint", "ls", run).code, 0)

    def test_all_damaged(self):
        run = self.copy("all")
        for checkpoint in checkpoints(run):
            flip_byte(checkpoint / "model.safetensors", 500)
        kept = tree(run / "checkpoints")
        for mode, ranks in (("must", 1), ("auto", 2)):
            with self.subTest(mode=mode, ranks=ranks):
                result = self.start_training("gan", run, ranks=ranks, resume=mode, train__steps=80).end()
                self.assert_refused(result, 65, *(f"{path.name}/model.safetensors" for path in checkpoints(run)))
                self.assertEqual(tree(run / "checkpoints"), kept)
        self.assertEqual(max(read_stats(run)), 60)


if __name__ == "__main__":
    main()
