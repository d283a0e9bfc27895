"""Patches of faces, clean and with things drawn before them, and which share of each region is visible there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, fields
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch

from smirk3d.assets import atomic_path
from smirk3d.datasets.shards import DataError, Record, read_folder
from smirk3d.datasets.synthetic.decoys import DECOYS
from smirk3d.datasets.synthetic.occluder_shapes import FacePlace
from smirk3d.datasets.synthetic.occluders import HELD_OUT_KINDS, TRAINING_KINDS, Kind, occlude, visible_shares
from smirk3d.datasets.synthetic.scene_sampling import KIND_SHARES, random_sample
from smirk3d.datasets.synthetic.scene_sampling import Kind as ExpressionKind
from smirk3d.detection.boxes import iou
from smirk3d.detection.detector import Detector
from smirk3d.detection.face_patch import FEATURE_POINTS, PATCH_SIZE, PatchFrame
from smirk3d.head.load import load_open_head
from smirk3d.media.images import read_image
from smirk3d.networks.visibility import GRID_SIZE
from smirk3d.render.appearance.procedural_face import ProceduralFaceRenderer

CHUNK = 64
"""Faces with a random generator of their own, so that the result does not depend on the number of processes."""
MIN_IOU = 0.3
"""Overlap of a face with itself behind an occluder; with less, the landmarker found something else."""
SHIFT, LOG_SCALE, TURN_RAD = 0.03, 0.04, 0.06
"""Standard deviations by which patches are moved: half sides, logarithm, radians."""
RENDER_SIZE_PX, RENDER_FACE = 256, 1_000_000
"""Side of rendered photos in pixels; index of the first rendered head among the faces."""
RENDER_KINDS: tuple[ExpressionKind, ...] = tuple(kind for kind, share in KIND_SHARES for _ in range(share))
CUT_SHARE = 0.15
"""Share of the occluded photos in which the border of the photo cuts the face instead."""


@dataclass(frozen=True, eq=False)
class Patches:
    """N patches.

    Attributes:
        luma: (N, 64, 64) uint8, see `PatchFrame.sample`.
        inside: (N, 64, 64) uint8, share of a pixel inside the photo, in 255ths.
        points: (N, F, 2) float32, landmarks `FEATURE_POINTS` in pixels of the patch.
        visible: (N, 4) float32, visible share of each region.
        grid: (N, 8, 8) uint8, visible share of each cell of the patch, in 255ths.
        kind: (N,) text, "clean", "decoy", "cut" or the kind of the occluder.
        face: (N,) int32, index of the face.
    """

    luma: np.ndarray
    inside: np.ndarray
    points: np.ndarray
    visible: np.ndarray
    grid: np.ndarray
    kind: np.ndarray
    face: np.ndarray

    def __len__(self) -> int:
        return len(self.face)

    def __getitem__(self, rows: np.ndarray) -> Patches:
        """Return some of the patches."""
        return Patches(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})

    @staticmethod
    def concatenate(parts: Sequence[Patches]) -> Patches:
        """Return patches one after another, at least one part."""
        return Patches(**{f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Patches)})

    def save(self, path: Path) -> None:
        """Write all arrays as an uncompressed .npz."""
        with atomic_path(path) as temporary, open(temporary, "wb") as file:
            np.savez(file, **{f.name: getattr(self, f.name) for f in fields(self)})

    @staticmethod
    def read(path: Path) -> Patches:
        """Read what `save` wrote."""
        with np.load(path) as arrays:
            return Patches(**{f.name: arrays[f.name] for f in fields(Patches)})


@dataclass(frozen=True)
class PatchPlan:
    """What is drawn for each face.

    Attributes:
        kinds: Names of the kinds of occluders, of both `TRAINING_KINDS` and `HELD_OUT_KINDS`.
        occluded: Photos with an occluder for each face; 0 for none.
        decoys: Photos with a decoy for each face.
        cuts: Let the border of the photo cut some faces.
        copies: Patches of each photo, each moved at random; 1 leaves them in place.
        keep_lost: Keep photos in which the face is no longer found, with the landmarks that it had before.
    """

    kinds: tuple[str, ...]
    occluded: int = 2
    decoys: int = 1
    cuts: bool = True
    copies: int = 2
    keep_lost: bool = True


_KINDS: Mapping[str, Kind] = {**TRAINING_KINDS, **HELD_OUT_KINDS}


def make_patches(folder: Path, split: str, plan: PatchPlan, seed: int, workers: int, count: int) -> Patches:
    """Make the patches of a split.

    Args:
        folder: Folder of shards.
        split: Name of the split.
        plan: What is drawn.
        seed: Seed of all that is random.
        workers: Processes.
        count: At most so many faces.

    Raises:
        Smirk3dError: The folder cannot be read.
    """
    faults: list[DataError] = []
    records = list(read_folder(folder, split, faults.append))[:count]
    starts = range(0, len(records), CHUNK)
    jobs = [(records[start : start + CHUNK], start, plan, np.random.SeedSequence([seed, start])) for start in starts]
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        return Patches.concatenate(list(pool.map(_chunk_patches, jobs)))


def _chunk_patches(job: tuple[list[Record], int, PatchPlan, np.random.SeedSequence]) -> Patches:
    records, start, plan, seed = job
    rng = np.random.default_rng(seed)
    photos = [read_image(record.jpeg).pixels for record in records]
    others = [photo.mean(axis=2).astype(np.uint8) for photo in photos]
    rows: list[tuple] = []
    with Detector(max_faces=1) as detector:
        for k, (record, pixels) in enumerate(zip(records, photos, strict=True)):
            other = others[int(rng.integers(len(others)))]
            for variant in _variants(pixels, record.landmarks_px, plan, other, detector, rng):
                rows += [_patch(variant, start + k, plan, rng) for _ in range(plan.copies)]
    return Patches(*(np.stack(column) for column in zip(*rows, strict=True)))


def make_render_patches(plan: PatchPlan, seed: int, workers: int, count: int) -> Patches:
    """Make patches of rendered heads, which look plainer than people and hide nothing by themselves.

    Args:
        plan: What is drawn.
        seed: Seed of all that is random.
        workers: Processes.
        count: Rendered heads.
    """
    starts = range(0, count, CHUNK)
    jobs = [(min(CHUNK, count - start), start, plan, np.random.SeedSequence([seed, start, 1])) for start in starts]
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        return Patches.concatenate(list(pool.map(_render_chunk_patches, jobs)))


def _render_chunk_patches(job: tuple[int, int, PatchPlan, np.random.SeedSequence]) -> Patches:
    count, start, plan, seed = job
    rng = np.random.default_rng(seed)
    generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
    renderer, other = ProceduralFaceRenderer(load_open_head()), np.zeros((8, 8), dtype=np.uint8)
    rows: list[tuple] = []
    with Detector(max_faces=1) as detector:
        for k in range(count):
            sample = random_sample(renderer, RENDER_KINDS[k % len(RENDER_KINDS)], RENDER_SIZE_PX, generator)
            pixels = np.ascontiguousarray((sample.image.permute(1, 2, 0) * 255).round().to(torch.uint8).numpy())
            for found in detector.detect_fast(pixels):
                for variant in _variants(pixels, found.landmarks_px, plan, other, detector, rng):
                    rows += [_patch(variant, RENDER_FACE + start + k, plan, rng) for _ in range(plan.copies)]
            other = pixels.mean(axis=2).astype(np.uint8)
    return Patches(*(np.stack(column) for column in zip(*rows, strict=True)))


@dataclass(frozen=True, eq=False)
class _Variant:
    """A photo of a face with what is known of it: landmarks found, coverage, visible shares, and the kind."""

    pixels: np.ndarray
    landmarks_px: np.ndarray
    coverage: np.ndarray
    visible: np.ndarray
    kind: str


def _variants(
    pixels: np.ndarray,
    landmarks_px: np.ndarray,
    plan: PatchPlan,
    other: np.ndarray,
    detector: Detector,
    rng: np.random.Generator,
) -> Iterator[_Variant]:
    nothing = np.zeros(pixels.shape[:2], dtype=np.float32)
    visible = visible_shares(nothing, landmarks_px)
    yield _Variant(pixels, landmarks_px, nothing, visible, "clean")
    place = FacePlace(landmarks_px, (pixels.shape[1], pixels.shape[0]))
    for _ in range(plan.decoys):
        drawn = DECOYS[int(rng.integers(len(DECOYS)))](pixels, place, rng)
        yield _Variant(drawn, landmarks_px, nothing, visible, "decoy")
    for _ in range(plan.occluded):
        if plan.cuts and rng.random() < CUT_SHARE:
            drawn, moved = cut_by_border(pixels, landmarks_px, rng)
            coverage, kind = np.zeros(drawn.shape[:2], dtype=np.float32), "cut"
        else:
            kind, moved = str(rng.choice(plan.kinds)), landmarks_px
            drawn, coverage = occlude(pixels, landmarks_px, _KINDS[kind], other, rng)
        found = _found(detector, drawn, moved)
        if found is not None or plan.keep_lost:
            yield _Variant(drawn, moved if found is None else found, coverage, visible_shares(coverage, moved), kind)


def cut_by_border(
    pixels: np.ndarray, landmarks_px: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Cut off a side of a photo within the face; return the photo and the landmarks in it."""
    low, high = landmarks_px.min(axis=0), landmarks_px.max(axis=0)
    side, share = int(rng.integers(4)), rng.uniform(0.1, 0.6)
    axis = side % 2
    at = int(low[axis] + share * (high - low)[axis]) if side < 2 else int(high[axis] - share * (high - low)[axis])
    at = min(max(at, 1), pixels.shape[1 - axis] - 1)
    kept = slice(at, None) if side < 2 else slice(None, at)
    cut = pixels[:, kept] if axis == 0 else pixels[kept]
    offset = np.zeros(2, dtype=np.float32)
    offset[axis] = at if side < 2 else 0
    return np.ascontiguousarray(cut), landmarks_px - offset


