"""`launch/gpu_check` rehearsed without a GPU: a bundle of this build, unpacked elsewhere and run as on a machine that has none of the
packages Atelier is built with. Nothing may count as passed there.

Where it is permitted the libraries of those packages are hidden under mounts of this process's own.
"""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import unittest

from program import INSIDE_NAMESPACE, PROGRAM, Job, enter_mount_namespace, main

SOURCE = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(SOURCE / "launch/gpu_check_parts"))
import bundle  # noqa: E402
import libtorch  # noqa: E402

COMMAND = SOURCE / "launch/gpu_check"
TESTS = "nccl|lost_ranks"  # a few are enough to rehearse with
BUILT_WITH = ("openmpi", "hdf5", "pmix2")  # folders of packages
LIBRARIES = ("libmpi*", "libopen-*", "libpmix*", "libmunge*", "libevent*", "libhwloc*", "libhdf5*", "libsz*", "libaec*",
             "libprometheus*", "libcivetweb*", "libspdlog*", "libfmt*", "libarchive*", "libjpeg*", "libpng*", "libtomlplusplus*",
             "libxxhash*", "libcurl*", "libxml2*", "libicu*")


def hide(folder):
    """Returns whether the libraries of the packages are out of sight."""
    if INSIDE_NAMESPACE not in os.environ:
        return False
    nothing, no_library = folder / "nothing", folder / "no_library"
    nothing.mkdir()
    no_library.write_text("hidden\n")
    system = pathlib.Path("/usr/lib/x86_64-linux-gnu")
    over = [(nothing, system / name) for name in BUILT_WITH if (system / name).is_dir()]
    files = [path for pattern in LIBRARIES for path in system.glob(f"{pattern}.so*") if path.is_file() and not path.is_symlink()]
    over += [(no_library, path) for path in files]
    return all(subprocess.run(["mount", "--bind", str(what), str(where)], capture_output=True).returncode == 0 for what, where in over)


def run(*words):
    job = Job(words)
    result = job.end()
    job.close()
    return result


class Rehearsal(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="atelier-rehearsal-"))
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        cls.build = pathlib.Path(PROGRAM).parent
        cls.file = cls.folder / "bundle.tar.gz"
        made = run(sys.executable, COMMAND, "--bundle", cls.file, "--build", cls.build, "--tests", TESTS)
        if made.code == 78 and "is not built" in made.err:
            raise unittest.SkipTest(made.err.strip())
        if made.code != 0:
            raise AssertionError(str(made))
        with tarfile.open(cls.file) as archive:
            archive.extractall(cls.folder)
        cls.unpacked = cls.folder / bundle.ROOT
        cls.torch = bundle.libtorch_folders(cls.build)[0]
        cls.hidden = hide(cls.folder)
        print("libraries of the packages hidden:", cls.hidden, file=sys.stderr)

    def check(self, name, *words):
        """Without anything of this environment, and without a GPU even where there is one."""
        out = self.folder / name
        done = run("env", "-i", "PATH=/usr/bin:/bin", "CUDA_VISIBLE_DEVICES=", self.unpacked / "gpu_check", "--out", out, *words)
        return done, json.loads((out / "result.json").read_text()) if (out / "result.json").exists() else None

    def test_without_a_gpu_every_test_is_skipped_with_a_reason_and_none_passed(self):
        done, result = self.check("whole", "--torch", self.torch)
        self.assertEqual(done.code, 78, done)
        self.assertEqual(result["exit_code"], 78)
        names = [test["name"] for test in result["tests"]]
        self.assertIn("gpu.nccl_gpu_test.2", names)
        self.assertIn("gpu.program.lost_ranks", names)
        for test in result["tests"]:
            self.assertEqual(test["state"], "skipped", test)
            self.assertRegex(test["reason"], "No CUDA device can be used|built without CUDA")
            self.assertFalse([case for case in test["cases"] if case["state"] == "passed"])
        self.assertEqual(result["benchmarks"]["state"], "not run")
        self.assertRegex(result["verdict"], r"^tests: \d+ skipped")
        self.check_page((self.folder / "whole/page.html").read_text(), names)

    def check_page(self, page, names):
        for name in names:
            self.assertIn(name, page)
        self.assertNotRegex(page, r"<script|src=|https?://|<link")

    def test_ranks_talk_through_the_libraries_of_the_bundle(self):
        folders = ":".join(map(str, libtorch.library_folders(self.torch)))
        root = ["OMPI_ALLOW_RUN_AS_ROOT=1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1"]
        done = run("env", "-i", "PATH=/usr/bin:/bin", f"ATELIER_LIBTORCH={folders}", *root, self.unpacked / "bin/mpirun", "--oversubscribe",
                   "--bind-to", "none", "-n", 2, self.unpacked / "bin/atelier", "doctor", "--json")
        self.assertEqual((done.code, done.err), (0, ""), done)
        found = json.loads(done.out)
        self.assertEqual((found["ranks"], found["facts"][1]["sums"]["fault"]), (2, ""))

    def test_without_libtorch_it_says_so_for_every_test(self):
        done, result = self.check("no-torch", "--torch", self.folder)
        self.assertEqual(done.code, 78, done)
        self.assertTrue(all("holds no lib/" in test["reason"] for test in result["tests"]))

    def test_a_result_is_not_overwritten(self):
        (self.folder / "mine").mkdir()
        (self.folder / "mine" / "page.html").write_text("mine")
        done, _ = self.check("mine", "--torch", self.torch)
        self.assertEqual(done.code, 73, done)
        self.assertEqual((self.folder / "mine" / "page.html").read_text(), "mine")

    def test_what_was_changed_in_the_bundle_is_named(self):
        file = self.unpacked / "peers" / "cases.py"
        kept = file.read_bytes()
        file.write_bytes(kept + b"#")
        self.addCleanup(file.write_bytes, kept)
        done, _ = self.check("changed")
        self.assertEqual(done.code, 65, done)
        self.assertIn("peers/cases.py is not what", done.err)


if __name__ == "__main__":
    enter_mount_namespace()
    main()
