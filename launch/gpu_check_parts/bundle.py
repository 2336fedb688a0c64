"""Makes the bundle: programs, tests and peers, and the shared libraries that a bare machine lacks; LibTorch and CUDA are not among them."""

import pathlib
import platform
import re
import shutil
import subprocess
import tarfile
import tempfile

import elf
import listing
import manifest
import openmpi
from refusal import FAILED_TO_WRITE, Refusal

MOST_BYTES = 60 * 1000 * 1000
ROOT = "atelier-gpu-check"
PEERS = "tests/bench/peers"
SUPPORT = "tests/support"
LOADED_BY_NAME = ("libatelier_cuda_recording.so",)  # by the programs, as they run


def cached(build, name):
    """A value of CMake's cache; empty when it has none."""
    cache = build / "CMakeCache.txt"
    if not cache.is_file():
        raise Refusal(f"{build} is no build folder. Build first: ./launch/test, or cmake --preset release and cmake --build.")
    match = re.search(rf"^{name}:\w+=(.*)$", cache.read_text(), re.M)
    return match.group(1) if match else ""


def libtorch_folders(build):
    """Where libraries lie that the other machine has itself."""
    own = cached(build, "ATELIER_TORCH")
    site = pathlib.Path(own).parent if own else pathlib.Path(cached(build, "ATELIER_DEPS")) / "site"
    return [site.resolve() / "torch", site.resolve() / "nvidia"] + ([pathlib.Path(own).resolve()] if own else [])


def commit_of(source):
    done = subprocess.run(["git", "-C", str(source), "describe", "--always", "--dirty"], capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def copy_programs(stage, programs):
    """{name: path}; each becomes programs/NAME, started through bin/NAME."""
    for folder in ("programs", "bin"):
        (stage / folder).mkdir()
    for name, program in programs.items():
        copy = stage / "programs" / name
        shutil.copy(program, copy)
        elf.slim(copy)
        launcher = stage / "bin" / copy.name
        launcher.write_text(openmpi.LAUNCHER)
        launcher.chmod(0o755)


def copy_sources(stage, source, tests):
    """What runs in Python: the tests' files with what they import, the peers, and this command."""
    files = {path for test in tests for path in test.sources} | set((source / SUPPORT).glob("*.py"))
    for path in files:
        copy = stage / "sources" / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    (stage / "peers").mkdir()
    for path in (source / PEERS).glob("*.py"):
        shutil.copy(path, stage / "peers")
    here = pathlib.Path(__file__).resolve().parent
    shutil.copytree(here, stage / here.name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(here.parent / "gpu_check", stage)


def copy_libraries(stage, binaries, elsewhere):
    """Returns the names that LibTorch's folders must provide, and what the libraries ask of glibc."""
    try:
        carried, left = elf.closure(binaries, elsewhere)
    except FileNotFoundError as missing:
        raise Refusal(f"The library {missing} that a program needs is not found here. Build on this machine first.") from None
    (stage / "lib").mkdir()
    for name, path in carried.items():
        shutil.copy(path, stage / "lib" / name)
        elf.slim(stage / "lib" / name)
    return sorted(left), elf.glibc_of([*binaries, *carried.values()])


def fill(stage, source, build, pattern):
    program = build / "atelier"
    if not program.is_file():
        raise Refusal(f"{program} is not built. Run  ./launch/setup/configure && cmake --build --preset release")
    tests = listing.listed_tests(source, build, pattern)
    programs = {path.name: path for path in [program, *(path for test in tests for path in test.programs)]}
    programs["mpirun"] = openmpi.mpirun()
    loaded = [path for path in (build / name for name in LOADED_BY_NAME) if path.is_file()]
    binaries = [*programs.values(), *openmpi.copy_into(stage), *loaded]
    needs, glibc = copy_libraries(stage, binaries, libtorch_folders(build))
    for path in loaded:
        shutil.copy(path, stage / "lib")
        elf.slim(stage / "lib" / path.name)
    copy_programs(stage, programs)
    copy_sources(stage, source, tests)
    manifest.write(stage, {
        "commit": commit_of(source), "machine": platform.machine(), "glibc": list(glibc), "torch": pinned_torch(source),
        "with_cuda": cached(build, "ATELIER_WITH_CUDA") == "ON", "libraries_of_torch": needs,
        "tests": [{"name": test.name, "command": test.command, "environment": test.environment, "limit_s": test.limit_s}
                  for test in tests]})


def pinned_torch(source):
    rows = [line.split() for line in (source / "launch/setup/wheels.txt").read_text().splitlines()]
    return next(row[2] for row in rows if row[:2] == ["light", "torch"])


def largest(stage, count=8):
    sizes = sorted(((path.stat().st_size, name) for name, path in manifest.files_of(stage).items()), reverse=True)[:count]
    return "\n".join(f"  {size / 1e6:6.1f} MB  {name}" for size, name in sizes)


def make(file, source, build, pattern=""):
    """Writes the bundle to `file`, whole or not at all; returns what to tell."""
    if file.exists():
        raise Refusal(f"'{file}' exists already. Remove it, or name another file.", FAILED_TO_WRITE)
    with tempfile.TemporaryDirectory(prefix="atelier-bundle-") as folder:
        stage = pathlib.Path(folder) / ROOT
        stage.mkdir()
        fill(stage, source, build, pattern)
        packed = pathlib.Path(folder) / "bundle.tar.gz"
        with tarfile.open(packed, "w:gz", compresslevel=6) as archive:
            archive.add(stage, ROOT)
        size = packed.stat().st_size
        if size > MOST_BYTES:
            raise Refusal(f"The bundle would have {size / 1e6:.1f} MB, at most {MOST_BYTES / 1e6:.0f} MB are wanted. The largest "
                          f"files, before packing:\n{largest(stage)}\nLeave tests out with --tests REGEX.", FAILED_TO_WRITE)
        content = manifest.json.loads((stage / manifest.NAME).read_text())
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_name(file.name + ".part")
        shutil.copy(packed, part)
        part.rename(file)
    return (f"{file}: {size / 1e6:.1f} MB, {len(content['tests'])} tests, commit {content['commit']}.\n"
            f"It wants {content['machine']}, glibc {'.'.join(map(str, content['glibc']))} and LibTorch {content['torch']} with CUDA. "
            f"There: tar xf {file.name} && {ROOT}/gpu_check")
