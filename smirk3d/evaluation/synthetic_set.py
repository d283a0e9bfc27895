"""Rendered random heads with their ground truth and the detections in them; made once and cached.

Identities are drawn from a continuum, so that nobody in these pictures is part of a training set with another seed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import torch

from smirk3d.assets import atomic_path, cache_dir, make_folder, printable, warn_of_cache
from smirk3d.bounded_io import read_npz
from smirk3d.datasets.synthetic.scene_sampling import KIND_SHARES, Kind, Sample, random_sample
from smirk3d.detection.detector import Detection
from smirk3d.errors import Smirk3dError
from smirk3d.estimation.estimator import FaceObservation
from smirk3d.head.model import HeadModel
from smirk3d.media.images import Photo
from smirk3d.progress import Progress
from smirk3d.render.appearance.procedural_face import ProceduralFaceRenderer

SIZE_PX = 384
BATCH = 32
_VERSION = 1
_KIND_CYCLE: tuple[Kind, ...] = tuple(kind for kind, share in KIND_SHARES for _ in range(share))
Detect = Callable[[np.ndarray], list[Detection]]
"""Pixels (H, W, 3) uint8 to the faces in them, largest first."""


@dataclass(frozen=True, eq=False)
class SyntheticTestSet:
    """N pictures in which a face was found.

    Attributes:
        pixels: (N, S, S, 3) uint8; may be memory-mapped.
        expression: (N, 52) true ARKit weights in [0, 1].
        kind: (N,) str, what the expressions were drawn from, see `Kind`.
        rotmat: (N, 3, 3) true rotations, head to camera.
        landmarks_px: (N, 478, 2) detected landmarks, pixels.
        depth: (N, 478) of the detected landmarks.
        scores: (N, 52) the detector's blendshape scores in [0, 1].
        score: (N,) confidence of the detections in [0, 1].
        missed: Pictures without a detected face, which are not part of the set.
    """

    pixels: np.ndarray
    expression: np.ndarray
    kind: np.ndarray
    rotmat: np.ndarray
    landmarks_px: np.ndarray
    depth: np.ndarray
    scores: np.ndarray
    score: np.ndarray
    missed: int = 0

    def __len__(self) -> int:
        return len(self.expression)

    @staticmethod
    def of(
        pictures: Sequence[np.ndarray],
        expressions: Sequence[np.ndarray],
        kinds: Sequence[str],
        rotmats: Sequence[np.ndarray],
        detections: Sequence[Detection],
        missed: int,
    ) -> SyntheticTestSet:
        """Return the test set of N single pictures.

        Args:
            pictures: Each (S, S, 3) uint8.
            expressions: Each (52,) true ARKit weights.
            kinds: What the expressions were drawn from.
            rotmats: Each (3, 3), head to camera.
            detections: The largest face found in each.
            missed: Number of pictures without a detected face.
        """
        return SyntheticTestSet(
            pixels=np.stack(pictures),
            expression=np.stack(expressions),
            kind=np.array(kinds),
            rotmat=np.stack(rotmats),
            landmarks_px=np.stack([found.landmarks_px for found in detections]),
            depth=np.stack([found.depth for found in detections]),
            scores=np.stack([found.blendshape_scores for found in detections]),
            score=np.array([found.score for found in detections], dtype=np.float32),
            missed=missed,
        )

    def face_observations(self, start: int, stop: int) -> list[FaceObservation]:
        """Return the pictures from `start` to before `stop` with their detected faces."""
        return [FaceObservation(Photo(np.array(self.pixels[k])), self._detection(k)) for k in range(start, stop)]

    def save_sheet(self, path: Path, columns: int = 9, rows: int = 4) -> None:
        """Write the first pictures as one, with what their expressions were drawn from."""
        from smirk3d.viz.contact_sheet import contact_sheet
        from smirk3d.viz.overlay import save_png

        count = columns * rows
        save_png(path, contact_sheet(list(self.pixels[:count]), [str(kind) for kind in self.kind[:count]], columns))

    def _detection(self, k: int) -> Detection:
        points = self.landmarks_px[k]
        box_px = np.concatenate([points.min(axis=0), points.max(axis=0)])
        return Detection(points, self.depth[k], self.scores[k], box_px, float(self.score[k]))


def synthetic_test_set(
    head: HeadModel, detect: Detect, display: Progress, *, count: int, seed: int, size: int = SIZE_PX
) -> SyntheticTestSet:
    """Return the test set of a seed, from the user's cache where it has been made before.

    Args:
        head: The open head.
        detect: Finds faces.
        display: Counts the pictures, rendered or read.
        count: Pictures that are rendered.
        seed: Of everything random.
        size: Side of a picture, pixels.

    Raises:
        Smirk3dError: A cached file is broken, or the detector finds a face in none of the pictures.
    """
    folder = cache_dir() / "evaluation"
    name = f"truth_{_key(head, size)}_{seed}_{count}"
    pixels_path, facts_path = folder / f"{name}_pixels.npy", folder / f"{name}_facts.npz"
    if not (facts_path.is_file() and pixels_path.is_file()):
        made = _make(head, detect, display, count, seed, size)
        try:
            make_folder(folder)
            _save(made, pixels_path, facts_path)
        except Smirk3dError as error:
            warn_of_cache(error)
            return made
    else:
        for _ in range(count):
            display.advance()
    return _load(pixels_path, facts_path)


def _key(head: HeadModel, size: int) -> str:
    content = hashlib.sha256(repr((_VERSION, size, KIND_SHARES)).encode())
    for part in (head.v_template, head.shapedirs):  # the same seed draws other identities from another basis
        content.update(part.cpu().numpy().tobytes())
    return content.hexdigest()[:12]


def _make(head: HeadModel, detect: Detect, display: Progress, count: int, seed: int, size: int) -> SyntheticTestSet:
    generator = torch.Generator().manual_seed(seed)
    renderer = ProceduralFaceRenderer(head)
    pictures: list[np.ndarray] = []
    samples: list[Sample] = []
    detections: list[Detection] = []
    for index in range(count):
        sample = random_sample(renderer, _KIND_CYCLE[index % len(_KIND_CYCLE)], size, generator)
        pixels = (sample.image.permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()
        if found := detect(pixels):
            pictures.append(np.ascontiguousarray(pixels))
            samples.append(replace(sample, image=sample.image[:, :1, :1]))  # the pixels are kept once
            detections.append(found[0])
        display.advance()
    if not samples:
        raise Smirk3dError(f"no face was found in any of {count} rendered heads; check the installation with doctor")
    return SyntheticTestSet.of(
        pictures,
        [sample.expression.numpy() for sample in samples],
        [sample.kind for sample in samples],
        [sample.rotmat.numpy() for sample in samples],
        detections,
        missed=count - len(samples),
    )


def _save(made: SyntheticTestSet, pixels_path: Path, facts_path: Path) -> None:
    with atomic_path(pixels_path) as temporary:
        np.save(temporary, made.pixels)
    facts = {
        field.name: np.asarray(getattr(made, field.name))
        for field in fields(SyntheticTestSet)
        if field.name != "pixels"
    }
    with atomic_path(facts_path) as temporary:  # last: its presence marks the set as complete
        np.savez(temporary, **facts)  # type: ignore[arg-type]


def _load(pixels_path: Path, facts_path: Path) -> SyntheticTestSet:
    try:
        facts: dict = read_npz(facts_path)
        pixels = np.load(pixels_path, mmap_mode="r", allow_pickle=False)
        missed = int(facts.pop("missed"))
        return SyntheticTestSet(pixels=pixels, **facts, missed=missed)
    except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
        raise Smirk3dError(f"{printable(facts_path)}: broken ({type(error).__name__}); delete it") from error
