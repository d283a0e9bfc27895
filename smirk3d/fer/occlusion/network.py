"""The masked autoencoder of face windows, and the one-class description of the latents of its patches."""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, gelu, interpolate, scaled_dot_product_attention

from smirk3d.fer.occlusion.decoder import Decoder, without_grid
from smirk3d.fer.occlusion.linear_face import CELL_PX, MODEL_PX, LinearFace, model_patches
from smirk3d.fer.occlusion.patches import N_PATCHES, PATCH_PX, SIDE_PX, patch_shares, to_patches, to_pixels
from smirk3d.networks.half_file import load_half

WIDTH, FILLER_WIDTH, DEPTH, FILLER_DEPTH, HEADS, MLP_RATIO = 128, 96, 5, 2, 4, 3
"""Width of a token in the encoder and in the filler, blocks of both, heads of the attention, and width of the MLP of a
block over that of a token."""
EARLY_BLOCK = 2
"""Block of the encoder whose tokens the description uses beside the last ones; they depend less on neighbours."""
DESCRIBED = 32
"""Numbers of a latent in the one-class description."""
MIN_CONTRAST = 0.04
"""Added to the deviation of the pixels, so that noise in flat windows stays small."""
_UNREAD, _DESCRIPTION_WIDTH = -1e4, 96


class Block(nn.Module):
    """A block of a vision transformer with normalisation first (Dosovitskiy et al., ICLR 2021)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm_1, self.norm_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.project = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.widen, self.narrow = nn.Linear(width, MLP_RATIO * width), nn.Linear(MLP_RATIO * width, width)

    def forward(self, tokens: Tensor, bias: Tensor | None = None) -> Tensor:
        """Return changed tokens (B, T, W); `bias` (B, 1, 1, T) is added to the attention that a token receives."""
        count, length, width = tokens.shape
        parts = self.qkv(self.norm_1(tokens)).reshape(count, length, 3, HEADS, width // HEADS).permute(2, 0, 3, 1, 4)
        attended = scaled_dot_product_attention(parts[0], parts[1], parts[2], attn_mask=bias)
        tokens = tokens + self.project(attended.transpose(1, 2).reshape(count, length, width))
        return tokens + self.narrow(gelu(self.widen(self.norm_2(tokens)), approximate="tanh"))


class TokenizedWindows(NamedTuple):
    """B windows as the network reads them.

    Attributes:
        normalized: (B, 1, 96, 96) with mean 0 and deviation 1 over visible patches.
        mean: (B, 1, 1, 1), that mean.
        scale: (B, 1, 1, 1), that deviation.
        base: (B, 1, 96, 96) normalised, hidden patches filled by the linear model.
        tokens: (B, 144, W).
    """

    normalized: Tensor
    mean: Tensor
    scale: Tensor
    base: Tensor
    tokens: Tensor


class OcclusionNetwork(nn.Module):
    """Encoder of visible patches, decoder of the whole window, and description of the latents.

    A linear model of faces gives both a start: patches are read together with what it cannot explain in them, and the
    decoder learns what its fill lacks.

    Source: He et al., "Masked Autoencoders Are Scalable Vision Learners", CVPR 2022, for encoder and masking; Lee et
    al., "Latent-OFER", ICCV 2023, for their use; Ruff et al., "Rethinking Assumptions in Deep Anomaly Detection", 2020,
    for the description: a hypersphere that holds latents of visible patches and none of hidden ones.

    Attributes:
        radius: () distance beyond which a patch is hidden.
    """

    radius: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.linear = LinearFace()
        self.embed = nn.Linear(PATCH_PX**2 + CELL_PX**2, WIDTH)
        self.position = nn.Parameter(_waves(WIDTH))
        self.encoder = nn.ModuleList(Block(WIDTH) for _ in range(DEPTH))
        self.norm = nn.LayerNorm(WIDTH)
        self.shrink = nn.Linear(WIDTH, FILLER_WIDTH)
        self.missing = nn.Parameter(torch.zeros(FILLER_WIDTH))
        self.place = nn.Parameter(_waves(FILLER_WIDTH))
        self.filler = nn.ModuleList(Block(FILLER_WIDTH) for _ in range(FILLER_DEPTH))
        self.decoder = Decoder(FILLER_WIDTH)
        self.description = nn.Sequential(
            nn.LayerNorm(2 * WIDTH),
            nn.Linear(2 * WIDTH, _DESCRIPTION_WIDTH),
            nn.GELU(approximate="tanh"),
            nn.Linear(_DESCRIPTION_WIDTH, DESCRIBED),
        )
        self.register_buffer("radius", torch.tensor(1.0))

    def tokenize(self, images: Tensor, hidden: Tensor) -> TokenizedWindows:
        """Return what the network reads of images.

        Args:
            images: (B, 1, 96, 96) in [0, 1].
            hidden: (B, 144) bool, patches whose pixels do not count.
        """
        normalized, mean, scale = normalize(images, hidden)
        small = avg_pool2d(normalized, SIDE_PX // MODEL_PX)
        fit = self.linear.fit(small, hidden)
        read = torch.cat([to_patches(normalized), model_patches(small - fit)], 2)
        filled = interpolate(fit, scale_factor=SIDE_PX / MODEL_PX, mode="bilinear", align_corners=False)
        base = torch.where(to_pixels(hidden) > 0, filled, normalized)
        return TokenizedWindows(normalized, mean, scale, base, self.embed(read) + self.position)

    def encode(self, tokens: Tensor, hidden: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the latents of tokens (B, T, W) after `EARLY_BLOCK` and after the last block.

        Args:
            tokens: See `TokenizedWindows`; all, or those of visible patches.
            hidden: (B, T) bool, tokens that no other one reads.
        """
        bias = None if hidden is None else (_UNREAD * hidden.to(tokens.dtype))[:, None, None]
        early = tokens
        for number, block in enumerate(self.encoder, 1):
            tokens = block(tokens, bias)
            if number == EARLY_BLOCK:
                early = tokens
        return early, self.norm(tokens)

    def distances(self, early: Tensor, latents: Tensor) -> Tensor:
        """Return how far latents (B, T, W) lie from those of visible patches, (B, T) from 0 (Ruff et al., eq. 5)."""
        described = self.description(torch.cat([early, latents], 2)).float()
        return (1 + described.square().sum(2)).sqrt() - 1

    def fill(self, latents: Tensor, hidden: Tensor, base: Tensor) -> Tensor:
        """Return whole normalised images (B, 1, 96, 96).

        Args:
            latents: (B, 144, W); those of hidden patches are not read.
            hidden: (B, 144) bool.
            base: (B, 1, 96, 96), see `TokenizedWindows`.
        """
        return base + self.correction(latents, hidden, base)

    def correction(self, latents: Tensor, hidden: Tensor, base: Tensor) -> Tensor:
        """Return what `base` lacks, (B, 1, 96, 96); as for `fill`."""
        narrow = self.shrink(latents)
        tokens = torch.where(hidden[..., None], self.missing.to(narrow.dtype), narrow) + self.place
        for block in self.filler:
            tokens = block(tokens)
        return self.decoder(tokens, base, to_pixels(~hidden))

    def detect(self, images: Tensor) -> Tensor:
        """Return the distances (B, 144) of the patches of images (B, 1, 96, 96) in [0, 1]."""
        windows = self.tokenize(images, torch.zeros(len(images), N_PATCHES, dtype=torch.bool))
        return self.distances(*self.encode(windows.tokens))

    def rebuild(self, images: Tensor, hidden: Tensor) -> Tensor:
        """Return images (B, 1, 96, 96) in [0, 1] as the visible patches suggest them.

        Args:
            images: (B, 1, 96, 96) in [0, 1].
            hidden: (B, 144) bool; at least one patch of each image is visible.
        """
        windows = self.tokenize(images, hidden)
        _, latents = self.encode(windows.tokens, hidden)
        correction = without_grid(self.correction(latents, hidden, windows.base))
        return ((windows.base + correction) * windows.scale + windows.mean).clamp(0, 1)


