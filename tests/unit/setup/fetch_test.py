"""fetch.py on made-up wheels: pip is replaced, so nothing is downloaded."""

import pathlib
import sys
import tempfile
import unittest
import zipfile
from unittest import mock

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[3] / "launch/setup"))
sys.dont_write_bytecode = True
import fetch  # noqa: E402


class Interrupted(BaseException):
    """Stands for SIGKILL: nothing between its raise and the end of the process may be relied on."""


class WheelTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)
        self.deps, self.list = self.root / "deps", self.root / "list"
        self.deps.mkdir()
        self.list.mkdir()
        self.downloads = []
        for name, value in (("HERE", self.list), ("pip", self.fake_pip), ("say", lambda text: None)):
            patch = mock.patch.object(fetch, name, value)
            patch.start()
            self.addCleanup(patch.stop)
        self.write_list(("light", "torch", self.make_wheel("torch", "torch/lib/libtorch.so", "torch/extra.py", "nvidia/a.so")),
                        ("full", "nccl", self.make_wheel("nccl", "nvidia/nccl/include/nccl.h", "nvidia/b.so")))

    def make_wheel(self, name, *members):
        path = self.root / f"{name}-1.0-py3-none-manylinux_2_28_x86_64.whl"
        with zipfile.ZipFile(path, "w") as archive:
            for member in members:
                archive.writestr(member, name + member)
        return path

    def write_list(self, *rows):
        lines = [f"{row[0]} {row[1]} 1.0 {row[2].name} {fetch.sha256_of(row[2])}" for row in rows]
        (self.list / "wheels.txt").write_text("# a comment\n" + "\n".join(lines) + "\n")

    def fake_pip(self, deps, scratch, *arguments):
        name = arguments[-1].removesuffix("==1.0")
        self.downloads.append(name)
        wheel = next(self.root.glob(f"{name}-*.whl"))
        (scratch / wheel.name).write_bytes(wheel.read_bytes())

    def installed(self):
        site = self.deps / "site"
        return sorted(str(path.relative_to(site)) for path in site.rglob("*") if path.is_file() and path.parent.name != "stamps")

    def test_light_set_holds_no_cuda_and_no_python(self):
        fetch.install_wheels(self.deps, "light")

        self.assertEqual(self.installed(), ["light.stamp", "nvidia/a.so", "torch/lib/libtorch.so"])

    def test_full_set_joins_the_folders_of_its_wheels_and_fetches_only_what_is_new(self):
        fetch.install_wheels(self.deps, "light")
        fetch.install_wheels(self.deps, "full")
        fetch.install_wheels(self.deps, "full")

        self.assertEqual(self.downloads, ["torch", "nccl"])
        self.assertEqual(self.installed(), ["full.stamp", "light.stamp", "nvidia/a.so", "nvidia/b.so", "nvidia/nccl/include/nccl.h",
                                            "torch/lib/libtorch.so"])

    def test_a_wheel_with_other_bytes_is_refused_and_leaves_nothing(self):
        with open(next(self.root.glob("torch-*.whl")), "ab") as wheel:
            wheel.write(b"x")

        with self.assertRaisesRegex(fetch.SetupError, "sha256 is .* expected") as caught:
            fetch.install_wheels(self.deps, "light")

        self.assertEqual(caught.exception.code, 65)
        self.assertEqual(self.installed(), [])

    def test_an_interruption_at_any_step_is_made_good_by_the_next_run(self):
        for step in ("pip", "sha256_of", "unpack", "merge", "write_stamp"):
            with self.subTest(step=step):
                fetch.shutil.rmtree(self.deps)
                self.deps.mkdir()
                with mock.patch.object(fetch, step, side_effect=Interrupted), self.assertRaises(Interrupted):
                    fetch.install_wheels(self.deps, "full")
                self.assertFalse(list((self.deps / "site").glob("*.stamp")))

                fetch.clear_leftovers(self.deps)
                fetch.install_wheels(self.deps, "full")

                self.assertIn("torch/lib/libtorch.so", self.installed())
                self.assertFalse(list(self.deps.glob("part-*")))

    def test_leftovers_of_a_killed_run_are_cleared(self):
        (self.deps / "part-abc").mkdir()
        (self.deps / "part-abc/torch.whl").write_text("half")

        fetch.clear_leftovers(self.deps)

        self.assertEqual(list(self.deps.iterdir()), [])

    def test_a_new_list_starts_afresh(self):
        fetch.install_wheels(self.deps, "full")
        self.write_list(("light", "newer", self.make_wheel("newer", "torch/lib/libnewer.so")))

        fetch.install_wheels(self.deps, "light")

        self.assertEqual(self.installed(), ["light.stamp", "torch/lib/libnewer.so"])

    def test_the_pinned_list_is_well_formed(self):
        with mock.patch.object(fetch, "HERE", pathlib.Path(fetch.__file__).parent):
            rows = fetch.read_rows(fetch.HERE / "wheels.txt")

        for kind, name, version, wheel, sha256 in rows:
            self.assertIn(kind, ("light", "full"))
            self.assertTrue(wheel.startswith(f"{name.replace('-', '_')}-{version}-"), wheel)
            self.assertEqual(len(sha256), 64)
        self.assertEqual(rows[0][1], "torch")


if __name__ == "__main__":
    unittest.main()
