"""The command line as its users meet it: help, usage errors, configurations that read back, JSON on standard output."""
import json
import re

from program import FAMILIES, ProgramTest, main, tree

PRESETS = [f"{family}-{size}" for family in FAMILIES for size in (32, 64)] + ["dcgan-64"]


def subcommands(help_text):
    section = re.search(r"^Subcommands:\n((?:  .*\n?)+)", help_text, re.M)
    return re.findall(r"^  (\S+)", section.group(1), re.M) if section else []


class CommandLine(ProgramTest):
    def ok(self, *words, ranks=1):
        result = self.run_program(*words, ranks=ranks)
        self.assertEqual(result.code, 0, result)
        return result

    def help_of(self, path):
        """{command path: help} of a command and all below it."""
        text = self.ok(*path, "--help").out
        found = {path: text}
        for name in subcommands(text):
            found |= self.help_of((*path, name))
        return found

    def test_every_subcommand_explains_itself(self):
        helps = self.help_of(())
        names = {path for path in helps if path}
        for expected in (("train",), ("data", "make"), ("data", "import"), ("data", "info"), ("data", "verify"), ("sample",),
                         ("reconstruct",), ("compare",), ("checkpoint", "ls"), ("health",), ("doctor",), ("config", "print"), ("version",)):
            self.assertIn(expected, names)
        for path, text in helps.items():
            self.assertIn("Usage:", text)
            first = text.strip().splitlines()[0]
            self.assertFalse(first.startswith("Usage"), f"{path} does not say what it is for")
            lines = text.splitlines() + [""]
            for line, after in zip(lines, lines[1:]):
                if line.startswith("  -"):  # its words stand behind it, or on the next line when it is long
                    self.assertRegex(line.strip() + "\n" + after, r"^\S.*?(\s{2,}|\n\s{10,})\w", path)

    def test_usage_errors_exit_with_2_and_point_to_the_help(self):
        for words in ((), ("tarin",), ("train",), ("train", "gan-32"), ("data",), ("data", "make"), ("version", "--jason"),
                      ("sample", "run", "--count", "0"), ("sample", "run", "--count", "many"), ("compare",),
                      ("train", "gan-32", "--data", "d", "surplus"), ("config", "print")):
            with self.subTest(words):
                result = self.run_program(*words)
                self.assertEqual(result.code, 2, result)
                self.assertIn("--help", result.err)
                self.assertEqual(result.out, "")

    def test_a_usage_error_under_mpirun_is_told_once(self):
        result = self.run_program("train", "gan-32", "--data", "d", "--surplus", ranks=2)
        self.assertEqual(result.code, 2, result)
        self.assertEqual(result.err.count("--surplus"), 1, result)

    def test_a_printed_configuration_reads_back(self):
        for preset in PRESETS:
            text = self.ok("config", "print", preset).out
            file = self.folder / f"{preset}.toml"
            file.write_text(text)
            self.assertEqual(self.ok("config", "print", file).out, text)

    def test_presets_are_listed(self):
        self.assertEqual(sorted(re.findall(r"^(\S+)\t", self.ok("config", "presets").out, re.M)), sorted(PRESETS))

    def test_set_wins_over_the_file(self):
        file = self.folder / "mine.toml"
        file.write_text("seed = 7\n[train]\nsteps = 11\nbatch = 32\n")
        text = self.ok("config", "print", file, "--set", "train.steps=12").out
        self.assertRegex(text, r"(?m)^steps = 12\b")
        self.assertRegex(text, r"(?m)^batch = 32\b")
        self.assertRegex(text, r"(?m)^seed = 7\b")

    def test_the_schema_describes_every_key(self):
        schema = json.loads(self.ok("config", "schema", "--json").out)
        text = json.dumps(schema)
        for key in ("seed", "train.steps", "train.batch", "train.precision", "train.deterministic", "train.threads",
                    "checkpoint.steps", "monitoring.port", "monitoring.discovery_dir"):
            self.assertIn(f'"{key}"', text)
        table = self.ok("config", "schema").out
        self.assertIn("train.steps", table)

    def test_json_output_is_one_document(self):
        run = self.folder / "run"
        self.train("ae", run)
        for words in (("version", "--json"), ("doctor", "--json"), ("config", "schema", "--json"), ("data", "info", self.data, "--json"),
                      ("reconstruct", run, "--data", self.data, "--json"), ("compare", run, run, "--json")):
            for ranks in (1, 2):
                with self.subTest(words=words, ranks=ranks):
                    json.loads(self.ok(*words, ranks=ranks).out)

    def test_a_dry_run_tells_its_plan_and_creates_nothing(self):
        before = tree(self.folder)
        for ranks in (1, 2):
            result = self.ok(*self.train_words("gan", self.folder / "run"), "--dry-run", ranks=ranks)
            self.assertEqual(result.out.count("Would train gan"), 1, result)
            for word in ("parameters", "memory", "checkpoints"):
                self.assertIn(word, result.out)
        self.assertEqual(tree(self.folder), before)
        self.assertFalse((self.folder / "run").exists())

    def test_the_resolved_configuration_is_stored(self):
        run = self.folder / "run"
        self.train("vae", run)
        file = run / "config.toml"
        self.assertEqual(self.ok("config", "print", file).out, file.read_text())
        self.assertRegex(file.read_text(), r"(?m)^steps = 30\b")


if __name__ == "__main__":
    main()
