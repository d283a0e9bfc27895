"""The photo without its face, but for sparse pixels."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from smirk3d.masking.hull import dilate, face_hull_mask
from smirk3d.masking.transfer import PixelSamples


@dataclass(frozen=True)
class MaskingConfig:
    """How much of the face the neural renderer may see; the defaults, for 224 pixels, are those of METHOD section 6.

    Attributes:
        sample_share: sampled points as a share of the pixels of the image.
        noise_std: standard deviation of the factors, about 1, on the sampled colours.
        patch_px: side of the square patches that are dropped, odd.
        drop_probability: of every pixel to be the centre of a dropped patch, in the first path.
        cycle_drop_probability: the same in the cycle path.
        dilation_px: radius by which the hull of the landmarks is dilated.
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
        """Return the same for pictures of another side: lengths in pixels are given for 224."""
        factor = size / 224
        patch_px = max(round((self.patch_px * factor - 1) / 2), 0) * 2 + 1
        return replace(self, patch_px=patch_px, dilation_px=round(self.dilation_px * factor))

    def sample_count(self, size: int) -> int:
        """Sampled points for an image of `size` pixels a side: 501 for 224."""
        return int(self.sample_share * size * size)


@dataclass(frozen=True)
class MaskedPhoto:
    """What the neural renderer sees of a photo.

    Attributes:
        image: (B,3,H,W) float, the photo where it is kept, sampled colours, and 0 elsewhere. Noise may lift
            sampled colours above 1; they are not clamped.
        keep_mask: (B,1,H,W) bool, outside of the removed area.
        sampled_mask: (B,1,H,W) bool, pixels that carry a sampled colour, be it 0.
    """

    image: Tensor
    keep_mask: Tensor
    sampled_mask: Tensor


def removed_area(landmarks_ndc: Tensor, rendered_mask: Tensor, dilation_px: int = 10) -> Tensor:
    """Find the pixels to take out of a photo: the dilated hull of its landmarks, and what the mesh covers.

    Args:
        landmarks_ndc: (B,L,2) float, landmarks of the face in the photo.
        rendered_mask: (B,1,H,W) bool, coverage by the mesh; in the cycle path by the changed one.
        dilation_px: Radius.

    Returns:
        (B,1,H,W) bool.
    """
    height, width = rendered_mask.shape[-2:]
    return dilate(face_hull_mask(landmarks_ndc, (height, width)), dilation_px) | rendered_mask


def masked_photo(
    photo: Tensor,
    removed: Tensor,
    samples: PixelSamples,
    generator: torch.Generator,
    *,
    drop_probability: float,
    config: MaskingConfig | None = None,
) -> MaskedPhoto:
    """Remove the face from photos and put sparse pixels back.

    Every colour value of a sample is multiplied by an own factor from N(1, noise_std²). Then the samples in
    random square patches are dropped; patches do not touch the rest of the photo. Where several samples fall
    on one pixel, the first one of those that are valid counts.

    Args:
        photo: (B,3,H,W) float of any precision, in [0,1].
        removed: (B,1,H,W) bool, see `removed_area`.
        samples: Where colours are read and written.
        generator: Of any device.
        drop_probability: Of every pixel to be the centre of a dropped patch, in [0,1].
        config: Supplies `noise_std` and `patch_px`; the method's by default.

    Returns:
        MaskedPhoto in the dtype of the photo, without a gradient.

    Source: METHOD section 6. Unlike in the published code, a sampled pixel is copied whole: there, channels
    that are 0 were left as they were (METHOD section 10).
    """
    config = config or MaskingConfig()
    photo = photo.detach()
    batch, channels, height, width = photo.shape
    noise = torch.randn(*samples.valid.shape, channels, generator=generator, device=generator.device)
    colors = _at(photo, samples.source_px) * (1 + config.noise_std * noise.to(photo))
    dropped = _patches((batch, 1, height, width), drop_probability, config.patch_px, generator).to(photo.device)
    nowhere = height * width  # what is not written goes to a pixel after the last
    place = _own_place(samples, width, nowhere).masked_fill(_at(dropped, samples.target_px)[..., 0], nowhere)
    background = functional.pad(photo.masked_fill(removed, 0).flatten(2), (0, 1))
    image = background.scatter(2, place[:, None].expand(-1, channels, -1), colors.mT)
    sampled = removed.new_zeros(batch, 1, nowhere + 1).scatter(2, place[:, None], True)
    return MaskedPhoto(image[..., :-1].reshape(photo.shape), ~removed, sampled[..., :-1].reshape(removed.shape))


def _at(image: Tensor, pixels: Tensor) -> Tensor:
    """(B,N,C) values of an image (B,C,H,W) at pixels (B,N,2)."""
    column, row = pixels.unbind(dim=-1)
    index = (row * image.shape[-1] + column)[:, None].expand(-1, image.shape[1], -1)
    return image.flatten(2).gather(2, index).mT


def _own_place(samples: PixelSamples, width: int, nowhere: int) -> Tensor:
    """(B,N) int64: the pixel where a sample is written, or `nowhere` if it is not valid or not the first there."""
    column, row = samples.target_px.unbind(dim=-1)
    batch, count = samples.valid.shape
    place = (row * width + column).masked_fill(~samples.valid, nowhere)
    number = torch.arange(count, device=place.device).expand(batch, -1)
    # The least number, unlike the last writer, is the same in any order of execution.
    first = number.new_full((batch, nowhere + 1), count).scatter_reduce(1, place, number, "amin")
    return torch.where(first.gather(1, place) == number, place, nowhere)


def _patches(shape: tuple[int, int, int, int], probability: float, side: int, generator: torch.Generator) -> Tensor:
    """Bool image of random squares, on the generator's device."""
    centers = torch.rand(shape, generator=generator, device=generator.device) < probability
    return dilate(centers, side // 2)
