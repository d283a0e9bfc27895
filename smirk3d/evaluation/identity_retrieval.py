"""Whether a neutral mesh finds another photo of the same person."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from smirk3d.assets import printable
from smirk3d.bounded_io import one_line, open_plain_text
from smirk3d.datasets.landmark_annotations import LABELS_NAME
from smirk3d.errors import Smirk3dError
from smirk3d.evaluation.data import EvaluationData
from smirk3d.evaluation.method_under_test import MethodUnderTest, ReconstructionMethod
from smirk3d.evaluation.neutral_meshes import aligned_faces, neutral_vertices
from smirk3d.evaluation.photos import PhotoSet
from smirk3d.evaluation.result import Figure, MeasureNotApplicableError, Result, values_of
from smirk3d.head.model import HeadModel

PEOPLE = 60
PERSON_COLUMNS = ("group", "person")
FIGURES = (
    Figure("rank_1_percent", "%", "higher"),
    Figure("rank_5_percent", "%", "higher"),
    Figure("median_rank", better="lower"),
)


class IdentityRetrievalMeasure:
    """See `retrieval_result`; --seed chooses the people."""

    name = "identity-retrieval"
    summary = "how often the neutral mesh of a photo is nearest to that of the other photo of its person"
    needs = frozenset({"annotations", "reconstruction"})
    figures = FIGURES
    is_default = False

    def run(self, method: MethodUnderTest, data: EvaluationData) -> Iterator[Result]:
        """Yield one result over `PEOPLE` people."""
        if not isinstance(method, ReconstructionMethod):
            raise MeasureNotApplicableError("needs reconstructed heads")
        pairs = photo_pairs(data.folder, data.options.split, data.options.seed)
        if len(pairs) < 2:
            raise MeasureNotApplicableError(f"too few people of the split {data.options.split} have two photos")
        keys = [key for pair in pairs for key in pair]
        photos = PhotoSet.read(data.folder, data.options.split, len(keys), keys=set(keys))
        shapes: dict[str, np.ndarray] = {}
        names = iter(record.key for record in photos.records)
        with data.progress(self.name, len(photos)) as display:
            for batch in photos.batches():
                for face in method.faces(batch):
                    shapes[next(names)] = face.shape
                    display.advance()
        whole = [pair for pair in pairs if all(key in shapes for key in pair)]
        first, second = (np.stack([shapes[pair[side]] for pair in whole]) for side in (0, 1))
        yield retrieval_result(method.method, data.head, first, second)


def photo_pairs(folder: Path, split: str, seed: int) -> list[tuple[str, str]]:
    """Return two photos each of random people of a split, at most `PEOPLE`, by their keys.

    Args:
        folder: Folder with `labels.csv`: columns key, split, and group or person.
        split: Name of the split.
        seed: Of the choice of people and photos.

    Raises:
        Smirk3dError: The table cannot be read or names no persons.
    """
    path = folder / LABELS_NAME
    try:
        with open_plain_text(path) as file:
            rows = [row for row in csv.DictReader(file) if row["split"] == split]
        column = next(name for name in PERSON_COLUMNS if not rows or name in rows[0])
        photos: dict[str, list[str]] = {}
        for row in rows:
            photos.setdefault(row[column], []).append(row["key"])
    except (OSError, ValueError, KeyError, StopIteration, csv.Error) as error:
        raise Smirk3dError(
            f"{printable(path)}: names no persons ({one_line(error)}); it needs the columns key, split and person"
        ) from error
    random = np.random.default_rng(seed)
    people = sorted(name for name, keys in photos.items() if name and len(keys) > 1)
    chosen = random.permutation(len(people))[:PEOPLE]
    pairs = (random.permutation(photos[people[index]])[:2] for index in chosen)
    return [(str(first), str(second)) for first, second in pairs]


def retrieval_result(method: str, head: HeadModel, first: np.ndarray, second: np.ndarray) -> Result:
    """Rank, for each photo, the other photos of all people by the distance of neutral meshes.

    The distance is the mean over the vertices of the region "face", after alignment with the mean head by a similarity.
    Each photo of a person is once the query, against the other photo of everybody.

    Args:
        method: Name of the method.
        head: The head model.
        first: (N, S) identity coefficients of one photo of each person.
        second: (N, S) of the other photo.
    """
    one, two = (aligned_faces(head, neutral_vertices(head, each)) for each in (first, second))
    distance = torch.stack([(each - two).norm(dim=-1).mean(1) for each in one]).cpu().numpy()
    same = distance.diagonal()
    ranks = np.concatenate([(distance < same[:, None]).sum(1), (distance < same[None]).sum(0)])
    numbers = {
        "rank_1_percent": 100 * float((ranks < 1).mean()),
        "rank_5_percent": 100 * float((ranks < 5).mean()),
        "median_rank": 1 + float(np.median(ranks)),
    }
    return Result("identity-retrieval", method, len(first), values_of(FIGURES, numbers))
