"""What this machine is: asked of the system, of nvidia-smi and of `atelier doctor`."""

import json
import os
import platform
import re
import shutil

import process
from refusal import Refusal


def glibc():
    """(2, 36); (0, 0) where the C library is another."""
    try:
        match = re.match(r"glibc (\d+)\.(\d+)", os.confstr("CS_GNU_LIBC_VERSION") or "")
    except (ValueError, OSError):
        match = None
    return (int(match.group(1)), int(match.group(2))) if match else (0, 0)


def require(manifest):
    """Throws a Refusal unless the bundle's programs can run here."""
    if platform.machine() != manifest["machine"]:
        raise Refusal(f"This machine is {platform.machine()}, the bundle's programs are for {manifest['machine']}.")
    wanted = tuple(manifest["glibc"])
    if glibc() < wanted:
        raise Refusal(f"The bundle's programs need glibc {wanted[0]}.{wanted[1]} or newer, this machine has "
                      f"{glibc()[0]}.{glibc()[1]}. Make the bundle on an older system, or use a newer container.")
    if not manifest["with_cuda"]:
        raise Refusal("The bundle was built without CUDA. Build with ATELIER_WITH_CUDA=ON, then make it anew.")


def gpus():
    """One line a GPU, as nvidia-smi tells; empty without it."""
    tool = shutil.which("nvidia-smi")
    if not tool:
        return []
    ended = process.run([tool, "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"], dict(os.environ), 60)
    return [line.strip() for line in ended.out.splitlines() if line.strip()] if ended.code == 0 else []


def examined(bundle, environment):
    """The JSON document of `atelier doctor`, or what went wrong."""
    ended = process.run([bundle / "bin/atelier", "doctor", "--json"], environment, 120)
    try:
        return json.loads(ended.out)
    except ValueError:
        return {"failure": f"atelier doctor ended with exit code {ended.code}: {ended.output[-2000:]}"}


def about():
    cores = len(os.sched_getaffinity(0))
    system = platform.freedesktop_os_release().get("PRETTY_NAME", "") if hasattr(platform, "freedesktop_os_release") and \
        os.path.exists("/etc/os-release") else ""
    return {"system": system or platform.system(), "kernel": platform.release(), "glibc": ".".join(map(str, glibc())), "cores": cores,
            "gpus": gpus()}
