"""Pseudo-targets: parameters of real faces from landmark fitting, with confidences.

A table is a .npz file of plain arrays, float32: `keys` (N,) names of the faces in their shards, `shape` (N, S),
`expression` (N, E), `pose` (N, 3) and other parameters of the head, `weight` (N,) confidence in (0, 1], and
`expression_names` (E,).
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np
import roma
import torch
from torch import Tensor

from smirk3d.assets import atomic_path, printable
from smirk3d.bounded_io import one_line, read_npz
from smirk3d.datasets.shards import SPLITS, DataError, Record, read_folder, refuse
from smirk3d.detection.detector import Detection
from smirk3d.errors import Smirk3dError
from smirk3d.estimation.estimator import FaceObservation, reconstruct_faces
from smirk3d.estimation.landmark_fit import LandmarkFitEstimator
from smirk3d.face import Face
from smirk3d.head.model import HeadModel
from smirk3d.media.images import Photo
from smirk3d.params import FaceParams

BATCH_FACES = 64
MAX_FACES_PER_SHAPE = 20
"""Largest number of faces of a person that are fitted with one shape; more faces form several groups."""


@dataclass(frozen=True, eq=False)
class TargetTable:
    """Parameters of N faces.

    Attributes:
        keys: N names of the faces in their shards.
        params: Fields (N, ...) float32, the pose a rotation vector; without a camera, which depends on the crop.
        weight: (N,) float32 confidence in (0, 1].
        expression_names: E names.
    """

    keys: tuple[str, ...]
    params: FaceParams
    weight: Tensor
    expression_names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.keys)

    def save(self, path: str | Path) -> None:
        """Write the table.

        Raises:
            Smirk3dError: The file cannot be written.
        """
        arrays: dict[str, Any] = {
            name: value.numpy() for name, value in (*self.params.items(), ("weight", self.weight))
        }
        arrays = {name: value.astype(np.float32) for name, value in arrays.items()}
        arrays |= {name: np.array(getattr(self, name), np.str_) for name in ("keys", "expression_names")}
        with atomic_path(path) as temporary, open(temporary, "wb") as file:
            np.savez(file, **arrays)

    @staticmethod
    def load(path: str | Path, head: HeadModel) -> TargetTable:
        """Read a table.

        Args:
            path: File written by `save`.
            head: Head model that the parameters must belong to.

        Raises:
            Smirk3dError: The file is missing, damaged, or of another head.
        """
        try:
            return _checked(read_npz(path), head)
        except (OSError, KeyError, ValueError, TypeError) as error:
            reason = printable(one_line(error))
            raise Smirk3dError(
                f"{printable(path)}: no targets for this head ({reason}); make them with smirk3d data targets"
            ) from error

    def of(self, keys: Sequence[str]) -> tuple[FaceParams, Tensor]:
        """Return parameters (K, ...) and weights (K,) of K faces; zeros for those that are not in the table."""
        row_of = {key: row for row, key in enumerate(self.keys)}
        rows = torch.tensor([row_of.get(key, -1) for key in keys], dtype=torch.int64)
        known = (rows >= 0).float()
        params = {name: value[rows] * known[:, None] for name, value in self.params.items()}
        return FaceParams(**params), self.weight[rows] * known


def _checked(arrays: dict[str, np.ndarray], head: HeadModel) -> TargetTable:
    """Build a table from the arrays of a file; raises `KeyError` or `ValueError`."""
    keys, names = tuple(map(str, arrays["keys"])), tuple(map(str, arrays["expression_names"]))
    if names != tuple(head.expression_names):
        raise ValueError("its expressions are not the head's")
    wanted = {name: (len(keys), head.spec[name].size) for name in head.spec.names if name in arrays}
    for name, shape in {**wanted, "weight": (len(keys),)}.items():
        if arrays[name].shape != shape or not np.isfinite(arrays[name]).all():
            raise ValueError(f"{name} is no finite array of {shape}")
    if not {"shape", "expression", "pose"} <= set(wanted):
        raise ValueError("shape, expression or pose is missing")
    weight = torch.from_numpy(arrays["weight"]).float()
    if len(set(keys)) != len(keys) or not ((weight > 0) & (weight <= 1)).all():
        raise ValueError("a key is there twice, or a weight is not in (0, 1]")
    params = FaceParams(**{name: torch.from_numpy(arrays[name]).float() for name in wanted})
    return TargetTable(keys, params, weight, names)


def records_of(
    folder: str | Path, split: Literal["train", "val", "all"], on_fault: Callable[[DataError], None] = refuse
) -> Iterator[Record]:
    """Read the faces of one split or of all; see `smirk3d.datasets.shards.read_folder`.

    Args:
        folder: Folder of shards.
        split: "train", "val" or "all" existing ones.
        on_fault: Receives each face that cannot be used; the default raises.
    """
    existing = [name for name in SPLITS if any(Path(folder).glob(f"{name}-*.tar"))]
    for name in (existing or SPLITS) if split == "all" else (split,):
        yield from read_folder(folder, name, on_fault)


def with_depth(
    folder: str | Path, records: Iterable[Record], on_fault: Callable[[DataError], None]
) -> Iterator[Record]:
    """Yield the faces whose landmarks have a depth, which the fit needs.

    Args:
        folder: Their folder.
        records: The faces.
        on_fault: Receives the others.
    """
    for record in records:
        if record.depth_px is None:
            on_fault(DataError(Path(folder), record.key, "its landmarks have no depth"))
        else:
            yield record


def fit_targets(head: HeadModel, records: Iterable[Record], batch_faces: int = BATCH_FACES) -> Iterator[TargetTable]:
    """Fit the head to the landmarks and scores of faces, with one shape per person.

    Args:
        head: Head model.
        records: The faces.
        batch_faces: Approximate number of faces that are fitted at once.

    Yields:
        Tables of the faces of a batch, in no particular order; see `join_targets`.

    Raises:
        Smirk3dError: A face's landmarks have no depth, or two faces have one key.
    """
    given = list(records)
    key, count = max(Counter(record.key for record in given).items(), key=lambda item: item[1], default=("", 0))
    if count > 1:
        raise Smirk3dError(f"face {printable(key)}: is there {count} times; name every folder once")
    # The camera of the crops; with an assumed perspective the residual of the fit is a third larger there.
    estimator = LandmarkFitEstimator(head, focal="orthographic")
    for groups in _batches(_groups(given), batch_faces):
        members = [record for group in groups for record in group]
        person = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
        faces = reconstruct_faces(estimator, [_observation(record) for record in members], person)
        yield TargetTable(
            keys=tuple(record.key for record in members),
            params=_params(head, faces),
            weight=torch.tensor([face.confidence for face in faces]),
            expression_names=tuple(head.expression_names),
        )


def join_targets(tables: Iterable[TargetTable]) -> TargetTable:
    """Concatenate tables of one head, sorted by key.

    Raises:
        ValueError: There are no faces.
    """
    parts = list(tables)
    keys = [key for part in parts for key in part.keys]
    if not keys:
        raise ValueError("no faces")
    order = torch.tensor(sorted(range(len(keys)), key=keys.__getitem__))
    params = {
        name: torch.cat([getattr(part.params, name) for part in parts])[order] for name, _ in parts[0].params.items()
    }
    weight = torch.cat([part.weight for part in parts])[order]
    return TargetTable(tuple(sorted(keys)), FaceParams(**params), weight, parts[0].expression_names)


def _groups(records: Sequence[Record]) -> list[list[Record]]:
    """Return the faces of each person, in several groups of similar size where there are many."""
    by_person: dict[str, list[Record]] = defaultdict(list)
    for number, record in enumerate(records):
        by_person[record.person or f"\0{number}"].append(record)
    groups = []
    for faces in by_person.values():
        count = math.ceil(len(faces) / MAX_FACES_PER_SHAPE)
        groups += [faces[start::count] for start in range(count)]
    return groups


def _batches(groups: Iterable[list[Record]], batch_faces: int) -> Iterator[list[list[Record]]]:
    batch: list[list[Record]] = []
    for group in groups:
        if batch and sum(map(len, batch)) + len(group) > batch_faces:
            yield batch
            batch = []
        batch.append(group)
    if batch:
        yield batch


def _observation(record: Record) -> FaceObservation:
    """Return the input of the fit, which needs the size of the image but not its pixels."""
    if record.depth_px is None:
        raise Smirk3dError(f"face {printable(record.key)}: its landmarks have no depth; prepare the shard again")
    width, height = record.size_px
    blank = np.broadcast_to(np.uint8(0), (height, width, 3))
    detection = Detection(record.landmarks_px, record.depth_px, record.scores, record.box_px, 1.0)
    return FaceObservation(Photo(blank), detection)


def _params(head: HeadModel, faces: Sequence[Face]) -> FaceParams:
    rotmat = torch.from_numpy(np.stack([face.rotation for face in faces])).float()
    known = {"pose": roma.rotmat_to_rotvec(rotmat)}
    own = {each.name for each in fields(Face)}
    for name in head.spec.names:
        if name in own and name not in ("camera", "pose"):
            known[name] = torch.from_numpy(np.stack([getattr(face, name) for face in faces])).float()
    return FaceParams(**known)
