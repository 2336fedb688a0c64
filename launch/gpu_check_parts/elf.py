"""What programs and shared libraries need, asked of binutils and the loader on the machine that builds."""

import pathlib
import re
import subprocess

# They are of one piece with the system's loader and never carried.
GLIBC = re.compile(r"^(ld-linux-x86-64|libc|libm|libdl|libpthread|librt|libutil|libresolv|libnss_\w+|libanl)\.so[.\d]*$")


def output_of(*command):
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, check=True).stdout


def is_elf(path):
    with open(path, "rb") as file:
        return file.read(4) == b"\x7fELF"


def needed(path):
    return re.findall(r"\(NEEDED\).*\[(.+)\]", output_of("readelf", "--dynamic", "--wide", path))


def resolved(path):
    """{name: path} of all libraries that the loader finds for it here."""
    return {name: pathlib.Path(found) for name, found in re.findall(r"^\s*(\S+) => (/\S+)", output_of("ldd", path), re.M)}


def closure(paths, elsewhere):
    """({name: path} of what `paths` need, theirs included; names of libraries that lie in the folders `elsewhere`)."""
    carried, left = {}, set()
    found = {}
    for path in paths:
        found.update(resolved(path))
    queue = [name for path in paths for name in needed(path)]
    while queue:
        name = queue.pop()
        if name in carried or name in left or GLIBC.match(name):
            continue
        if name not in found:
            raise FileNotFoundError(name)
        real = found[name].resolve()
        if any(folder in real.parents for folder in elsewhere):
            left.add(name)
            continue
        carried[name] = real
        queue += needed(real)
    return carried, left


def glibc_of(paths):
    """The newest version of glibc that any of them asks for, (2, 34)."""
    versions = set()
    for path in paths:
        versions |= set(re.findall(r"Name: GLIBC_(\d+)\.(\d+)", output_of("readelf", "--version-info", "--wide", path)))
    return max((int(major), int(minor)) for major, minor in versions)


def slim(path):
    """Without symbols, and without the build machine's folders to find libraries in."""
    subprocess.run(["strip", "--strip-unneeded", str(path)], check=True)
    script = path.parent / "remove_rpath.cmake"
    script.write_text(f'file(RPATH_REMOVE FILE "{path}")\n')
    try:
        subprocess.run(["cmake", "-P", str(script)], check=True, capture_output=True)
    finally:
        script.unlink()
