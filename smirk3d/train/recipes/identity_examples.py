"""What the network of identity learns from: detected faces of rendered people, and of people in photos.

Rendered people have a known identity. People in photos have none, but several photos of one person show the same one,
and `smirk3d.estimation.sex_typical_look` estimates how typically male or female a face looks.
"""

from __future__ import annotations

import csv
import io
import logging
import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from smirk3d.assets import atomic_path, make_folder
from smirk3d.authoring.macro_regression import MacroRegression
from smirk3d.bounded_io import open_plain_text
from smirk3d.datasets.cached_renderings import renderings_folder
from smirk3d.datasets.landmark_annotations import LABELS_NAME, read_landmark_annotations
from smirk3d.datasets.synthetic.identity_photos import identity_photos
from smirk3d.datasets.synthetic.rendered_faces import RenderAugmentation, RenderedFaces
from smirk3d.detection.detector import Detection, Detector
from smirk3d.estimation.appearance_points import PhotoPatch
from smirk3d.estimation.landmark_fit import LandmarkFitEstimator
from smirk3d.estimation.lm_solver import align_mean_head
from smirk3d.estimation.sex_typical_look import female_look
from smirk3d.estimation.shape_window import face_texture, landmark_features, window_layout
from smirk3d.head.model import HeadModel

SHARD = 256
"""Pictures per file."""
RANDOM_SIZE_PX = 160
RANDOM_LOOKS = RenderAugmentation(crop_scale=(1.25, 1.6))
"""Heads whose looks have nothing to do with their shapes, so that the network relies on looks no more than it must."""
PHOTOS_PER_PERSON = 4
_log = logging.getLogger("smirk3d.train.recipes.identity_examples")


@dataclass(frozen=True, eq=False)
class Examples:
    """N detected faces of known identity.

    Attributes:
        textures: (N, 48, 40) uint8.
        features: (N, F) float32.
        shape: (N, S) float32.
    """

    textures: Tensor
    features: Tensor
    shape: Tensor

    def __len__(self) -> int:
        return len(self.shape)

    def __getitem__(self, rows: Tensor | slice) -> Examples:
        """Return some of the faces."""
        return Examples(self.textures[rows], self.features[rows], self.shape[rows])

    @staticmethod
    def joined(parts: list[Examples]) -> Examples:
        """Return all faces of several sets."""
        return Examples(*(torch.cat([getattr(each, name) for each in parts]) for name in Examples.__annotations__))


Pictures = Iterator[tuple[np.ndarray, Tensor]]
"""Pixels (H, W, 3) uint8 with the true coefficients (S,)."""


