"""`cmake --install` gives a package that a program of somebody else builds against: it trains a torch::nn module of its own."""
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

BUILD, CMAKE, MPIRUN, COMPILER = sys.argv[1:5]
OUTSIDE = pathlib.Path(__file__).resolve().parent / "outside"


def run(*words):
    environment = {**os.environ, "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, env=environment, check=False)
    if done.returncode != 0:
        raise AssertionError(f"{words} ended with {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done.stdout


class Library(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.temporary.cleanup)
        folder = pathlib.Path(cls.temporary.name)
        cls.prefix, cls.build = folder / "installed", folder / "build"
        run(CMAKE, "--install", BUILD, "--prefix", cls.prefix)
        run(CMAKE, "-G", "Ninja", "-S", OUTSIDE, "-B", cls.build, f"-DCMAKE_PREFIX_PATH={cls.prefix}", "-DCMAKE_BUILD_TYPE=Release",
            f"-DCMAKE_CXX_COMPILER={COMPILER}")
        run(CMAKE, "--build", cls.build)

    def test_a_module_of_ones_own_trains_on_two_ranks(self):
        told = run(MPIRUN, "--oversubscribe", "--bind-to", "none", "-n", 2, self.build / "outside")
        first, last = (float(value) for value in re.findall(r"mse ([\d.]+)", told))
        self.assertLess(last, first / 3, told)

    def test_collectives_need_no_libtorch(self):
        told = run(MPIRUN, "--oversubscribe", "--bind-to", "none", "-n", 3, self.build / "sums")
        self.assertEqual(told.strip(), "6 over 3 ranks")
        needed = run("ldd", self.build / "sums")
        for library in ("torch", "hdf5", "prometheus", "png", "jpeg", "archive"):
            self.assertNotIn(f"lib{library}", needed)

    def test_the_engine_needs_no_data_or_monitoring_libraries(self):
        needed = run("readelf", "-d", self.build / "outside")
        self.assertIn("libtorch_cpu", needed)
        for library in ("hdf5", "prometheus", "png", "jpeg", "archive"):
            self.assertNotIn(f"lib{library}", needed)

    def test_the_program_is_a_short_one(self):
        self.assertLess(len((OUTSIDE / "main.cpp").read_text().splitlines()), 60)

    def test_the_installed_program_runs(self):
        self.assertRegex(run(self.prefix / "bin" / "atelier", "version"), r"\d+\.\d+\.\d+")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
