"""The nets of Atelier's presets as PyTorch users write them, with weights read from `atelier bench step --inputs`."""

import torch
from torch import nn


def widths(width, levels):
    """Channels after each halving, finest first."""
    return [width << min(level, 3) for level in range(levels)]


def dcgan(width, latent, levels=4):
    """Generator and discriminator of PyTorch's DCGAN example."""
    down = widths(width, levels)
    up = list(reversed(down))
    generator = [nn.ConvTranspose2d(latent, up[0], 4, 1, 0, bias=False)]
    for below, above in zip(up, up[1:]):
        generator += [nn.BatchNorm2d(below), nn.ReLU(True), nn.ConvTranspose2d(below, above, 4, 2, 1, bias=False)]
    generator += [nn.BatchNorm2d(up[-1]), nn.ReLU(True), nn.ConvTranspose2d(up[-1], 3, 4, 2, 1, bias=False), nn.Tanh()]
    discriminator = [nn.Conv2d(3, down[0], 4, 2, 1, bias=False), nn.LeakyReLU(0.2, inplace=True)]
    for finer, coarser in zip(down, down[1:]):
        discriminator += [nn.Conv2d(finer, coarser, 4, 2, 1, bias=False), nn.BatchNorm2d(coarser),
                          nn.LeakyReLU(0.2, inplace=True)]
    discriminator += [nn.Conv2d(down[-1], 1, 4, 1, 0, bias=False), nn.Flatten(0)]
    return nn.Sequential(*generator), nn.Sequential(*discriminator)


class Base(nn.Module):
    """Linear outputs to the 4 x 4 base, read in channels_last order."""

    def __init__(self, latent, channels):
        super().__init__()
        self.linear = nn.Linear(latent, channels * 16)
        self.channels = channels

    def forward(self, z):
        return self.linear(z).view(-1, 4, 4, self.channels).permute(0, 3, 1, 2)


class Features(nn.Module):
    """The inverse: images of the base to vectors."""

    def forward(self, x):
        return x.permute(0, 2, 3, 1).flatten(1)


def plain_gan(width, latent, levels=3):
    """Generator and discriminator without normalisation, LeakyReLU 0.2."""
    return decoder(width, latent, levels, lambda: nn.LeakyReLU(0.2)), nn.Sequential(
        *encoder_layers(width, levels, lambda: nn.LeakyReLU(0.2)), nn.Linear(widths(width, levels)[-1] * 16, 1, bias=False),
        nn.Flatten(0))


def encoder_layers(width, levels, activation):
    channels = [3, *widths(width, levels)]
    layers = []
    for finer, coarser in zip(channels, channels[1:]):
        layers += [nn.Conv2d(finer, coarser, 4, 2, 1), activation()]
    return [*layers, Features()]


def decoder(width, latent, levels, activation):
    channels = [*reversed(widths(width, levels)), 3]
    layers = [Base(latent, channels[0])]
    for coarser, finer in zip(channels, channels[1:]):
        layers += [activation(), nn.ConvTranspose2d(coarser, finer, 4, 2, 1)]
    return nn.Sequential(*layers)


class Vae(nn.Module):
    """Encoder to mean and logarithm of the variance, decoder, SiLU."""

    def __init__(self, width, latent, levels=4):
        super().__init__()
        self.encoder = nn.Sequential(*encoder_layers(width, levels, nn.SiLU),
                                     nn.Linear(widths(width, levels)[-1] * 16, 2 * latent))
        self.decoder = decoder(width, latent, levels, nn.SiLU)

    def forward(self, x, noise):
        mean, log_variance = self.encoder(x).float().chunk(2, 1)
        return self.decoder(mean + noise * (0.5 * log_variance).exp()), mean, log_variance


def load(module, tensors):
    """Copies Atelier's tensors, in the order both have, into the parameters; a linear layer to or from the base may be a
    convolution here."""
    mine = list(module.parameters())
    if len(mine) != len(tensors):
        raise SystemExit(f"{len(tensors)} weights for {len(mine)} parameters")
    with torch.no_grad():
        for parameter, tensor in zip(mine, tensors):
            if parameter.shape != tensor.shape:
                tensor = reorder(tensor, parameter.shape)
            parameter.copy_(tensor)


def reorder(tensor, shape):
    if shape[0] == 1:  # features to a logit: [1, h w c] -> [1, c, h, w]
        return tensor.view(1, shape[2], shape[3], shape[1]).permute(0, 3, 1, 2)
    return tensor.view(shape[2], shape[3], shape[1], shape[0]).permute(3, 2, 0, 1)  # [h w c, z] -> [z, c, h, w]
