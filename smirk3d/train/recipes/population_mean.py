"""Measure how the average adult of photos differs from MakeHuman's base mesh, as positions of its sliders.

    python -m smirk3d.train.recipes.population_mean --photos FOLDER --head open.pack

Fits a head to photos of the training split, moves the mean head by the mean of the shapes, and repeats that: each fit
shrinks towards the mean head, so one pass finds a part of the difference. The difference is then explained by sex, age,
build and ancestry, of which the photos are no even sample, and by the sliders of the face; only the latter are kept.
Logs the positions for `smirk3d.authoring.population`, those that it has now included.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from smirk3d.authoring.identity_pca import FACE_CATEGORIES, macro_directions
from smirk3d.authoring.load import load_head
from smirk3d.authoring.makehuman import MakeHuman, load_makehuman
from smirk3d.authoring.population import MEAN_SLIDERS
from smirk3d.datasets.landmark_annotations import read_landmark_annotations
from smirk3d.estimation.estimator import FaceObservation
from smirk3d.estimation.landmark_fit import LandmarkFitEstimator
from smirk3d.geometry.align import align
from smirk3d.head.model import HeadModel
from smirk3d.train.recipes.command import run_recipe

RIDGE = 0.1
"""Variance of a vertex's position that the sliders do not explain over that of a slider, (mm / unit)²."""
MAX_POSITION = 0.35
UNSEEN = ("depth", "forward", "nubian", "prognathism", "prominent", "volume")
"""Words in the names of sliders that act towards the camera, which frontal photos do not show."""
MIN_POSITION = 0.02
"""Positions nearer to 0 are left out."""
_log = logging.getLogger("smirk3d.train.recipes.population_mean")


@dataclass(frozen=True)
class Options:
    """Photos and head of the measurement."""

    photos: Path
    """Folder with landmarks.npz and labels.csv (`smirk3d.datasets.landmark_annotations`)."""
    head: str = "open"
    """The head that is fitted, built with the present positions."""
    count: int = 300
    """Photos of the training split."""
    passes: int = 3
    """Fits; 2 to 4."""
    seed: int = 0
    """Seed of the choice of photos."""


def mean_shape(head: HeadModel, photos: list, passes: int) -> Tensor:
    """Return the mean shape (S,) of photos in a head's identity space, symmetric."""
    total = torch.zeros(head.n_shape)
    for _ in range(passes):
        moved = HeadModel(replace(head.data, v_template=head.v_template + head.shapedirs @ total))
        estimator = LandmarkFitEstimator(moved)
        records = estimator.observe([FaceObservation(each.photo, each.detections[0]) for each in photos])
        shape = estimator.solve(records, estimator.intrinsics(records)).shape.mean(0)
        assert head.data.shape_mirror_sign is not None
        total = total + torch.where(head.data.shape_mirror_sign > 0, shape, 0.0)
        _log.info("root mean square of the mean coefficients: %.3f", float(shape.square().mean().sqrt()))
    return total


def slider_positions(source: MakeHuman, difference: Tensor, face: Tensor) -> dict[str, float]:
    """Return the positions of the sliders that explain a difference (V, 3), metres, on the face (V,) bool best."""
    base, weight = torch.from_numpy(source.head_vertices()), face.float()

    def visible(offsets: np.ndarray) -> Tensor:
        """Return offsets without what an alignment on the face takes away, (3 F,) millimetres."""
        moved = base + torch.from_numpy(offsets)
        return 1000 * (align(moved[None], base[None], weight).apply(moved[None])[0] - base)[face].flatten()

    pairs = source.local_targets((*FACE_CATEGORIES, "forehead", "head"))
    sliders = [
        name for name, (plus, _) in pairs.items() if abs(plus[:, 0].mean()) < np.abs(plus[:, 1:].mean(0)).max() + 1e-6
    ]
    # Left and right share their position.
    names = sorted({name[2:] if name[:2] in ("l-", "r-") else name for name in sliders})
    names = [name for name in names if not any(word in name for word in UNSEEN)]
    macros = torch.stack([visible(each) for each in macro_directions(source)], dim=1)
    sides = {name: [each for each in pairs if each in (name, f"l-{name}", f"r-{name}")] for name in names}
    position = torch.zeros(len(names))
    target = 1000 * difference[face].flatten()
    system, solved = macros, torch.zeros(macros.shape[1])
    for _ in range(3):  # the two ends of a slider are not opposite: the sign decides which one counts
        columns = []
        for name, value in zip(names, position):
            end = 0 if value >= 0 else 1
            offsets = np.sum([pairs[each][end] for each in sides[name]], axis=0) * (1 if end == 0 else -1)
            columns.append(visible(offsets))
        system = torch.cat([torch.stack(columns, dim=1), macros], dim=1)
        penalty = torch.full((system.shape[1],), RIDGE * len(target) / 3)
        penalty[len(names) :] /= 10  # one standard deviation is usual of them
        solved = torch.linalg.solve(system.T @ system + torch.diag(penalty), system.T @ target)
        position = solved[: len(names)].clamp(-MAX_POSITION, MAX_POSITION)
    left = float((target - system @ solved).norm() / target.norm())
    _log.info("share of the difference that is not explained: %.2f; macros %s", left, solved[len(names) :])
    return {name: float(value) for name, value in zip(names, position)}


def main(options: Options) -> None:
    """Fit, explain, log."""
    photos = read_landmark_annotations(options.photos, "train").photos
    order = np.random.default_rng(options.seed).permutation(len(photos))[: options.count]
    head = load_head(options.head)
    shape = mean_shape(head, [photos[k] for k in order], options.passes)
    found = slider_positions(load_makehuman(), head.shapedirs @ shape, head.region_mask("face"))
    for name in sorted(found):
        value = round(found[name] + MEAN_SLIDERS.get(name, 0.0), 2)
        if abs(value) >= MIN_POSITION:
            _log.info('    "%s": %s,', name, value)


if __name__ == "__main__":
    run_recipe(Options, main)
