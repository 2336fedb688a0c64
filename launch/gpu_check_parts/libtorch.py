"""Finds the LibTorch of this machine, mostly inside a Python installation, without importing it."""

import pathlib
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field

from refusal import Refusal

# Asks an interpreter for PyTorch's folder in a tenth of a second; to import it takes ten.
QUESTION = "import importlib.util as u; s = u.find_spec('torch'); print(s.submodule_search_locations[0] if s else '')"
LIKELY = ("python3", "python", "/opt/conda/bin/python", "/opt/venv/bin/python", "/usr/local/bin/python3", "/usr/bin/python3")


@dataclass
class LibTorch:
    folder: pathlib.Path
    version: str
    cuda: str                 # "13.0"; empty when unknown
    libraries: list           # folders for the loader
    python: str = ""          # an interpreter that imports it; empty: none, so no peers
    tried: list = field(default_factory=list)


def interpreters():
    found = [sys.executable] + [shutil.which(name) or "" for name in LIKELY]
    return list(dict.fromkeys(path for path in found if path))


def of_interpreter(python):
    """PyTorch's folder there; None when it has none."""
    try:
        done = subprocess.run([python, "-c", QUESTION], capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    folder = done.stdout.strip()
    return pathlib.Path(folder) if done.returncode == 0 and folder else None


def version_of(folder):
    """("2.11.0", "13.0"): of a Python package, a zip of LibTorch, or headers alone."""
    for name in ("version.py", "build-version"):
        file = folder / name
        if file.is_file():
            text = file.read_text()
            version = re.search(r"(\d+\.\d+\.\d+)(?:\+cu(\d+)(\d))?", text)
            cuda = re.search(r"^cuda.*= '([\d.]+)'", text, re.M)
            if version:
                named = f"{version.group(2)}.{version.group(3)}" if version.group(2) else ""
                return version.group(1), cuda.group(1) if cuda else named
    header = folder / "include/torch/headeronly/version.h"
    numbers = re.findall(r"#define TORCH_VERSION_(?:MAJOR|MINOR|PATCH) (\d+)", header.read_text()) if header.is_file() else []
    return ".".join(numbers), ""


def library_folders(folder):
    """LibTorch's own, and those of NVIDIA's packages beside it."""
    beside = sorted((folder.parent / "nvidia").glob("*/lib")) + [folder.parent / "nvidia/lib"]
    return [path.resolve() for path in [folder / "lib", *beside] if path.is_dir()]


def check(found, wanted, needs):
    where = f"LibTorch in {found.folder}"
    if found.version != wanted:
        raise Refusal(f"{where} is {found.version or 'of no version that can be told'}, this bundle was built for {wanted}. "
                      "Name another with --torch DIR.")
    if not (found.folder / "lib/libtorch_cuda.so").is_file():
        raise Refusal(f"{where} is a build without CUDA (lib/libtorch_cuda.so is missing). Name one with CUDA: --torch DIR.")
    missing = [name for name in needs if not any((folder / name).exists() for folder in found.libraries)]
    if missing:
        raise Refusal(f"{where} does not bring {', '.join(missing)}, searched in {':'.join(map(str, found.libraries))}. "
                      "It is built for another CUDA, or NVIDIA's packages are not beside it.")
    return found


def described(folder, python):
    version, cuda = version_of(folder)
    return LibTorch(folder, version, cuda, library_folders(folder), python)


def find(given, wanted, needs):
    """Throws a Refusal that tells what was found instead."""
    pythons = {python: of_interpreter(python) for python in interpreters()}
    if given:
        folder = pathlib.Path(given).resolve()
        if not (folder / "lib").is_dir() and (folder / "torch/lib").is_dir():
            folder = folder / "torch"
        if not (folder / "lib").is_dir():
            raise Refusal(f"--torch {given} holds no lib/. Name the folder of LibTorch, such as .../site-packages/torch.")
        owner = next((python for python, its in pythons.items() if its and its.resolve() == folder), "") or own_python(folder)
        return check(described(folder, owner), wanted, needs)
    refusals = []
    for python, folder in pythons.items():
        if folder is None:
            continue
        try:
            return check(described(folder.resolve(), python), wanted, needs)
        except Refusal as refusal:
            refusals.append(str(refusal))
    raise Refusal("\n".join(dict.fromkeys(refusals)) or
                  f"No LibTorch: none of {', '.join(pythons)} can import torch. Name its folder with --torch DIR.")


def own_python(folder):
    """The interpreter of the virtual environment that the folder lies in."""
    for parent in folder.parents:
        python = parent / "bin/python"
        if python.exists() and of_interpreter(str(python)) and of_interpreter(str(python)).resolve() == folder:
            return str(python)
    return ""
