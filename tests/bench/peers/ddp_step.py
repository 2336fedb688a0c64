"""One rank of a PyTorch job that trains what `atelier bench step` trains: same weights, same bytes.

Started by compare.py with RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT set. `--style plain` is the code people write
(DistributedDataParallel with its defaults, float32); `--style best` is the fastest found: bfloat16 autocast, channels_last, fused
Adam, static graph, gradients as bucket views, no buffers sent, no gradients that nobody needs; `--compile MODE` adds torch.compile.
On a GPU (`--device cuda`) NCCL sums, and best lets cuDNN try its algorithms. Prints one JSON line on rank 0.
"""

import argparse
import contextlib
import json
import math
import os
import statistics

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch.nn.parallel import DistributedDataParallel as DDP

import devices
import models
from tensor_file import load_file

STEPS = 10  # whose losses are compared


class Inputs:
    """This rank's part of the images and latents that the other program wrote."""

    def __init__(self, folder, rank, world, device):
        self.device = device
        self.weights = load_file(f"{folder}/weights.safetensors")
        tensors = load_file(f"{folder}/inputs.safetensors")
        batch = tensors["latents"].shape[1] // world
        self.part = {name: device.keep(value[:, rank * batch:(rank + 1) * batch].contiguous()) for name, value in tensors.items()}
        self.batch = batch

    def of_net(self, name):
        frozen = ("running_mean", "running_var")
        own = {key: value for key, value in self.weights.items() if key.startswith(name + ".") and not key.endswith(frozen)}
        return own

    def images(self, stream, step, channels_last):
        x = self.device.bring(self.part[f"images.{stream}"][step % STEPS]).permute(0, 3, 1, 2)
        x = x.to(torch.float32) / 127.5 - 1
        return x.contiguous(memory_format=torch.channels_last if channels_last else torch.contiguous_format)

    def latents(self, kind, step):
        """The other program's for the steps that are compared, then the program's own."""
        given = self.part[kind]
        return self.device.bring(given[step]) if step < STEPS else torch.randn(given.shape[1:], device=self.device.device)


def in_order(tensors, names):
    return [tensors[name] for name in names]


class Job:
    """What the models share: precision, layout, optimizer, wrapping."""

    def __init__(self, options, inputs):
        self.best = options.style == "best"
        self.inputs = inputs
        self.device = inputs.device
        self.mode = options.compile
        self.bf16 = options.precision == "bf16"
        self.layout = torch.channels_last if self.best else torch.contiguous_format

    def autocast(self):
        return torch.autocast(self.device.type, torch.bfloat16) if self.bf16 else contextlib.nullcontext()

    def prepare(self, module):
        return module.to(self.device.device, memory_format=self.layout)

    def wrap(self, module):
        if not self.best:
            return DDP(module, device_ids=self.device.ids)
        # A static graph is found out in hooks that torch.compile does not carry over.
        return self.compiled(DDP(module, device_ids=self.device.ids, gradient_as_bucket_view=True,
                                 static_graph=self.mode is None, broadcast_buffers=False))

    def compiled(self, module):
        return module if self.mode is None else torch.compile(module, mode=self.mode)

    def adam(self, module, **constants):
        return torch.optim.Adam(module.parameters(), fused=self.best or None, **constants)


class Dcgan(Job):
    """The loop of PyTorch's DCGAN example."""

    def __init__(self, options, inputs):
        super().__init__(options, inputs)
        generator, discriminator = models.dcgan(options.width, options.latent)
        for net, name, layers in ((generator, "G", "from_latent"), (discriminator, "D", None)):
            own = inputs.of_net(name)
            models.load(net, in_order(own, dcgan_names(own, name, layers)))
        self.generator, self.discriminator = self.prepare(generator), self.prepare(discriminator)
        self.parallel_g, self.parallel_d = self.wrap(self.generator), self.wrap(self.discriminator)
        self.judge = self.compiled(self.discriminator)  # in G's phase, without gradients of its own
        constants = {"lr": options.learning_rate, "betas": (0.5, 0.999)}
        self.g_adam, self.d_adam = self.adam(self.generator, **constants), self.adam(self.discriminator, **constants)

    def step(self, step):
        return (self.best_step if self.best else self.plain_step)(step)

    def plain_step(self, step):
        z = self.inputs.latents("latents", step)[:, :, None, None]
        real = self.inputs.images(0, step, False)
        bce = F.binary_cross_entropy_with_logits
        self.d_adam.zero_grad()
        logits = self.parallel_d(real)
        on_real = bce(logits, torch.ones_like(logits))
        on_real.backward()
        fake = self.parallel_g(z)
        logits = self.parallel_d(fake.detach())
        on_fake = bce(logits, torch.zeros_like(logits))
        on_fake.backward()
        self.d_adam.step()
        self.g_adam.zero_grad()
        logits = self.parallel_d(fake)
        g_loss = bce(logits, torch.ones_like(logits))
        g_loss.backward()
        self.g_adam.step()
        return {"D.adversarial": on_real.detach() + on_fake.detach(), "G.adversarial": g_loss.detach()}

    def best_step(self, step):
        z = self.inputs.latents("latents", step)[:, :, None, None]
        real = self.inputs.images(0, step, True)
        self.discriminator.requires_grad_(True)
        self.d_adam.zero_grad(set_to_none=False)
        with self.autocast():
            fake = self.parallel_g(z)
            on_real, on_fake = self.parallel_d(real).float(), self.parallel_d(fake.detach()).float()
        d_loss = F.softplus(-on_real).mean() + F.softplus(on_fake).mean()
        d_loss.backward()
        self.d_adam.step()
        self.discriminator.requires_grad_(False)
        self.g_adam.zero_grad(set_to_none=False)
        with self.autocast():
            logits = self.judge(fake).float()
        g_loss = F.softplus(-logits).mean()
        g_loss.backward()
        self.g_adam.step()
        return {"D.adversarial": d_loss.detach(), "G.adversarial": g_loss.detach()}


