"""The part of Open MPI that ranks on one machine need, and how it finds itself in another folder than it was built for."""

import pathlib
import re
import shutil
import subprocess

FOLDER = "openmpi"

# One host: shared memory between ranks, TCP as the fallback; mpirun starts processes itself. Fabrics, file systems and batch systems
# stay behind, and with them their libraries.
COMPONENTS = """
allocator_basic allocator_bucket bml_r2 btl_self btl_tcp btl_vader coll_basic coll_inter coll_libnbc coll_self coll_sm coll_tuned
errmgr_default_app errmgr_default_hnp ess_env ess_hnp ess_pmi ess_singleton filem_raw grpcomm_direct iof_hnp mpool_hugepage odls_default
oob_tcp op_avx osc_rdma osc_sm patcher_overwrite plm_isolated pmix_ext3x pmix_isolated pml_ob1 pstat_linux rcache_grdma reachable_weighted
regx_fwd regx_naive regx_reverse rmaps_ppr rmaps_round_robin rml_oob routed_direct routed_radix rtc_hwloc schizo_ompi schizo_orte
shmem_mmap shmem_posix state_app state_hnp state_novm topo_basic
""".split()

PARAMETERS = """pml = ob1
btl = self,vader,tcp
osc = sm,rdma
plm = isolated
btl_base_warn_component_unused = 0
"""

# What each program is started through.
LAUNCHER = """#!/bin/sh
# Runs the program of the same name with the libraries of the bundle, then those of the LibTorch that gpu_check has found.
bundle=$(cd "${0%/*}/.." && pwd) || exit 70
if [ -z "${ATELIER_LIBTORCH+set}" ]; then
  echo "${0##*/}: ATELIER_LIBTORCH names no folders of LibTorch and CUDA. Start it through gpu_check, or set it: a:b:c" >&2
  exit 78
fi
export LD_LIBRARY_PATH="$bundle/lib:$ATELIER_LIBTORCH"
export OPAL_PREFIX="$bundle/openmpi" PMIX_INSTALL_PREFIX="$bundle/openmpi"
export OPAL_LIBDIR="$bundle/lib" OPAL_PKGLIBDIR="$bundle/openmpi/components" OPAL_PKGDATADIR="$bundle/openmpi/help"
export OPAL_SYSCONFDIR="$bundle/openmpi" OPAL_BINDIR="$bundle/programs"
export PMIX_MCA_pcompress_base_silence_warning=1  # PMIx can do without its component for zlib
exec "$bundle/programs/${0##*/}" "$@"
"""


def paths():
    """{name: folder} as ompi_info tells them."""
    told = subprocess.run(["ompi_info", "--path", "all", "--parsable"], capture_output=True, text=True, check=True).stdout
    return dict(re.findall(r"^path:(\w+):(.+)$", told, re.M))


def copy_into(bundle):
    """Copies components, help texts and parameters; returns the components' paths in the bundle, programs apart."""
    where = paths()
    components = bundle / FOLDER / "components"
    components.mkdir(parents=True)
    copied = []
    for name in COMPONENTS:
        file = f"mca_{name}.so"
        copied.append(shutil.copy(pathlib.Path(where["pkglibdir"]) / file, components / file))
    shutil.copytree(where["pkgdatadir"], bundle / FOLDER / "help")
    (bundle / FOLDER / "openmpi-mca-params.conf").write_text(PARAMETERS)
    return copied


def mpirun():
    """The program behind the name, past the links of the distribution's alternatives."""
    return pathlib.Path(shutil.which("mpirun")).resolve()