class DetectedRenders:
    """Detects rendered pictures shard by shard and keeps what the network reads of them.

    Args:
        head: The open head.
        folder: Where the shards are kept.
    """

    def __init__(self, head: HeadModel, folder: Path) -> None:
        self.head, self.folder = head, folder
        self.fitter = LandmarkFitEstimator(head)
        make_folder(folder)

    def examples(self, name: str, count: int, pictures: Callable[[int], Pictures]) -> Examples:
        """Return the detected faces of `count` pictures; `pictures` returns those of a shard's number."""
        parts = []
        for number in range(-(-count // SHARD)):
            path = self.folder / f"{name}_{self.head.data.content_id[:8]}_{number:04d}.npz"
            if not path.is_file():
                self._write(path, pictures(number))
                _log.info("%s: %d of %d", name, (number + 1) * SHARD, count)
            with np.load(path, allow_pickle=False) as stored:
                parts.append(Examples(*(torch.from_numpy(stored[key]) for key in Examples.__annotations__)))
        return Examples.joined(parts)

    def read(self, pixels: np.ndarray, found: Detection) -> tuple[np.ndarray, np.ndarray]:
        """Return the texture (48, 40) uint8 and the features (F,) float32 of a detected face."""
        points, depth, scores = (
            torch.from_numpy(each)[None].float() for each in (found.landmarks_px, found.depth, found.blendshape_scores)
        )
        index = self.fitter.model.index
        alignment = align_mean_head(self.fitter.model, points[:, index], depth[:, index])
        texture = face_texture(window_layout(self.head), pixels, found.landmarks_px)
        features = landmark_features(self.head, points, depth, scores, alignment)
        return texture.round().astype(np.uint8), features[0].numpy()

    def _write(self, path: Path, pictures: Pictures) -> None:
        textures, features, shapes = [], [], []
        with Detector(max_faces=1) as detector:
            for pixels, shape in pictures:
                if found := detector.detect(pixels):
                    texture, row = self.read(pixels, found[0])
                    textures.append(texture)
                    features.append(row)
                    shapes.append(shape.numpy())
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.savez(file, textures=np.stack(textures), features=np.stack(features), shape=np.stack(shapes))


def rendered_examples(
    renders: DetectedRenders, looks: MacroRegression, people: int, seed: int, random_heads: int, random_seed: int
) -> Examples:
    """Return detected faces of rendered people in random order.

    Args:
        renders: Detects them.
        looks: What shapes tell of sex, age and ancestry.
        people: Number of people whose looks go with their shapes.
        seed: Of these.
        random_heads: Number of heads with looks at random.
        random_seed: Of these.
    """
    folder, size, head = renderings_folder(None), RANDOM_SIZE_PX, renders.head
    faces = RenderedFaces(head, random_heads, random_seed, size, folder=folder, variation=RANDOM_LOOKS)

    def of_people(number: int) -> Pictures:
        return ((each.pixels, each.shape) for each in identity_photos(head, looks, SHARD, seed * 1_000_003 + number))

    def of_heads(number: int) -> Pictures:
        batch = faces.batch(torch.arange(number * SHARD, (number + 1) * SHARD))
        assert batch.target is not None and batch.target.shape is not None
        for image, shape in zip(batch.image, batch.target.shape, strict=True):
            yield np.ascontiguousarray((image * 255).round().byte().permute(1, 2, 0).numpy()), shape

    parts = [
        renders.examples(f"people_{seed}", people, of_people),
        renders.examples(f"heads_{faces.fingerprint}", random_heads, of_heads),
    ]
    data = Examples.joined(parts)
    return data[torch.randperm(len(data), generator=torch.Generator().manual_seed(seed))]


@dataclass(frozen=True, eq=False)
class People:
    """N photos of people of unknown identity, at least two of each.

    Attributes:
        textures: (N, 48, 40) uint8.
        features: (N, F) float32.
        person: (N,) int64 number of the person, from 0 without gaps.
        look: (N,) float32, look of the person from -1, typically male, to 1, typically female.
    """

    textures: Tensor
    features: Tensor
    person: Tensor
    look: Tensor

    def pairs(self, count: int, generator: torch.Generator) -> Tensor:
        """Return rows (2, count) of two photos each of random people."""
        order = torch.randperm(len(self.person), generator=generator)
        order = order[self.person[order].argsort(stable=True)]
        first = torch.searchsorted(self.person[order].contiguous(), torch.arange(int(self.person.max()) + 1))
        chosen = first[torch.randperm(len(first), generator=generator)[:count]]
        return torch.stack([order[chosen], order[chosen + 1]])


def people_in_photos(renders: DetectedRenders, folder: Path, count: int, seed: int) -> People:
    """Return photos of random people of the training split with their annotated landmarks.

    Args:
        renders: Reads them.
        folder: Folder with shards, `landmarks.npz` and `labels.csv`.
        count: Number of people.
        seed: Of the choice of people and photos.
    """
    person_of = chosen_people(folder, count, seed)
    annotations = read_landmark_annotations(folder, "train")
    found = {key: photo.detections[0] for key, photo in zip(annotations.keys, annotations.photos, strict=True)}
    textures, features, person, look = [], [], [], []
    for key, pixels in _pixels(folder, person_of):
        texture, row = renders.read(pixels, found[key])
        textures.append(texture)
        features.append(row)
        person.append(person_of[key])
        look.append(female_look(PhotoPatch.whole(pixels), found[key].landmarks_px))
    numbers, person_number = np.unique(person, return_inverse=True)
    number = torch.from_numpy(person_number.astype(np.int64))
    total = torch.zeros(len(numbers)).index_add(0, number, torch.tensor(look)) / torch.bincount(number)
    return People(torch.from_numpy(np.stack(textures)), torch.from_numpy(np.stack(features)), number, total[number])


def chosen_people(folder: Path, count: int, seed: int) -> dict[str, int]:
    """Return key -> number of the person, of at most `PHOTOS_PER_PERSON` photos of people with two or more."""
    keys_of: dict[str, list[str]] = {}
    with open_plain_text(folder / LABELS_NAME) as file:
        for row in csv.DictReader(file):
            if row["split"] == "train":
                keys_of.setdefault(row["group"] or row["person"], []).append(row["key"])
    random = np.random.default_rng(seed)
    names = [name for name in sorted(keys_of) if len(keys_of[name]) > 1]
    chosen = [names[index] for index in random.permutation(len(names))[:count]]
    return {
        str(key): number
        for number, name in enumerate(chosen)
        for key in random.permutation(keys_of[name])[:PHOTOS_PER_PERSON]
    }


def _pixels(folder: Path, wanted: Mapping[str, int]) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the keys and pixels (H, W, 3) uint8 of wanted photos of the training split."""
    for path in sorted(folder.glob("train-*.tar")):
        with tarfile.open(path) as shard:
            for member in shard:
                key = member.name.removesuffix(".jpg")
                file = shard.extractfile(member) if member.name.endswith(".jpg") and key in wanted else None
                if file is not None:
                    yield key, np.asarray(Image.open(io.BytesIO(file.read())).convert("RGB"))