def dcgan_names(own, name, first):
    """Atelier keeps convolutions and normalisations in two lists; the example has them in turn."""
    convolutions = sorted(key for key in own if ".convolutions." in key)
    norms = sorted({key.rsplit(".", 1)[0] for key in own if ".normalizations." in key})
    names = [f"{name}.{first}.weight"] if first else [convolutions.pop(0)]
    for i, convolution in enumerate(convolutions):
        norm = [f"{norms[i]}.weight", f"{norms[i]}.bias"]
        names += [*norm, convolution] if first else [convolution, *norm]
    return names if first else [*names, f"{name}.to_logit.weight"]


def plain_names(own, name, *parts):
    """Weight and bias of each layer, parts in the order in which they are called."""
    keys = []
    for part in parts:
        found = sorted(key for key in own if key.startswith(f"{name}.{part}"))
        keys += sorted(found, key=lambda key: (key.rsplit(".", 1)[0], not key.endswith("weight")))
    return keys


class VaeJob(Job):
    def __init__(self, options, inputs):
        super().__init__(options, inputs)
        model = models.Vae(options.width, options.latent)
        own = inputs.of_net("VAE")
        models.load(model, in_order(own, plain_names(own, "VAE", "encoder.convolutions", "encoder.to_latent",
                                                     "decoder.from_latent", "decoder.convolutions")))
        self.model = self.prepare(model)
        self.parallel = self.wrap(self.model)
        self.optimizer = self.adam(self.model, lr=options.learning_rate, betas=(0.9, 0.99))
        self.world = dist.get_world_size()

    def step(self, step):
        x = self.inputs.images(0, step, self.best)
        noise = self.inputs.latents("posterior", step)
        self.optimizer.zero_grad(set_to_none=not self.best)
        with self.autocast():
            y, mean, log_variance = self.parallel(x, noise)
        values = x[0].numel()
        # The optimal sigma of the whole batch: its gradient is that of the mean squared error over 2 sigma^2.
        mse = F.mse_loss(y.float(), x)
        whole = mse.detach().clone()
        dist.all_reduce(whole)
        whole /= self.world
        log_sigma = -6 + F.softplus(0.5 * (whole + 1e-10).log() + 6)
        nll = values * (0.5 * mse * (-2 * log_sigma).exp())
        kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1).mean()
        (nll + kl).backward()
        self.optimizer.step()
        told = values * (0.5 * whole * (-2 * log_sigma).exp() + log_sigma + 0.5 * math.log(2 * math.pi))
        return {"VAE.nll": told, "VAE.kl": kl.detach()}


