"""Learn from rendered people which part of the identity that landmarks give is true.

    python -m smirk3d.train.recipes.shape_calibration

Renders people with several expressions each, detects them, fits one identity to some photos of each, and regresses
the true identity. Logs the errors of people that were not used.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from smirk3d import Reconstructor
from smirk3d.authoring.load import load_head
from smirk3d.datasets.synthetic.rendered_people import EXPRESSIONS, rendered_people
from smirk3d.estimation.estimator import FaceObservation
from smirk3d.estimation.fusion import FusionEstimator
from smirk3d.estimation.shape_calibration import ShapeCalibration, fit_calibration, save_shape_calibration
from smirk3d.head.model import HeadModel
from smirk3d.media.images import Photo
from smirk3d.train.provenance import commit
from smirk3d.train.recipes.command import run_recipe
from smirk3d.zoo.registry import locate

PHOTOS_OF_A_FIT = (2, 2, 3, 3, len(EXPRESSIONS))
"""Numbers of photos, chosen at random, of the fits to each person."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Options:
    """People of the regression, and where it goes."""

    people: int = 100
    """Rendered people, with as many photos as there are expressions in `smirk3d.datasets.synthetic.rendered_people`."""
    held_out: int = 20
    """Further people on whom the result is tested."""
    seed: int = 1000
    """Of the people; that of `smirk3d evaluate` must be another one."""
    ridge: float = 20.0
    """See `fit_calibration`."""
    share: float = 0.35
    """See `fit_calibration`."""
    out: Path = field(default_factory=lambda: locate("shape_calibration"))
    """File to write; by default the packaged one."""


@dataclass(frozen=True)
class Pairs:
    """Fitted and true identities (N, S), several of each person in turn."""

    fitted: Tensor
    true: Tensor


def fitted_people(head: HeadModel, count: int, seed: int) -> Pairs:
    """Return the identities of rendered people as landmarks give them, without a calibration, and the true ones."""
    random = np.random.default_rng(seed)
    fitted, true = [], []
    with Reconstructor(head, max_faces=1) as reconstructor:
        estimator = reconstructor.estimator
        assert isinstance(estimator, FusionEstimator)
        estimator.fitter.shape_calibration = None
        for number, (shape, faces) in enumerate(_observed(reconstructor, head, count, seed)):
            records = estimator.observe(faces)
            for size in PHOTOS_OF_A_FIT:
                chosen = records[random.permutation(len(records))[:size]]
                person = np.zeros(len(chosen), dtype=np.int64)
                solved = estimator.solve(chosen, estimator.intrinsics(chosen), person=person)
                fitted.append(solved.shape[0].cpu())
                true.append(shape)
            if number % 10 == 9:
                _log.info("%d of %d people", number + 1, count)
    return Pairs(torch.stack(fitted), torch.stack(true))


def _observed(
    reconstructor: Reconstructor, head: HeadModel, count: int, seed: int
) -> Iterator[tuple[Tensor, list[FaceObservation]]]:
    """Yield the true shape (S,) of each person with the faces that were found in at least two of their photos."""
    photos = rendered_people(head, count, seed)
    while person := list(islice(photos, len(EXPRESSIONS))):
        found = [(Photo(each.pixels), reconstructor.detect(each.pixels)) for each in person]
        faces = [FaceObservation(photo, detected[0]) for photo, detected in found if detected]
        if len(faces) > 1:
            yield torch.from_numpy(person[0].shape), faces


def error(shape: Tensor, true: Tensor) -> float:
    """Return the root mean square error of coefficients (N, S)."""
    return float((shape - true).square().mean().sqrt())


def main(options: Options) -> None:
    """Render, fit, regress, test and save."""
    head = load_head()
    pairs = fitted_people(head, options.people, options.seed)
    sign = head.data.shape_mirror_sign
    assert sign is not None
    matrix = fit_calibration(pairs.fitted, pairs.true, sign, options.ridge, options.share)
    meta = {"seed": str(options.seed), "people": str(options.people), "commit": commit()}
    calibration = ShapeCalibration(matrix, head.data.content_id, meta)
    save_shape_calibration(calibration, options.out)
    test = fitted_people(head, options.held_out, options.seed + 1)
    before, after = (error(each, test.true) for each in (test.fitted, calibration(test.fitted)))
    _log.info("%s: error of the coefficients of held-out people %.3f, was %.3f", options.out, after, before)


if __name__ == "__main__":
    run_recipe(Options, main)
