"""Make the detector calibration that comes with the package from thousands of rendered heads.

    python smirk3d/train/recipes/expression_prior.py --photos ../shared/data/faces

Every picture draws its own person, expression, appearance, light, background, camera and pose. So that the result
does not hang on the open head's exact shape, the strength of each action and the proportions of the head vary as
well. Pictures are added to --cache in chunks; a second run continues where the first one stopped.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
import tyro
from rich.progress import track

from smirk3d.assets import atomic_path
from smirk3d.authoring.load import load_head
from smirk3d.datasets.landmark_annotations import read_landmark_annotations
from smirk3d.datasets.synthetic.scene_sampling import KIND_SHARES, Kind, random_sample
from smirk3d.detection.detector import Detector
from smirk3d.estimation.expression_prior import (
    DetectorCalibration,
    detector_features,
    fit_blendshape_regressor,
    save_calibration,
)
from smirk3d.estimation.landmark_model import LandmarkModel, landmark_model
from smirk3d.head.arkit import ARKIT_MIRROR
from smirk3d.head.landmark_indices import MIRROR
from smirk3d.head.model import HeadModel
from smirk3d.render.appearance.procedural_face import ProceduralFaceRenderer
from smirk3d.zoo.registry import locate

CHUNK = 500


@dataclass(frozen=True)
class Options:
    """How the calibration is made."""

    count: int = 10000
    """Pictures."""
    size: int = 320
    """Side of a picture in pixels."""
    seed: int = 10_000
    """Seed of the first chunk of pictures; keep it away from the seeds of test sets."""
    ridge: float = 300.0
    """Strength of the regularisation, in pictures."""
    cache: Path = Path("out/calibration")
    """Folder for the detector's answers."""
    photos: Path | None = None
    """Folder with landmarks.npz and labels.csv (see measure_landmarks.py): calm faces of its training split tell
    which readings are a matter of real faces' shape."""
    out: Path = field(default_factory=lambda: locate("expression_prior"))


class VariedHead:
    """The open head with other proportions and strengths of its actions at every call."""

    def __init__(self, head: HeadModel) -> None:
        self.head = head
        self._original = {name: getattr(head, name).clone() for name in ("v_template", "shapedirs", "expressiondirs")}

    def vary(self, generator: torch.Generator) -> None:
        """Stretch the head by up to 10 % along each axis and change each action's strength by 25 %."""
        stretch = 1 + 0.10 * (2 * torch.rand(3, generator=generator) - 1)
        strength = (1 + 0.25 * torch.randn(self.head.n_expression, generator=generator)).clamp(0.2, 2)
        self.head.v_template.copy_(self._original["v_template"] * stretch)
        self.head.shapedirs.copy_(self._original["shapedirs"] * stretch[:, None])
        self.head.expressiondirs.copy_(self._original["expressiondirs"] * strength * stretch[:, None])


def make_chunk(head: HeadModel, detector: Detector, size: int, seed: int) -> dict[str, np.ndarray]:
    """Return marks, depths, scores and true weights of the pictures of one chunk in which a face was found."""
    generator = torch.Generator().manual_seed(seed)
    varied, painter = VariedHead(head), ProceduralFaceRenderer(head, supersample=1)
    kinds: list[Kind] = [kind for kind, share in KIND_SHARES for _ in range(share)]
    rows: dict[str, list] = {"points_px": [], "depth_px": [], "scores": [], "weights": []}
    for index in range(CHUNK):
        varied.vary(generator)
        sample = random_sample(painter, kinds[index % len(kinds)], size, generator)
        found = detector.detect((sample.image.permute(1, 2, 0) * 255).round().to(torch.uint8).numpy())
        if found:
            row = (
                found[0].landmarks_px,
                found[0].depth,
                found[0].blendshape_scores,
                sample.expression.numpy(),
            )
            for name, value in zip(rows, row):
                rows[name].append(value)
    return {name: np.stack(values).astype(np.float32) for name, values in rows.items()}


def collect(options: Options) -> dict[str, torch.Tensor]:
    """Return all chunks together, each picture with its mirror image."""
    options.cache.mkdir(parents=True, exist_ok=True)
    chunks = []
    with Detector(max_faces=1) as detector:
        for number in track(range(options.count // CHUNK), description="pictures"):
            path = options.cache / f"{options.seed + number}_{options.size}.npz"
            if not path.exists():
                chunk = make_chunk(load_head(), detector, options.size, options.seed + number)
                with atomic_path(path) as temporary:
                    np.savez(temporary, **chunk)  # type: ignore[arg-type]
            with np.load(path) as chunk:
                chunks.append({name: torch.from_numpy(chunk[name]) for name in chunk.files})
    rows = {name: torch.cat([chunk[name] for chunk in chunks]) for name in chunks[0]}
    points, mirror = rows["points_px"], list(MIRROR)
    flipped = {
        "points_px": torch.stack([options.size - points[..., 0], points[..., 1]], dim=-1)[:, mirror],
        "depth_px": rows["depth_px"][:, mirror],
        "scores": rows["scores"][:, list(ARKIT_MIRROR)],
        "weights": rows["weights"][:, list(ARKIT_MIRROR)],
    }
    # Interleaved, so that a picture and its mirror image fall into the same half of the rows.
    return {name: torch.stack([rows[name], flipped[name]], dim=1).flatten(0, 1) for name in rows}


def calm_photos(folder: Path, model: LandmarkModel) -> torch.Tensor:
    """Return the features and scores (M, D + 52) of the photos that people called neutral."""
    _, emotions, prepared = read_landmark_annotations(folder, "train")
    found = [item.detections[0] for item, emotion in zip(prepared, emotions) if emotion == "neutral"]
    points, depth, scores = (
        torch.from_numpy(np.stack(arrays))
        for arrays in zip(*((f.landmarks_px, f.depth, f.blendshape_scores) for f in found))
    )
    return torch.cat([detector_features(model.mean, model.weight, points, depth), scores], dim=1)


def main(options: Options) -> None:
    """Collect the answers, invert them, write the result."""
    rows = collect(options)
    model = landmark_model(load_head())
    features = detector_features(model.mean, model.weight, rows["points_px"], rows["depth_px"])
    seen = torch.cat([features, rows["scores"]], dim=1)
    calm = calm_photos(options.photos, model) if options.photos else None
    with_scores = fit_blendshape_regressor(seen, rows["weights"], options.ridge, calm)
    points_only = fit_blendshape_regressor(
        features, rows["weights"], options.ridge, None if calm is None else calm[:, : features.shape[1]]
    )
    calibration = DetectorCalibration(model.mean, model.weight, with_scores, points_only)
    meta = {
        "calm_photos": str(0 if calm is None else len(calm)),
        "pictures": str(len(features) // 2),
        "made_by": "smirk3d/train/recipes/expression_prior.py",
        "seed": str(options.seed),
        "size": str(options.size),
        "ridge": str(options.ridge),
    }
    save_calibration(calibration, options.out, meta | {"licence": "MIT; made from CC0 data"})
    print(f"{options.out}: {len(features) // 2} pictures, {len(calm) if calm is not None else 0} calm photos")
    print(f"mean error of a weight {with_scores.std.mean():.4f} with scores, {points_only.std.mean():.4f} without")
    print(f"variance explained {with_scores.explained.mean():.3f}")


if __name__ == "__main__":
    main(tyro.cli(Options))
