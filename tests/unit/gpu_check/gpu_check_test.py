"""launch/gpu_check's judgements on made-up results: what counts as passed, and what a page tells."""

import argparse
import contextlib
import io
import json
import pathlib
import platform
import sys
import tempfile
import time
import unittest
from unittest import mock

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[3] / "launch/gpu_check_parts"))
sys.dont_write_bytecode = True
import check  # noqa: E402
import gpu_tests  # noqa: E402
import libtorch  # noqa: E402
import machine  # noqa: E402
import manifest  # noqa: E402
import page  # noqa: E402
from process import Ended, run  # noqa: E402
from refusal import Refusal  # noqa: E402

TEST = {"name": "gpu.made_up", "limit_s": 9.0}
NOT_RUN = {"state": "not run", "reason": "not asked for", "rows": []}
GOOGLETEST = """<?xml version="1.0" encoding="UTF-8"?>
<testsuites><testsuite name="Net">
<testcase name="equals" status="run" result="completed" time="0.5" classname="Net" />
<testcase name="shares" status="run" result="skipped" time="0" classname="Net"><skipped message="a.cpp:9&#x0A;one GPU is not enough" /></testcase>
<testcase name="differs" status="run" result="completed" time="0" classname="Net"><failure message="a.cpp:9&#x0A;1 is not 2" type="" /></testcase>
<testcase name="disabled" status="notrun" result="suppressed" time="0" classname="Net" />
</testsuite></testsuites>
"""
UNITTEST = """test_named (__main__.Lost) ... ok
test_killed (__main__.Lost.test_killed) ... FAIL
setUpClass (__main__.Other) ... skipped "CUDA's driver is missing"
test_noisy (__main__.Lost) ... a line of a job
ok
"""


def case(state, text=""):
    return {"name": "A.b", "state": state, "text": text}


def state(code, *cases, **more):
    return gpu_tests.judged(TEST, Ended(code, more.pop("out", ""), "", 1.0, **more), list(cases))["state"]


class Judgement(unittest.TestCase):
    def test_a_skip_is_never_a_pass(self):
        self.assertEqual(state(0, case("passed"), case("skipped", "why")), "passed")
        self.assertEqual(state(0, case("skipped", "why")), "skipped")
        self.assertEqual(state(78, out="Skipped: no device\n"), "skipped")
        self.assertEqual(state(0), "failed")  # it told of nothing

    def test_failures_and_time_count_whatever_the_exit_code(self):
        self.assertEqual(state(1, case("passed")), "failed")  # another rank's
        self.assertEqual(state(0, case("passed"), case("failed")), "failed")
        self.assertEqual(state(-9, case("passed"), timed_out=True), "timed out")

    def test_reasons_are_kept(self):
        judged = gpu_tests.judged(TEST, Ended(78, "noise\nSkipped: no device\n", "", 1.0), [])
        self.assertEqual(judged["reason"], "no device")

    def test_googletest_tells_reasons(self):
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder) / "a.xml"
            file.write_text(GOOGLETEST)
            cases = gpu_tests.googletest_cases(file)
        self.assertEqual([(each["name"], each["state"]) for each in cases],
                         [("Net.equals", "passed"), ("Net.shares", "skipped"), ("Net.differs", "failed")])
        self.assertEqual(cases[1]["text"], "one GPU is not enough")

    def test_unittest_of_several_pythons_is_read(self):
        cases = gpu_tests.unittest_cases(UNITTEST)
        self.assertEqual([(each["name"], each["state"]) for each in cases],
                         [("Lost.test_named", "passed"), ("Lost.test_killed", "failed"), ("Other.setUpClass", "skipped")])
        self.assertEqual(cases[2]["text"], "CUDA's driver is missing")

    def test_the_exit_code_is_0_only_when_every_test_passed(self):
        def code(*states, bench="run", asked=None):
            return check.verdict([{"state": each} for each in states], {"state": bench}, asked)[0]
        self.assertEqual(code("passed", "passed"), 0)
        self.assertEqual(code("passed", "skipped"), 78)
        self.assertEqual(code("passed", "skipped", "failed"), 1)
        self.assertEqual(code("passed", "timed out"), 1)
        self.assertEqual(code("passed", bench="failed"), 1)
        self.assertEqual(code("passed", bench="not run"), 0)
        self.assertEqual(code("passed", bench="not run", asked="tests"), 0)
        self.assertEqual(code(bench="not run", asked="benchmarks"), 78)
        self.assertEqual(code(), 78)


