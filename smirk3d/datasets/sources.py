"""Sources of training faces: photos, videos, shards and rendered heads behind one interface."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from smirk3d.assets import printable
from smirk3d.datasets.cached_renderings import prepared_renderings, renderings_folder
from smirk3d.datasets.cached_targets import fitted_targets
from smirk3d.datasets.config import DataConfig, SourceConfig
from smirk3d.datasets.face_dataset import FaceSet, collate, epoch_order
from smirk3d.datasets.prepare import REPORT_NAME
from smirk3d.datasets.prepared_cache import prepared
from smirk3d.datasets.pseudo_targets import TargetTable
from smirk3d.datasets.shards import DataError
from smirk3d.datasets.synthetic.rendered_faces import RenderAugmentation, RenderedFaces, fit_camera
from smirk3d.datasets.training_batch import TrainingBatch
from smirk3d.datasets.usable_share import check_usable_share
from smirk3d.errors import Smirk3dError
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.head.model import HeadModel
from smirk3d.media.images import IMAGE_SUFFIXES
from smirk3d.media.video import VIDEO_SUFFIXES
from smirk3d.params import FaceParams

_log = logging.getLogger(__name__)


class FaceSource(Protocol):
    """A collection of faces.

    Attributes:
        people: Number of persons; person numbers are below it.
        target_names: Fields of the targets; empty without targets.
        faults: Faces that could not be read.
    """

    people: int
    target_names: tuple[str, ...]
    faults: tuple[DataError, ...]

    def __len__(self) -> int:
        """Return the number of faces."""
        ...

    def order(self, rng: np.random.Generator) -> np.ndarray:
        """Return the faces (K,) int64 of an epoch, K at least 1 and the same for every epoch."""
        ...

    def persons_of(self, index: np.ndarray) -> np.ndarray:
        """Return the person numbers (B,) int64 of faces at an index (B,) int64."""
        ...

    def batch(self, index: np.ndarray, rng: np.random.Generator) -> TrainingBatch:
        """Return randomly cropped faces at an index (B,) int64."""
        ...


class PhotoSource:
    """Faces in photos, with pseudo-targets where there are any.

    Args:
        faces: The faces.
        data: Sampling and crops.
        head: Head model of the targets.
        table: Pseudo-targets; None: none.

    Attributes:
        keys: Name of each face within its data set.
        faces: The faces.
        table: Their pseudo-targets, or None.
    """

    def __init__(self, faces: FaceSet, data: DataConfig, head: HeadModel, table: TargetTable | None = None) -> None:
        self.faces, self.table, self._data, self._head = faces, table, data, head
        self.keys, self.people, self.faults = faces.keys, faces.people, faces.faults
        self.target_names: tuple[str, ...] = ()
        if table is not None:
            self._target, self._weight = table.of(faces.keys)
            self.target_names = (*(name for name, _ in table.params.items()), "camera")

    def __len__(self) -> int:
        return len(self.faces)

    @property
    def fingerprint(self) -> str:
        """Digest of the faces, whose keys end in a hash of their photos, of who they are and of their targets."""
        digest = hashlib.sha256("\n".join(self.keys).encode())
        digest.update(np.ascontiguousarray(self.faces.person).tobytes())
        if self.target_names:
            for _, value in (*self._target.items(), ("weight", self._weight)):
                digest.update(value.contiguous().numpy().tobytes())
        return digest.hexdigest()

    def order(self, rng: np.random.Generator) -> np.ndarray:
        """Return the faces of an epoch, (N,) int64; see `FaceSource`."""
        return epoch_order(self.faces.person, self._data.max_per_person, rng)

    def persons_of(self, index: np.ndarray) -> np.ndarray:
        """Return the person numbers of faces, (B,) int64; see `FaceSource`."""
        return self.faces.person[index]

    def batch(self, index: np.ndarray, rng: np.random.Generator) -> TrainingBatch:
        """Return crops of random scales for the faces `index` (B,) int64; see `FaceSource`."""
        scale = rng.uniform(*self._data.crop_scale, len(index))
        batch = collate(self.faces, index, scale, self._data.size)
        if not self.target_names:
            return batch
        rows = torch.from_numpy(index)
        target = FaceParams(**{name: value[rows] for name, value in self._target.items()})
        with torch.no_grad():
            points = self._head(target).landmarks("mediapipe")
        target = target.replace(camera=fit_camera(points, batch.landmarks_ndc))
        return replace(batch, target=target, target_weight=self._weight[rows])


class RenderedSource:
    """Rendered heads with ground truth.

    Args:
        faces: The images, all of them rendered.
    """

    target_names: tuple[str, ...] = ("shape", "expression", "pose", "camera")
    faults: tuple[DataError, ...] = ()

    def __init__(self, faces: RenderedFaces) -> None:
        self._faces = faces
        self.people = len(faces)

    def __len__(self) -> int:
        return len(self._faces)

    @property
    def fingerprint(self) -> str:
        """Digest of all that determines the images."""
        return f"{self._faces.fingerprint} {len(self)}"

    def order(self, rng: np.random.Generator) -> np.ndarray:
        """Return the images in random order, (N,) int64; see `FaceSource`."""
        return rng.permutation(len(self))

    def persons_of(self, index: np.ndarray) -> np.ndarray:
        """Return the numbers of the images: each shows another person."""
        return index

    def batch(self, index: np.ndarray, rng: np.random.Generator) -> TrainingBatch:
        """Return the images `index` (B,) int64 unchanged; see `FaceSource`."""
        return self._faces.batch(torch.from_numpy(index))


def open_source(source: SourceConfig, data: DataConfig, head: HeadModel, split: str = "train") -> FaceSource:
    """Open a source; photos and videos are prepared, and heads rendered, where the cache does not hold them.

    Args:
        source: Source to open.
        data: Sampling and crops.
        head: Head model, on the CPU.
        split: "train" or "val"; rendered faces have no splits.

    Raises:
        Smirk3dError: There are no usable faces, or too few beside damaged ones; a file is damaged, or the targets are
            of another head.
    """
    if source.kind == "rendered":
        return _rendered(source, data, head)
    assert source.path is not None  # checked by SourceConfig
    kind = detect_kind(source.path) if source.kind == "auto" else source.kind
    shards = None
    if kind == "shards":
        faces, report = FaceSet.from_folder(source.path, split), source.path / REPORT_NAME
    else:
        shards = prepared(source.path, kind)
        if not any(shards.folder.glob(f"{split}-*.tar")):
            reasons = printable(shards.folder / REPORT_NAME)
            raise Smirk3dError(f"{printable(source.path)}: no faces for {split} in it; {reasons} says why")
        faces, report = FaceSet.from_folder(shards.folder, split, shards.is_current), None  # photos may be gone
    for fault in faces.faults:
        _log.warning("%s", fault)
    check_usable_share(source.path, split, faces.keys, faces.faults, report)
    table = None if source.targets is None else TargetTable.load(source.targets, head)
    if table is None and data.fit_targets:
        table = fitted_targets(source.path if shards is None else shards.folder, head)
    opened = PhotoSource(faces, data, head, table)
    _log.info("%s: %d faces of %d people", printable(source.path), len(opened), opened.people)
    return opened


def detect_kind(path: Path) -> str:
    """Return the type of data at a path: "shards", "folder" (photos) or "videos".

    Raises:
        Smirk3dError: There is no such data, or there are both photos and videos.
    """
    if path.is_file():
        if path.suffix.lower() in VIDEO_SUFFIXES:
            return "videos"
        raise Smirk3dError(f"{printable(path)}: no folder and no video; name one or the other")
    if any(path.glob("*.tar")):
        return "shards"
    suffixes = {each.suffix.lower() for each in path.rglob("*") if not each.name.startswith(".")}
    has_photos, has_videos = bool(suffixes & set(IMAGE_SUFFIXES)), bool(suffixes & set(VIDEO_SUFFIXES))
    if has_photos and has_videos:
        raise Smirk3dError(f"{printable(path)}: holds photos and videos; say which with kind: folder or kind: videos")
    if not has_photos and not has_videos:
        raise Smirk3dError(f"{printable(path)}: no shards, photos or videos there; name a folder that holds some")
    return "folder" if has_photos else "videos"


def _rendered(source: SourceConfig, data: DataConfig, head: HeadModel) -> RenderedSource:
    if tuple(head.expression_names) != ARKIT_NAMES:
        raise Smirk3dError("rendered faces need a head with the 52 ARKit actions; use head=open or leave them out")
    folder = renderings_folder(source.path)
    variation = RenderAugmentation(crop_scale=data.crop_scale, domain_randomization=source.domain_randomization)
    faces = RenderedFaces(head, source.count, source.seed, data.size, folder=folder, variation=variation)
    return RenderedSource(prepared_renderings(faces, folder, "rendered faces"))