class RelativisticGan(Job):
    """R1 and R2 every fourth step; DDP cannot differentiate twice, so gradients are summed by hand: one flat buffer a net."""

    def __init__(self, options, inputs):
        super().__init__(options, inputs)
        generator, discriminator = models.plain_gan(options.width, options.latent)
        own = inputs.of_net("G")
        models.load(generator, in_order(own, plain_names(own, "G", "from_latent", "convolutions")))
        own = inputs.of_net("D")
        models.load(discriminator, in_order(own, plain_names(own, "D", "convolutions", "to_logit")))
        self.generator, self.discriminator = self.prepare(generator), self.prepare(discriminator)
        self.gamma, self.world = options.gamma, dist.get_world_size()
        self.with_ddp = self.gamma == 0
        if self.with_ddp:
            self.parallel_g, self.parallel_d = self.wrap(self.generator), self.wrap(self.discriminator)
        else:
            self.parallel_g, self.parallel_d = self.compiled(self.generator), self.compiled(self.discriminator)
        self.judge = self.compiled(self.discriminator)
        constants = {"lr": options.learning_rate, "betas": (0.0, 0.99)}
        self.g_adam, self.d_adam = self.adam(self.generator, **constants), self.adam(self.discriminator, **constants)

    def average(self, net):
        if self.with_ddp or self.world == 1:
            return
        gradients = [p.grad for p in net.parameters()]
        flat = torch.cat([g.flatten() if g.is_contiguous() else g.permute(0, 2, 3, 1).flatten() for g in gradients])
        dist.all_reduce(flat)
        flat /= self.world
        for g, part in zip(gradients, flat.split([g.numel() for g in gradients])):
            if g.is_contiguous():
                g.copy_(part.view_as(g))
            else:
                n, c, h, w = g.shape
                g.copy_(part.view(n, h, w, c).permute(0, 3, 1, 2))

    def step(self, step):
        d_loss, penalties = self.train_d(step)
        g_loss = self.train_g(step)
        return {"D.adversarial": d_loss, "G.adversarial": g_loss, **penalties}

    def train_d(self, step):
        self.discriminator.requires_grad_(True)
        with torch.no_grad(), self.autocast():
            fake = self.generator(self.inputs.latents("discriminator_latents", step))
        both = torch.cat([self.inputs.images(0, step, self.best), fake.float()]).contiguous(memory_format=self.layout)
        penalise = self.gamma > 0 and step % 4 == 0
        both.requires_grad_(penalise)
        self.d_adam.zero_grad()
        with self.autocast():
            logits = self.parallel_d(both).float()
        real, fake = logits.chunk(2)
        loss = adversarial = F.softplus(fake - real).mean()
        penalties = {}
        if penalise:
            gradient, = torch.autograd.grad(logits.sum(), both, create_graph=True)
            r1, r2 = (part.sum((1, 2, 3)).mean() for part in gradient.float().square().chunk(2))
            loss = loss + 0.5 * self.gamma * 4 * (r1 + r2)
            penalties = {"D.r1": r1.detach(), "D.r2": r2.detach()}
        loss.backward()
        self.average(self.discriminator)
        self.d_adam.step()
        return adversarial.detach(), penalties

    def train_g(self, step):
        self.discriminator.requires_grad_(False)
        self.g_adam.zero_grad()
        with self.autocast():
            with torch.no_grad():
                real = self.judge(self.inputs.images(1, step, self.best)).float()
            fake = self.judge(self.parallel_g(self.inputs.latents("latents", step))).float()
        loss = F.softplus(real - fake).mean()
        loss.backward()
        self.average(self.generator)
        self.g_adam.step()
        return loss.detach()


JOBS = {"dcgan": Dcgan, "vae": VaeJob, "gan": RelativisticGan}


def options_of_command_line():
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", choices=JOBS, required=True)
    parser.add_argument("--style", choices=("plain", "best"), required=True)
    parser.add_argument("--precision", choices=("fp32", "bf16"), required=True)
    parser.add_argument("--inputs", required=True)
    parser.add_argument("--width", type=int, required=True)
    parser.add_argument("--latent", type=int, required=True)
    parser.add_argument("--learning-rate", type=float, required=True)
    parser.add_argument("--gamma", type=float, default=0.0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--warmup", type=int, default=0, help="steps after those that are compared, before those that are timed")
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--tf32", action="store_true", help="on a GPU: float32 products may be rounded to TF32")
    parser.add_argument("--compile", metavar="MODE", help="torch.compile, for --style best: reduce-overhead, ...")
    return parser.parse_args()


def step_of(job):
    if job.mode is None:
        return job.step

    def step(number):
        torch.compiler.cudagraph_mark_step_begin()
        return job.step(number)
    return step


def compared_losses(step):
    losses = []
    for number in range(STEPS):
        row = step(number)
        for value in row.values():
            dist.all_reduce(value)
        losses.append({name: float(value) / dist.get_world_size() for name, value in row.items()})
    return losses


def main():
    options = options_of_command_line()
    device = devices.of(options, int(os.environ["RANK"]))
    dist.init_process_group(device.backend)
    inputs = Inputs(options.inputs, dist.get_rank(), dist.get_world_size(), device)
    step = step_of(JOBS[options.model](options, inputs))
    losses = compared_losses(step)
    start = STEPS + options.warmup
    device.step_seconds(step, range(STEPS, start))
    times, wall = device.step_seconds(step, range(start, start + options.steps))
    if dist.get_rank() == 0:
        median = statistics.median(times)
        images = inputs.batch * dist.get_world_size()
        print(json.dumps({"images_per_second": images / median, "images_per_second_by_the_clock": images * len(times) / wall,
                          "step_milliseconds": 1e3 * median, "slowest_step_milliseconds": 1e3 * max(times),
                          "losses": losses, **device.memory()}), flush=True)
    dist.barrier()
    os._exit(0)  # gloo's threads can outlive the interpreter, which then aborts (seen with one run in a hundred)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
