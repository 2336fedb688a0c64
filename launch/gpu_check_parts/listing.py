"""The tests of label gpu as CTest knows them, told so that another machine can run them: every path becomes one in the bundle."""

import json
import pathlib
import subprocess
from dataclasses import dataclass, field

from elf import is_elf
from refusal import Refusal

DEFAULT_LIMIT_S = 300.0


@dataclass
class Listed:
    """`command` and `environment` hold {bundle} and {python}; `programs` and `sources` are what has to be carried."""
    name: str
    command: list
    environment: dict
    limit_s: float
    programs: list = field(default_factory=list)
    sources: list = field(default_factory=list)


def ctest(build, pattern):
    command = ["ctest", "--test-dir", str(build), "-L", "^gpu$", "--show-only=json-v1", *(["-R", pattern] if pattern else [])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Refusal(f"{' '.join(command)} failed:\n{done.stderr.strip()}\nConfigure first: cmake --preset release")
    return json.loads(done.stdout)["tests"]


def translated(word, listed, source, build):
    """One word of a command, and what it names among what has to be carried."""
    path = pathlib.Path(word)
    if not path.is_absolute():
        return word
    if path.name in ("mpirun", "mpiexec"):
        return "{bundle}/bin/mpirun"
    if path.name.startswith("python"):
        return "{python}"
    if build in path.parents:
        if not path.is_file() or not is_elf(path):
            raise Refusal(f"{listed.name} runs {path}, which is not built. Run  cmake --build {build}")
        listed.programs.append(path)
        return "{bundle}/bin/" + path.name
    if source in path.parents:
        listed.sources.append(path)
        return "{bundle}/sources/" + str(path.relative_to(source))
    return word


def listed_tests(source, build, pattern=""):
    """Throws a Refusal when there are none, or a program of one is not built."""
    found = []
    for test in ctest(build, pattern):
        properties = {entry["name"]: entry["value"] for entry in test["properties"]}
        environment = dict(entry.split("=", 1) for entry in properties.get("ENVIRONMENT", []))
        listed = Listed(test["name"], [], {key: value.replace(str(source), "{bundle}/sources") for key, value in environment.items()},
                        float(properties.get("TIMEOUT", DEFAULT_LIMIT_S)))
        if "command" not in test:
            raise Refusal(f"The program of {test['name']} is not built. Run  cmake --build {build}")
        listed.command = [translated(word, listed, source, build) for word in test["command"]]
        found.append(listed)
    if not found:
        raise Refusal(f"{build} has no tests of label gpu{f' that match {pattern}' if pattern else ''}.")
    return found
