"""Fit the packaged blendshape regressor, the detector's calibration, to thousands of rendered heads.

    python -m smirk3d.train.recipes.expression_prior --photos FOLDER

Every image has its own person, expression, appearance, light, background, camera and pose. So that the result does not
depend on the open head's exact shape, the strength of each blendshape and the proportions of the head vary as well.
Detections are kept in --cache in chunks; a second run continues where the first one stopped.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from rich.progress import track
from tyro.conf import arg

from smirk3d.assets import atomic_path
from smirk3d.authoring.load import load_head
from smirk3d.datasets.landmark_annotations import read_landmark_annotations
from smirk3d.datasets.synthetic.scene_sampling import KIND_SHARES, Kind, random_sample
from smirk3d.detection.detector import Detector
from smirk3d.estimation.expression_prior import (
    BlendshapeRegressor,
    DetectorCalibration,
    detector_features,
    fit_blendshape_regressor,
    save_calibration,
)
from smirk3d.estimation.landmark_model import LandmarkModel, landmark_model
from smirk3d.head.arkit import ARKIT_MIRROR, ARKIT_NAMES, GAZE_NAMES
from smirk3d.head.landmark_indices import MIRROR
from smirk3d.head.model import HeadModel
from smirk3d.render.appearance.procedural_face import ProceduralFaceRenderer
from smirk3d.train.recipes.command import run_recipe
from smirk3d.zoo.registry import locate

CHUNK = 500
"""Images per file of the cache."""
STRETCH, STRENGTH_STD, STRENGTH_RANGE = 0.10, 0.25, (0.2, 2.0)
"""Largest relative change of the head's width, height and depth; standard deviation and range of the factors on
blendshapes."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Options:
    """Data and regularisation of the calibration."""

    count: int = 10000
    """Number of images, a multiple of 500."""
    size: int = 320
    """Side of an image in pixels."""
    seed: int = 10_000
    """Seed of the first chunk of images; keep it away from the seeds of test sets."""
    ridge: float = 300.0
    """Strength of the ridge penalty, in images; 100 to 1000."""
    cache: Path = Path("out/calibration")
    """Folder for the detections."""
    photos: Path | None = None
    """Folder with landmarks.npz and labels.csv (`smirk3d.datasets.landmark_annotations`). The most neutral faces of its
    training split show which scores are due to the shape of real faces; without: renders only. No label is used."""
    neutral_share: Annotated[float, arg(aliases=("--calm-share",))] = 0.4
    """Share of the photos, in (0, 1], that counts as neutral: those with the least expression in all."""
    out: Path = field(default_factory=lambda: locate("expression_prior"))
    """File to write; by default the packaged one."""


class RandomizedHead:
    """Changes proportions and blendshape strengths of a head in place.

    Args:
        head: The open head; it is changed.
    """

    def __init__(self, head: HeadModel) -> None:
        self.head = head
        self._original = {name: getattr(head, name).clone() for name in ("v_template", "shapedirs", "expressiondirs")}

    def randomize(self, generator: torch.Generator) -> None:
        """Stretch the original head by up to 10 % along each axis and scale each blendshape by about 25 %."""
        stretch = 1 + STRETCH * (2 * torch.rand(3, generator=generator) - 1)
        strength = (1 + STRENGTH_STD * torch.randn(self.head.n_expression, generator=generator)).clamp(*STRENGTH_RANGE)
        self.head.v_template.copy_(self._original["v_template"] * stretch)
        self.head.shapedirs.copy_(self._original["shapedirs"] * stretch[:, None])
        self.head.expressiondirs.copy_(self._original["expressiondirs"] * strength * stretch[:, None])


def make_chunk(head: HeadModel, detector: Detector, size: int, seed: int) -> dict[str, np.ndarray]:
    """Render images and detect their faces.

    Args:
        head: The open head; it is changed.
        detector: Detector of one face.
        size: Side of the images in pixels.
        seed: Seed of everything random.

    Returns:
        float32 arrays over the N images with a detected face: `points_px` (N, 478, 2), `depth_px` (N, 478), `scores`
        (N, 52) and the true `weights` (N, 52).
    """
    generator = torch.Generator().manual_seed(seed)
    randomized, renderer = RandomizedHead(head), ProceduralFaceRenderer(head, supersample=1)
    kinds: list[Kind] = [kind for kind, share in KIND_SHARES for _ in range(share)]
    rows: dict[str, list] = {"points_px": [], "depth_px": [], "scores": [], "weights": []}
    for index in range(CHUNK):
        randomized.randomize(generator)
        sample = random_sample(renderer, kinds[index % len(kinds)], size, generator)
        found = detector.detect((sample.image.permute(1, 2, 0) * 255).round().to(torch.uint8).numpy())
        if found:
            face = found[0]
            row = (face.landmarks_px, face.depth, face.blendshape_scores, sample.expression.numpy())
            for name, value in zip(rows, row):
                rows[name].append(value)
    return {name: np.stack(values).astype(np.float32) for name, values in rows.items()}


