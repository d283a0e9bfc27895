"""Measures of the networks on rendered people who are not learned from."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from smirk3d.datasets.synthetic.rendered_views import RenderedViews, Views
from smirk3d.reenactment.transformer.expression_code import face_crops
from smirk3d.reenactment.transformer.keypoints import DENSE, grid_positions
from smirk3d.reenactment.transformer.network import keypoint_motion
from smirk3d.reenactment.transformer.weights import TransformerNetworks
from smirk3d.train.reenactment.step import Synthesis, synthesize

_BLOCK = 16


@torch.no_grad()
def validate(networks: TransformerNetworks, people: RenderedViews, device: str) -> dict[str, float]:
    """Return mean peak signal-to-noise ratios in dB over the second views of all people.

    Expression codes of the wanted pictures stay unknown, as where weights drive. `psnr_db` is from one source,
    `psnr_3_db` from three; `color_db` is that of the colours alone, `keypoints_db` of the source as keypoints move it,
    `copied_db` of the source itself.
    """
    was_training = networks.training
    networks.eval()
    totals: dict[str, list[float]] = {}
    for index in torch.arange(len(people)).split(_BLOCK):
        views = people.batch(index)
        views = Views(*(each.to(device) for each in vars(views).values()))
        one = Views(*(each[:, :2] for each in vars(views).values()))
        for name, value in _measured(networks, one, views).items():
            totals.setdefault(name, []).extend(value.tolist())
    networks.train(was_training)
    return {name: sum(values) / len(values) for name, values in totals.items()}


def _measured(networks: TransformerNetworks, one: Views, views: Views) -> dict[str, Tensor]:
    truth = one.images[:, 1]
    shown, several = (synthesize(networks, each, source_codes(networks, each)) for each in (one, views))
    return {
        "psnr_db": decibels(shown.picture, truth),
        "psnr_3_db": decibels(several.picture, truth),
        "color_db": decibels(shown.decoded.color, truth),
        "keypoints_db": decibels(_moved_by_keypoints(shown, one), truth),
        "copied_db": decibels(one.images[:, 0], truth),
    }


def _moved_by_keypoints(shown: Synthesis, views: Views) -> Tensor:
    """Return the first view as keypoints alone move it, (B, 3, S, S)."""
    size = views.images.shape[-1]
    motion = keypoint_motion(views.points_ndc[:, 1, list(DENSE)], shown.scene.dense, size)[:, 0]
    at = grid_positions(size, motion.device).view(1, size, size, 2) + motion.permute(0, 2, 3, 1)
    return grid_sample(views.images[:, 0], at, padding_mode="border", align_corners=False)


def source_codes(networks: TransformerNetworks, views: Views) -> Tensor:
    """Return expression codes (B, V, L) of views; 0 for the second ones, which are to be shown."""
    count, n_views = views.images.shape[:2]
    crops = face_crops(views.images.flatten(0, 1), views.points_ndc.flatten(0, 1))
    values = networks.expression(crops).unflatten(0, (count, n_views)).clone()
    values[:, 1] = 0
    return values


def decibels(shown: Tensor, truth: Tensor) -> Tensor:
    """Return the peak signal-to-noise ratio of pictures (B, 3, S, S) in [0, 1], (B,) in dB."""
    return -10 * (shown.clamp(0, 1) - truth).square().mean((1, 2, 3)).clamp_min(1e-10).log10()