class Parts(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def test_versions_of_libtorch_are_read_without_importing_it(self):
        (self.folder / "version.py").write_text("__version__ = '2.11.0+cu130'\ndebug = False\ncuda: Optional[str] = '13.0'\n")
        self.assertEqual(libtorch.version_of(self.folder), ("2.11.0", "13.0"))
        (self.folder / "version.py").write_text("__version__ = '2.9.1+cu128'\n")
        self.assertEqual(libtorch.version_of(self.folder), ("2.9.1", "12.8"))

    def test_another_libtorch_is_refused_by_name(self):
        (self.folder / "torch/lib").mkdir(parents=True)
        (self.folder / "torch/version.py").write_text("__version__ = '2.9.1+cu128'\n")
        with self.assertRaisesRegex(Refusal, r"is 2\.9\.1, this bundle was built for 2\.11\.0"):
            libtorch.find(str(self.folder / "torch"), "2.11.0", [])
        (self.folder / "torch/version.py").write_text("__version__ = '2.11.0+cpu'\n")
        with self.assertRaisesRegex(Refusal, "a build without CUDA"):
            libtorch.find(str(self.folder), "2.11.0", [])
        (self.folder / "torch/lib/libtorch_cuda.so").write_text("")
        with self.assertRaisesRegex(Refusal, r"does not bring libcudart\.so\.13"):
            libtorch.find(str(self.folder), "2.11.0", ["libcudart.so.13", "libtorch_cuda.so"])

    def test_a_missing_file_of_a_bundle_is_named(self):
        (self.folder / "a").write_text("a")
        manifest.write(self.folder, {"commit": "x"})
        self.assertEqual(manifest.read(self.folder)["commit"], "x")
        (self.folder / "a").unlink()
        with self.assertRaisesRegex(Refusal, "lacks a,"):
            manifest.read(self.folder)

    def test_a_command_that_hangs_is_ended_with_its_children(self):
        ended = run(["sh", "-c", "sleep 300 & sleep 300"], {"PATH": "/usr/bin:/bin"}, 0.3)
        self.assertTrue(ended.timed_out)
        self.assertLess(ended.seconds, 20)

    def test_all_tests_together_keep_to_a_budget(self):
        hangs = {"command": ["sh", "-c", "sleep 300"], "environment": {}, "limit_s": 300.0}
        start = time.monotonic()
        with mock.patch.object(check, "LEAST_TEST_S", 0.1), contextlib.redirect_stdout(io.StringIO()):
            results = check.run_tests({"tests": [{**hangs, "name": "gpu.a"}, {**hangs, "name": "gpu.b"}]}, self.folder,
                                      {"PATH": "/usr/bin:/bin"}, self.folder, 0.5)
        self.assertLess(time.monotonic() - start, 20)
        self.assertEqual([each["state"] for each in results], ["timed out", "timed out"])
        self.assertIn("used up", results[1]["reason"])

    def test_a_page_tells_everything_and_needs_nothing(self):
        row = {"case": "dcgan", "about": "DCGAN & DDP", "bar": 1.5, "rounds": 3, "losses_apart": 1e-4, "losses_agree": True,
               "images_per_second": 12345.6, "peer_images_per_second": 6000.0, "ratio": 2.06, "interval": [2.0, 2.1]}
        result = {"started": "now", "seconds": 5.0, "verdict": "tests: 1 passed, 1 skipped", "exit_code": 78, "commit": "abc",
                  "machine": {"gpus": ["NVIDIA H100 80GB HBM3"], "system": "Debian", "kernel": "6", "glibc": "2.36", "cores": 8},
                  "torch": None, "doctor": None,
                  "tests": [{"name": "gpu.a", "state": "passed", "seconds": 1.0, "cases": [case("skipped", "<one GPU>")]},
                            {"name": "gpu.b", "state": "timed out", "seconds": 1.0, "cases": [], "reason": "late", "output": "x < y"}],
                  "benchmarks": {"state": "run", "seconds": 9.0, "rows": [row, {"case": "b", "about": "later", "bar": 1, "rounds": 0}]}}
        text = page.page(result)
        for part in ("NVIDIA H100", "A.b skipped: &lt;one GPU&gt;", "timed out", "x &lt; y", "12,346", "2.06 (2.00–2.10)", "DCGAN &amp; DDP",
                     "no time left"):
            self.assertIn(part, text)
        self.assertNotRegex(text, r"<script|src=|https?://|<link")
        self.assertIn("Not run: not asked for.", page.page({**result, "benchmarks": NOT_RUN}))


SCRIPTS = {
    "atelier": """echo '{"findings": [], "facts": [{"gpu": {"devices": 1, "fault": ""}}]}'""",
    "good": """echo '<testsuites><testsuite><testcase name="b" status="run" result="completed" classname="A"/></testsuite></testsuites>' """
            """> "${1#--gtest_output=xml:}" """,
    "bare": "echo 'Skipped: the driver is too old'; exit 78",
    "bad": "echo what went wrong >&2; exit 134",
    "hung": "sleep 300",
}


class WholeCheck(unittest.TestCase):
    """On a bundle whose programs are scripts, and with a LibTorch of empty files."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.bundle, self.torch = self.folder / "bundle", self.folder / "torch"
        for each in (self.bundle / "bin", self.torch / "lib"):
            each.mkdir(parents=True)
        for name, text in SCRIPTS.items():
            script = self.bundle / "bin" / name
            script.write_text(f"#!/bin/sh\n{text}\n")
            script.chmod(0o755)
        (self.torch / "lib/libtorch_cuda.so").write_text("")
        (self.torch / "version.py").write_text("__version__ = '2.11.0+cu130'\n")

    def check(self, *names):
        tests = [{"name": f"gpu.{name}", "command": [f"{{bundle}}/bin/{name}"], "environment": {}, "limit_s": 1.0} for name in names]
        manifest.write(self.bundle, {"commit": "abc", "machine": platform.machine(), "glibc": [2, 0], "torch": "2.11.0", "with_cuda": True,
                                     "libraries_of_torch": ["libtorch_cuda.so"], "tests": tests})
        options = argparse.Namespace(torch=str(self.torch), out=str(self.folder / "-".join(names)), only=None, compile=False)
        with contextlib.redirect_stdout(io.StringIO()):
            code = check.Check(self.bundle, options).run()
        result = json.loads((pathlib.Path(options.out) / "result.json").read_text())
        return code, {test["name"]: test["state"] for test in result["tests"]}, (pathlib.Path(options.out) / "page.html").read_text()

    def test_every_end_of_a_test_is_told_apart(self):
        code, states, text = self.check("good", "bare", "bad", "hung")
        self.assertEqual(code, 1)
        self.assertEqual(states, {"gpu.good": "passed", "gpu.bare": "skipped", "gpu.bad": "failed", "gpu.hung": "timed out"})
        for part in ("the driver is too old", "what went wrong", "1 passed, 1 failed, 1 timed out, 1 skipped",
                     "no Python that imports the PyTorch"):
            self.assertIn(part, text)

    def test_exit_codes(self):
        self.assertEqual(self.check("good")[0], 0)
        self.assertEqual(self.check("good", "bare")[0], 78)

    def test_a_machine_that_is_too_old_is_told_for_every_test(self):
        with mock.patch.object(machine, "glibc", lambda: (1, 9)):
            code, states, text = self.check("good")
        self.assertEqual((code, states), (78, {"gpu.good": "skipped"}))
        self.assertIn("need glibc 2.0 or newer, this machine has 1.9", text)


if __name__ == "__main__":
    unittest.main()