def collect(options: Options) -> dict[str, torch.Tensor]:
    """Return all chunks as tensors (2 N, ...), each image followed by its mirror image; see `make_chunk`."""
    options.cache.mkdir(parents=True, exist_ok=True)
    chunks = []
    with Detector(max_faces=1) as detector:
        for number in track(range(options.count // CHUNK), description="images"):
            path = options.cache / f"{options.seed + number}_{options.size}.npz"
            if not path.exists():
                chunk = make_chunk(load_head(), detector, options.size, options.seed + number)
                with atomic_path(path) as temporary:
                    np.savez(temporary, **chunk)  # type: ignore[arg-type]
            with np.load(path) as chunk:
                chunks.append({name: torch.from_numpy(chunk[name]) for name in chunk.files})
    rows = {name: torch.cat([chunk[name] for chunk in chunks]) for name in chunks[0]}
    flipped = _flipped(rows, options.size)
    # Interleaved, so that an image and its mirror image fall into the same half of the rows.
    return {name: torch.stack([rows[name], flipped[name]], dim=1).flatten(0, 1) for name in rows}


def _flipped(rows: dict[str, torch.Tensor], size: int) -> dict[str, torch.Tensor]:
    """Return the detections and weights of the mirrored images."""
    points, mirror = rows["points_px"], list(MIRROR)
    return {
        "points_px": torch.stack([size - points[..., 0], points[..., 1]], dim=-1)[:, mirror],
        "depth_px": rows["depth_px"][:, mirror],
        "scores": rows["scores"][:, list(ARKIT_MIRROR)],
        "weights": rows["weights"][:, list(ARKIT_MIRROR)],
    }


def photo_features(folder: Path, model: LandmarkModel) -> torch.Tensor:
    """Return the features and scores (M, D + 52) of the photos of the training split."""
    _, _, photos = read_landmark_annotations(folder, "train")
    found = [item.detections[0] for item in photos]
    points, depth, scores = (
        torch.from_numpy(np.stack(arrays))
        for arrays in zip(*((f.landmarks_px, f.depth, f.blendshape_scores) for f in found))
    )
    return torch.cat([detector_features(model.mean, model.weight, points, depth), scores], dim=1)


def neutral_rows(regressor: BlendshapeRegressor, features: torch.Tensor, share: float) -> torch.Tensor:
    """Return the rows (K,) int64 of the faces with the least expression in all, gaze aside.

    Args:
        regressor: Fitted to renders.
        features: (M, D) features of photos.
        share: Share of the photos that is wanted, in (0, 1].
    """
    moves = torch.tensor([name not in GAZE_NAMES for name in ARKIT_NAMES])
    # Each action counts by its rank, so that one with a large response to the shape of faces does not decide alone.
    ranks = regressor.linear(features)[:, moves].argsort(0).argsort(0).float().mean(1)
    return ranks.argsort()[: max(round(share * len(ranks)), 1)]


def main(options: Options) -> None:
    """Collect detections, fit both regressors and write them."""
    rows = collect(options)
    model = landmark_model(load_head())
    points = detector_features(model.mean, model.weight, rows["points_px"], rows["depth_px"])
    features = torch.cat([points, rows["scores"]], dim=1)
    neutral = neutral_points = None
    if options.photos is not None:
        photos = photo_features(options.photos, model)
        on_renders = fit_blendshape_regressor(features, rows["weights"], options.ridge)
        neutral = photos[neutral_rows(on_renders, photos, options.neutral_share)]
        neutral_points = neutral[:, : points.shape[1]]
    with_scores = fit_blendshape_regressor(features, rows["weights"], options.ridge, neutral)
    points_only = fit_blendshape_regressor(points, rows["weights"], options.ridge, neutral_points)
    calibration = DetectorCalibration(model.mean, model.weight, with_scores, points_only)
    neutral_count = 0 if neutral is None else len(neutral)
    meta = {
        "neutral_photos": str(neutral_count),
        "pictures": str(len(points) // 2),
        "made_by": "smirk3d.train.recipes.expression_prior",
        "seed": str(options.seed),
        "size": str(options.size),
        "ridge": str(options.ridge),
    }
    save_calibration(calibration, options.out, meta | {"licence": "MIT; made from CC0 data"})
    _log.info("%s: %d images, %d neutral photos", options.out, len(points) // 2, neutral_count)
    errors = with_scores.std.mean(), points_only.std.mean()
    _log.info("mean error of a weight %.4f with scores, %.4f without", *errors)
    _log.info("variance explained %.3f", with_scores.explained.mean())


if __name__ == "__main__":
    run_recipe(Options, main)
