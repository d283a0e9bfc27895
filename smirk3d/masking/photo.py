"""The masked photo: the face removed, and sparse pixels of it put back."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from smirk3d.masking.hull import dilate, face_hull_mask
from smirk3d.masking.transfer import PixelSamples


@dataclass(frozen=True)
class MaskingConfig:
    """How much of the face the neural renderer gets; the defaults are SMIRK's, see "Masking" in docs/method.md.

    Lengths are for images of 224 pixels a side, see `scaled`.

    Attributes:
        sample_share: Number of sampled points over the number of pixels of the image, in [0,1]; about 0.01.
        noise_std: Standard deviation of the factors, of mean 1, on the sampled colours, >= 0; about 0.05.
        patch_px: Side of the square patches in which samples are dropped, odd; about 11.
        drop_probability: Probability, for every pixel, to be the centre of a dropped patch in the reconstruction
            path, in [0,1]; about 0.01.
        cycle_drop_probability: The same in the cycle path; about 0.005.
        dilation_px: Radius by which the hull of the landmarks is dilated, >= 0; about 10.

    Raises:
        ValueError: A value is out of its range.

    Source: Retsinas et al., "3D Facial Expressions through Analysis-by-Neural-Synthesis" (CVPR 2024),
    and the released code.
    """

    sample_share: float = 0.01
    noise_std: float = 0.05
    patch_px: int = 11
    drop_probability: float = 0.01
    cycle_drop_probability: float = 0.005
    dilation_px: int = 10

    def __post_init__(self) -> None:
        for name in ("sample_share", "drop_probability", "cycle_drop_probability"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be in [0,1], not {getattr(self, name)}")
        if self.patch_px < 1 or self.patch_px % 2 == 0:
            raise ValueError(f"patch_px must be odd and positive, not {self.patch_px}")
        if self.noise_std < 0 or self.dilation_px < 0:
            raise ValueError("noise_std and dilation_px must not be negative")

    def scaled(self, size: int) -> MaskingConfig:
        """Return the same masking for images of another size.

        Args:
            size: Side in pixels; the lengths of this configuration are for 224.
        """
        factor = size / 224
        patch_px = max(round((self.patch_px * factor - 1) / 2), 0) * 2 + 1  # stays odd
        return replace(self, patch_px=patch_px, dilation_px=round(self.dilation_px * factor))

    def sample_count(self, size: int) -> int:
        """Return the number of sampled points for an image: 501 for 224 pixels a side.

        Args:
            size: Side in pixels.
        """
        return int(self.sample_share * size * size)


@dataclass(frozen=True)
class MaskedPhoto:
    """The part of a photo that the neural renderer gets as input.

    Attributes:
        image: (B,3,H,W) float, the photo where it is kept, sampled colours, and 0 elsewhere. Noise may raise
            sampled colours above 1; they are not clamped.
        keep_mask: (B,1,H,W) bool, outside the removed area.
        sampled_mask: (B,1,H,W) bool, pixels that carry a sampled colour, black ones included.
    """

    image: Tensor
    keep_mask: Tensor
    sampled_mask: Tensor


def removal_mask(landmarks_ndc: Tensor, rendered_mask: Tensor, dilation_px: int = 10) -> Tensor:
    """Return the pixels to remove from a photo: the dilated hull of its landmarks, and those that the mesh covers.

    Args:
        landmarks_ndc: (B,L,2) float, NDC, landmarks of the face in the photo.
        rendered_mask: (B,1,H,W) bool, coverage by the mesh; in the cycle path by the one with the new expression.
        dilation_px: Radius of the dilation in pixels, >= 0.

    Returns:
        (B,1,H,W) bool.
    """
    height, width = rendered_mask.shape[-2:]
    return dilate(face_hull_mask(landmarks_ndc, (height, width)), dilation_px) | rendered_mask


def mask_face(
    photo: Tensor,
    removed: Tensor,
    samples: PixelSamples,
    generator: torch.Generator,
    *,
    drop_probability: float,
    config: MaskingConfig | None = None,
) -> MaskedPhoto:
    """Remove the face from photos and put sparse pixels back.

    Each channel of each sample is multiplied by its own factor from N(1, noise_std²). Then the samples in random
    square patches are dropped; patches do not affect the rest of the photo. Where several samples fall on one pixel,
    the first valid one is used.

    Args:
        photo: (B,3,H,W) float of any precision, in [0,1].
        removed: (B,1,H,W) bool, see `removal_mask`.
        samples: Pixels where colours are read and written.
        generator: On any device.
        drop_probability: Probability, for every pixel, to be the centre of a dropped patch, in [0,1].
        config: Supplies `noise_std` and `patch_px`; None takes the defaults.

    Returns:
        MaskedPhoto in the dtype of the photo, without a gradient.

    Source: Retsinas et al. (CVPR 2024). Unlike in the released code, a sampled pixel is copied whole:
    there, channels with the value 0 kept what was in the image before.
    """
    config = config or MaskingConfig()
    photo = photo.detach()
    batch, channels, height, width = photo.shape
    noise = torch.randn(*samples.valid.shape, channels, generator=generator, device=generator.device)
    colors = _gather_pixels(photo, samples.source_px) * (1 + config.noise_std * noise.to(photo))
    dropped = _random_patches((batch, 1, height, width), drop_probability, config.patch_px, generator).to(photo.device)
    # Samples that are not written go to a dummy pixel after the last one, so that one scatter serves all.
    dummy = height * width
    is_dropped = _gather_pixels(dropped, samples.target_px)[..., 0]
    target = _unique_targets(samples, width, dummy).masked_fill(is_dropped, dummy)
    background = functional.pad(photo.masked_fill(removed, 0).flatten(2), (0, 1))
    image = background.scatter(2, target[:, None].expand(-1, channels, -1), colors.mT)
    sampled = removed.new_zeros(batch, 1, dummy + 1).scatter(2, target[:, None], True)
    return MaskedPhoto(image[..., :-1].reshape(photo.shape), ~removed, sampled[..., :-1].reshape(removed.shape))


def _gather_pixels(image: Tensor, pixels: Tensor) -> Tensor:
    """Return the values (B,N,C) of an image (B,C,H,W) at pixels (B,N,2), column and row."""
    column, row = pixels.unbind(dim=-1)
    index = (row * image.shape[-1] + column)[:, None].expand(-1, image.shape[1], -1)
    return image.flatten(2).gather(2, index).mT


def _unique_targets(samples: PixelSamples, width: int, dummy: int) -> Tensor:
    """Return the flat pixel (B,N) int64 that each sample is written to; `dummy` for invalid and duplicate ones."""
    column, row = samples.target_px.unbind(dim=-1)
    batch, count = samples.valid.shape
    target = (row * width + column).masked_fill(~samples.valid, dummy)
    number = torch.arange(count, device=target.device).expand(batch, -1)
    # A scatter with duplicates has no defined winner; the smallest number is the same in any order of execution.
    first = number.new_full((batch, dummy + 1), count).scatter_reduce(1, target, number, "amin")
    return torch.where(first.gather(1, target) == number, target, dummy)


def _random_patches(
    shape: tuple[int, int, int, int], probability: float, side: int, generator: torch.Generator
) -> Tensor:
    """Return a bool image of random squares, on the generator's device."""
    centers = torch.rand(shape, generator=generator, device=generator.device) < probability
    return dilate(centers, side // 2)