def _found(detector: Detector, pixels: np.ndarray, landmarks_px: np.ndarray) -> np.ndarray | None:
    """Return the landmarks that are detected of a face whose true ones are known, None where it is not found."""
    box = np.concatenate([landmarks_px.min(axis=0), landmarks_px.max(axis=0)])
    found = detector.detect_fast(pixels)
    return found[0].landmarks_px if found and iou(found[0].box_px, box) > MIN_IOU else None


def _patch(variant: _Variant, face: int, plan: PatchPlan, rng: np.random.Generator) -> tuple:
    frame = PatchFrame.from_landmarks(variant.landmarks_px)
    if plan.copies > 1:
        shift = (float(rng.normal(0, SHIFT)), float(rng.normal(0, SHIFT)))
        frame = frame.moved(shift, float(np.exp(rng.normal(0, LOG_SCALE))), float(rng.normal(0, TURN_RAD)))
    luma, inside = frame.sample(variant.pixels)
    hidden, _ = frame.sample(np.round(255 * variant.coverage).astype(np.uint8))
    visible = inside - hidden / 255
    cells = visible.reshape(GRID_SIZE, PATCH_SIZE // GRID_SIZE, GRID_SIZE, PATCH_SIZE // GRID_SIZE).mean(axis=(1, 3))
    return (
        np.round(luma).astype(np.uint8),
        np.round(255 * inside).astype(np.uint8),
        frame.to_patch(variant.landmarks_px[list(FEATURE_POINTS)]).astype(np.float32),
        variant.visible,
        np.round(255 * cells.clip(0, 1)).astype(np.uint8),
        np.array(variant.kind),
        np.int32(face),
    )
