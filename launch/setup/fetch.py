"""Fetches LibTorch (pinned wheels) and the tests' independent Python readers into one folder.

Every step ends with a stamp, written last: what has no stamp is done again, so an interrupted run leaves nothing that counts as
installed. Standard library only; called by launch/setup/install.
"""

import argparse
import contextlib
import fcntl
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile

HERE = pathlib.Path(__file__).resolve().parent
TAGS = ["--only-binary=:all:", "--python-version", "3.11", "--implementation", "cp", "--abi", "cp311"]
KEPT = ("torch/include/", "torch/lib/", "nvidia/")  # and licences; a C++ build needs no Python package


class SetupError(Exception):
    """What went wrong and what to do next; `code` is the exit status."""

    def __init__(self, message, code=74):
        super().__init__(message)
        self.code = code


def say(text):
    print(f"setup: {text}", flush=True)


def read_rows(path):
    lines = (line.split("#")[0].split() for line in path.read_text().splitlines())
    return [row for row in lines if row]


def write_stamp(path, text):
    """Publishes a small file by rename, after everything it vouches for."""
    part = path.with_name(path.name + ".part")
    part.write_text(text)
    os.replace(part, path)


def stamped(path, text):
    return path.is_file() and path.read_text() == text


def sha256_of(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def merge(source, target):
    """Moves the tree `source` into `target`; folders that both have are joined, files are replaced."""
    target.mkdir(exist_ok=True)
    for entry in os.scandir(source):
        goal = target / entry.name
        if entry.is_dir(follow_symlinks=False) and goal.is_dir():
            merge(pathlib.Path(entry.path), goal)
        else:
            os.replace(entry.path, goal)


def pip(deps, scratch, *arguments):
    """Runs the virtual environment's pip; its own temporary files stay in `scratch`."""
    command = [str(deps / "venv/bin/python"), "-m", "pip", "--no-input", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, env={**os.environ, "TMPDIR": str(scratch)}, stdin=subprocess.DEVNULL, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode != 0:
        tail = "\n".join(done.stdout.splitlines()[-5:])
        raise SetupError(f"pip {arguments[0]} failed:\n{tail}\nCheck the network and free disk space, then run this again.")


@contextlib.contextmanager
def scratch_folder(deps):
    with tempfile.TemporaryDirectory(prefix="part-", dir=deps, ignore_cleanup_errors=True) as name:
        yield pathlib.Path(name)


def clear_leftovers(deps):
    for part in deps.glob("part-*"):
        shutil.rmtree(part, ignore_errors=True)


def make_venv(deps):
    """A small virtual environment: its pip fetches the wheels, and the tests' readers live in it."""
    stamp, text = deps / "venv/atelier.stamp", sys.version
    if stamped(stamp, text):
        return
    shutil.rmtree(deps / "venv", ignore_errors=True)
    done = subprocess.run([sys.executable, "-m", "venv", str(deps / "venv")], text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT)
    if done.returncode != 0:
        raise SetupError(f"python3 -m venv {deps / 'venv'} failed:\n{done.stdout.strip()}")
    write_stamp(stamp, text)


def install_readers(deps):
    path = HERE / "readers.txt"
    stamp, text = deps / "venv/readers.stamp", sha256_of(path)
    if stamped(stamp, text):
        return
    start = time.monotonic()
    with scratch_folder(deps) as scratch:
        pip(deps, scratch, "install", "--quiet", "--force-reinstall", "--no-cache-dir", "--no-deps", "--only-binary=:all:", "-r", str(path))
    write_stamp(stamp, text)
    say(f"Python readers for the tests: {time.monotonic() - start:.1f} s")


def unpack(wheel, target):
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.infolist():
            if member.filename.startswith(KEPT) or ".dist-info/" in member.filename:
                archive.extract(member, target)


def install_wheel(deps, name, version, wheel, sha256):
    start = time.monotonic()
    platforms = [f"--platform={tag}" for tag in wheel.removesuffix(".whl").split("-")[-1].split(".")]
    with scratch_folder(deps) as scratch:
        pip(deps, scratch, "download", "--quiet", "--no-cache-dir", "--no-deps", *TAGS, *platforms, "-d", str(scratch),
            f"{name}=={version}")
        if not (scratch / wheel).is_file():
            raise SetupError(f"{name} {version}: expected {wheel}, got {sorted(f.name for f in scratch.glob('*.whl'))}.", 65)
        size, found = (scratch / wheel).stat().st_size, sha256_of(scratch / wheel)
        if found != sha256:
            raise SetupError(f"{wheel}: sha256 is {found}, expected {sha256}. Do not use it; see who serves your packages.", 65)
        unpack(scratch / wheel, scratch / "tree")
        (scratch / wheel).unlink()
        merge(scratch / "tree", deps / "site")
    say(f"{name} {version}: {size / 1e6:.0f} MB, {time.monotonic() - start:.1f} s")


def install_wheels(deps, wanted):
    """Brings `deps`/site to the wanted set ("light" or "full"): only wheels without a stamp are fetched."""
    rows = read_rows(HERE / "wheels.txt")
    rows = [row[1:] for row in rows if row[0] == "light" or wanted == "full"]
    text = "".join(" ".join(row) + "\n" for row in rows)
    if stamped(deps / f"site/{wanted}.stamp", text):
        return
    stamps = deps / "site/stamps"
    known = {row[3] for row in read_rows(HERE / "wheels.txt")}
    if stamps.is_dir() and any(stamp.name not in known for stamp in stamps.iterdir()):
        say("the list of wheels changed: starting afresh")
        shutil.rmtree(deps / "site")
    stamps.mkdir(parents=True, exist_ok=True)
    for name, version, wheel, sha256 in rows:
        if not stamped(stamps / wheel, sha256):
            install_wheel(deps, name, version, wheel, sha256)
            write_stamp(stamps / wheel, sha256)
    write_stamp(deps / f"site/{wanted}.stamp", text)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--deps", type=pathlib.Path, required=True, help="folder to install into")
    parser.add_argument("--set", choices=["light", "full", "none"], required=True, help="which LibTorch")
    arguments = parser.parse_args()
    deps = arguments.deps.resolve()
    deps.mkdir(parents=True, exist_ok=True)
    with open(deps / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two checkouts may share the folder
        clear_leftovers(deps)
        make_venv(deps)
        if arguments.set != "none":
            install_wheels(deps, arguments.set)
        install_readers(deps)


if __name__ == "__main__":
    try:
        main()
    except SetupError as error:
        print(f"setup: {error}", file=sys.stderr)
        sys.exit(error.code)
    except OSError as error:
        print(f"setup: {error}. Check permissions and free disk space, then run this again.", file=sys.stderr)
        sys.exit(74)
    except KeyboardInterrupt:
        sys.exit(130)
