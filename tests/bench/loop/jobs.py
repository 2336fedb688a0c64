"""How the measuring scripts start the program: alone or under mpirun, also as root."""

import os


def command(program, ranks, arguments):
    if ranks == 1:
        return [program, *arguments]
    return ["mpirun", "-n", str(ranks), "--oversubscribe", "--bind-to", "none", program, *arguments]


def environment():
    extra = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"} if os.geteuid() == 0 else {}
    return {**os.environ, **extra}
