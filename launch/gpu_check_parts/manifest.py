"""manifest.json of a bundle: what it is made of, what it needs, and the SHA-256 of every file."""

import hashlib
import json

from refusal import DAMAGED, Refusal

NAME = "manifest.json"
VERSION = 1


def sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def files_of(folder):
    """Every file but the manifest, by its path from the folder."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / NAME)
    return {str(path.relative_to(folder)): path for path in paths}


def write(folder, content):
    files = {name: sha256(path) for name, path in files_of(folder).items()}
    (folder / NAME).write_text(json.dumps({"version": VERSION, **content, "files": files}, indent=1) + "\n")


def read(folder):
    """Throws a Refusal that names the file that is missing or differs."""
    content = json.loads((folder / NAME).read_text())
    if content["version"] != VERSION:
        raise Refusal(f"{folder / NAME} has version {content['version']}, this command reads {VERSION}. Make the bundle anew.", DAMAGED)
    for name, digest in content["files"].items():
        path = folder / name
        if not path.is_file():
            raise Refusal(f"The bundle lacks {name}, which its manifest lists. Unpack it again.", DAMAGED)
        if sha256(path) != digest:
            raise Refusal(f"{name} is not what the bundle's manifest says. Unpack it again, or make the bundle anew.", DAMAGED)
    return content