def normalize(images: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return images (B, 1, 96, 96) with mean 0 and deviation 1 over visible patches, that mean, and that deviation."""
    patches, weight = to_patches(images), (~hidden).float()
    count = weight.sum(1).clamp(min=1)
    mean = (patch_shares(images) * weight).sum(1) / count
    square = ((patches - mean[:, None, None]).square().mean(2) * weight).sum(1) / count
    mean, scale = mean.view(-1, 1, 1, 1), square.sqrt().view(-1, 1, 1, 1) + MIN_CONTRAST
    return (images - mean) / scale, mean, scale


def _waves(width: int) -> Tensor:
    """Return sines and cosines of row and column, (144, width)."""
    side = math.isqrt(N_PATCHES)
    rate = 100.0 ** -torch.linspace(0, 1, width // 4)
    phase = torch.arange(side)[:, None] * rate * 3
    wave = torch.cat([phase.sin(), phase.cos()], 1)
    rows, columns = wave[:, None].expand(-1, side, -1), wave[None].expand(side, -1, -1)
    return 0.3 * torch.cat([rows, columns], 2).reshape(N_PATCHES, width)


def load_occlusion_network(path: Path) -> OcclusionNetwork:
    """Read a network for inference.

    Raises:
        Smirk3dError: The file is missing or damaged, or holds something else.
    """
    network = OcclusionNetwork()
    remedy = "give a file that `smirk3d fer train configs/recipes/fer_occlusion.yaml` wrote, or reinstall smirk3d"
    load_half(network, path, "an occlusion network", remedy)
    return network.eval().requires_grad_(False)
