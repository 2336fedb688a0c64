"""The rows of compare.py: what we run, what the peer runs, and the bar for the ratio."""

from dataclasses import dataclass, replace
from pathlib import Path


@dataclass(frozen=True)
class Case:
    name: str
    about: str
    preset: str
    batch: int  # per rank
    model: str
    style: str
    width: int
    latent: int
    learning_rate: float
    bar: float
    sets: tuple = ()
    gamma: float = 0.0
    compile: str = ""  # the peer's torch.compile mode
    timed: str = ""    # our precision where it is timed; empty: auto beside plain, the peer's beside best
    best: str = "bf16"  # the precision of the best peer

    @property
    def precision(self):
        """The peer's, and ours where losses are compared."""
        return "fp32" if self.style == "plain" else self.best


LOCAL_NORM = ("train.batch_norm=local",)
GRAPHS = ("device.graphs=on",)

CPU = (
    Case("dcgan-plain", "DCGAN-64, batch 32 per rank; DDP as people write it", "dcgan-64", 32, "dcgan", "plain", 64, 100, 2e-4, 2.0),
    Case("dcgan-best", "the same, local batch norm; best DDP", "dcgan-64", 32, "dcgan", "best", 64, 100, 2e-4, 1.05, LOCAL_NORM),
    Case("vae-best", "conv VAE 64x64, batch 32 per rank; best DDP", "vae-64", 32, "vae", "best", 32, 256, 1e-3, 1.05),
    Case("gan-small", "GAN 32x32, width 16, batch 8 per rank; best DDP", "gan-32", 8, "gan", "best", 16, 64, 1.5e-3, 1.3,
         ("model.width=16", "objective.gamma=0.0")),
    Case("gan-r1", "GAN 32x32 with R1 and R2, batch 32 per rank; best hand-written loop", "gan-32", 32, "gan", "best", 32, 64,
         1.5e-3, 1.15, (), 2.0),
)

# The most telling first: the budget of time may end before the last.
GPU = (
    Case("dcgan-best", "DCGAN-64, batch 32 per rank, local batch norm; tuned DDP", "dcgan-64", 32, "dcgan", "best", 64, 100, 2e-4,
         1.5, LOCAL_NORM),
    Case("dcgan-plain", "DCGAN-64, batch 32 per rank; DDP as people write it", "dcgan-64", 32, "dcgan", "plain", 64, 100, 2e-4, 2.0),
    Case("gan-r1", "GAN 32x32 with R1 and R2, batch 8 per rank; tuned hand-written loop", "gan-32", 8, "gan", "best", 32, 64,
         1.5e-3, 2.0, (), 2.0),
    Case("gan-r1-graphs", "the same, our steps repeated from CUDA graphs", "gan-32", 8, "gan", "best", 32, 64, 1.5e-3, 2.0, GRAPHS, 2.0),
    Case("vae-best", "conv VAE 64x64, batch 32 per rank; tuned DDP", "vae-64", 32, "vae", "best", 32, 256, 1e-3, 1.5),
    Case("dcgan-graphs", "DCGAN-64, batch 32 per rank, local batch norm, our steps repeated from CUDA graphs; tuned DDP", "dcgan-64",
         32, "dcgan", "best", 64, 100, 2e-4, 1.5, (*LOCAL_NORM, *GRAPHS)),
    Case("dcgan-large", "DCGAN-64, batch 128 per rank, local batch norm; tuned DDP", "dcgan-64", 128, "dcgan", "best", 64, 100,
         2e-4, 1.0, LOCAL_NORM),
    Case("dcgan-fp32", "DCGAN-64, batch 32 per rank, float32 on both sides, no TF32; DDP as people write it", "dcgan-64", 32,
         "dcgan", "plain", 64, 100, 2e-4, 1.0, LOCAL_NORM, timed="fp32"),
    Case("dcgan-small", "DCGAN-64, batch 8 per rank, local batch norm; tuned DDP", "dcgan-64", 8, "dcgan", "best", 64, 100, 2e-4,
         2.0, LOCAL_NORM),
)

COMPILE_MODES = ("max-autotune-no-cudagraphs", "reduce-overhead")


def compiled(cases):
    """The tuned cases again, with the peer through torch.compile."""
    return tuple(replace(case, name=f"{case.name}-{mode}", about=f"{case.about}, torch.compile {mode}", compile=mode, bar=1.0)
                 for case in cases for mode in COMPILE_MODES if case.style == "best" and not set(GRAPHS) & set(case.sets))


def multiplies_bf16():
    """Whether the processor does; others spend several times as long in bfloat16 as in float32."""
    flags = Path("/proc/cpuinfo").read_text().split() if Path("/proc/cpuinfo").exists() else []
    return bool({"avx512_bf16", "amx_bf16", "bf16", "svebf16"}.intersection(flags))


def of(device, with_compile):
    cases = GPU
    if device == "cpu":
        cases = tuple(replace(case, best="bf16" if multiplies_bf16() else "fp32") for case in CPU)
    return cases + (compiled(cases) if with_compile else ())
