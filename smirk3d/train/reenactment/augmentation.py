"""Random changes of views of people."""

from __future__ import annotations

import torch
from torch import Tensor

from smirk3d.datasets.synthetic.rendered_views import Views
from smirk3d.head.arkit import ARKIT_MIRROR
from smirk3d.head.landmark_indices import MIRROR
from smirk3d.reenactment.transformer.expression_code import ABOVE, BELOW

_GREY_SHARE = 0.25
_GAMMA, _CONTRAST, _BRIGHTNESS, _TINT = 0.3, 0.2, 0.1, 0.08


def augmented(views: Views, generator: torch.Generator) -> Views:
    """Return views, some of them mirrored, with other colours, alike in all views of a person, and in another order.

    The first two views change places in half of the cases.
    """
    count = len(views)
    swap, mirror = (torch.rand(count, generator=generator) < 0.5 for _ in range(2))
    order = torch.arange(views.images.shape[1]).repeat(count, 1)
    order[swap, 0], order[swap, 1] = 1, 0
    rows = torch.arange(count)[:, None]
    views = Views(*(each[rows, order] for each in (views.images, views.points_ndc, views.weights, views.pose)))
    return _recolored(_mirrored(views, mirror), generator)


def _mirrored(views: Views, mirror: Tensor) -> Views:
    """Return views of which those of some people (B,) bool are mirrored."""
    chosen = mirror[:, None, None]
    points = views.points_ndc[:, :, list(MIRROR)] * torch.tensor([-1.0, 1.0])
    return Views(
        torch.where(chosen[..., None, None], views.images.flip(-1), views.images),
        torch.where(chosen[..., None], points, views.points_ndc),
        torch.where(chosen, views.weights[..., list(ARKIT_MIRROR)], views.weights),
        torch.where(chosen, views.pose * torch.tensor([1.0, -1.0, -1.0]), views.pose),
    )


def _recolored(views: Views, generator: torch.Generator) -> Views:
    images = recolored(views.images.flatten(1, 2), generator).view(views.images.shape)
    grey = torch.rand(len(views), generator=generator) < _GREY_SHARE
    images = torch.where(grey[:, None, None, None, None], images.mean(2, keepdim=True), images)
    return Views(images, views.points_ndc, views.weights, views.pose)


def recolored(images: Tensor, generator: torch.Generator) -> Tensor:
    """Return images (B, 3 k, S, S) in [0, 1] with other gamma, contrast, brightness and tint."""

    def spread(limit: float, channels: int = 1) -> Tensor:
        numbers = 2 * torch.rand(len(images), channels, 1, 1, generator=generator) - 1
        return limit * numbers.repeat(1, images.shape[1] // 3 if channels == 3 else 1, 1, 1)

    changed = images.clamp(1e-3, 1) ** spread(_GAMMA).exp()
    mean = changed.mean((1, 2, 3), keepdim=True)
    return ((changed - mean) * (1 + spread(_CONTRAST)) + mean + spread(_BRIGHTNESS) + spread(_TINT, 3)).clamp(0, 1)


def crop_margins(count: int, generator: torch.Generator) -> Tensor:
    """Return random margins (B, 4) of crops for expression codes: a face's place in its crop carries no information."""
    usual = torch.tensor([BELOW, ABOVE, BELOW, BELOW])
    return usual + 0.15 * (2 * torch.rand(count, 4, generator=generator) - 1)


def with_exposure_of(images: Tensor, weight: Tensor, reference: Tensor, reference_weight: Tensor) -> Tensor:
    """Return images (B, 3, S, S) whose faces have the mean colours and the contrast of others.

    Args:
        images: (B, 3, S, S) in [0, 1].
        weight: (B, S, S) where their faces are.
        reference: (B, 3, S, S) in [0, 1].
        reference_weight: (B, S, S) where the faces of these are.
    """
    mean, spread = _moments(images, weight)
    wanted_mean, wanted_spread = _moments(reference, reference_weight)
    return ((images - mean) * (wanted_spread / spread).clamp(0.5, 2) + wanted_mean).clamp(0, 1)


def _moments(images: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean colours (B, 3, 1, 1) and standard deviations (B, 1, 1, 1) where weights are large."""
    share = weight[:, None] / weight.sum((1, 2))[:, None, None, None]
    mean = (images * share).sum((2, 3), keepdim=True)
    variance = ((images - mean).square() * share).sum((1, 2, 3), keepdim=True) / 3
    return mean, variance.clamp_min(1e-4).sqrt()
