"""The people from whom the transformer engine learns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from smirk3d.datasets.cached_renderings import prepared_renderings, renderings_folder
from smirk3d.datasets.face_dataset import FaceSet, collate
from smirk3d.datasets.pseudo_targets import TargetTable
from smirk3d.datasets.synthetic.photo_textured import PhotoTexturedFaces
from smirk3d.datasets.synthetic.rendered_views import RenderedViews, Views
from smirk3d.errors import Smirk3dError
from smirk3d.head.model import HeadModel
from smirk3d.train.reenactment.config import ReenactmentTrainConfig

VALIDATION_PEOPLE = 96
PHOTO_SCALE = (1.2, 1.45)
"""Side of the picture over that of the face, of photos, which are cropped tightly themselves."""
MIN_CONFIDENCE = 0.3
"""Smallest confidence of a fit."""


@dataclass(frozen=True, eq=False)
class PeopleData:
    """All people of a run.

    Attributes:
        rendered: Rendered people to learn from.
        validation: Others, by whom weights are compared.
        changed: Photos with a known change; None: none.
        photos: Photos, several of each person; None: none.
    """

    rendered: RenderedViews
    validation: RenderedViews
    changed: PhotoTexturedFaces | None
    photos: PersonPhotos | None

    @property
    def fingerprint(self) -> str:
        """Digest by which other people are noticed."""
        photos = "" if self.photos is None else f" photos {len(self.photos.faces)} changed {len(self.changed or ())}"
        return f"rendered {self.rendered.fingerprint} {len(self.rendered)}{photos}"


def people_of(config: ReenactmentTrainConfig, head: HeadModel) -> PeopleData:
    """Return the people of a run, rendered or changed where they are not in the cache.

    Raises:
        Smirk3dError: Photos or their fits cannot be read or used.
    """
    size, views = config.layout.size_px, config.data.views
    folder = renderings_folder(views.path)
    rendered, validation = (
        prepared_renderings(RenderedViews(head, count, seed, size, folder=folder), folder, "rendered people")
        for count, seed in ((views.count, views.seed), (VALIDATION_PEOPLE, views.seed + 1))
    )
    photos = config.data.photos
    if photos is None:
        return PeopleData(rendered, validation, None, None)
    faces, table = FaceSet.from_folder(photos.faces, "train"), TargetTable.load(photos.targets, head)
    folder = renderings_folder(photos.path)
    changed = PhotoTexturedFaces(head, faces, table, photos.changed, photos.seed, folder=folder)
    changed = prepared_renderings(changed, folder, "changed photos")
    return PeopleData(rendered, validation, changed, PersonPhotos(faces, table))


def changed_views(pairs: PhotoTexturedFaces, index: Tensor, size: int) -> Views:
    """Return photos and their changes of an index (K,) as two views."""
    both = pairs.pairs(index)
    images = [interpolate(each.image, size=(size, size), mode="bilinear", antialias=True) for each in both]
    targets = [each.target for each in both]
    weights = [each.expression for each in targets if each is not None and each.expression is not None]
    pose = [each.pose for each in targets if each is not None and each.pose is not None]
    points = [each.landmarks_ndc for each in both]
    return Views(*(torch.stack(each, dim=1) for each in (images, points, weights, pose)))


class PersonPhotos:
    """Photos of people of whom there are several.

    Args:
        faces: Photos.
        table: Their fits.

    Raises:
        Smirk3dError: There are no two well fitted photos of anybody.
    """

    def __init__(self, faces: FaceSet, table: TargetTable) -> None:
        self.faces = faces
        self._params, confidence = table.of(faces.keys)
        usable = np.flatnonzero(confidence.numpy() >= MIN_CONFIDENCE)
        by_person: dict[int, list[int]] = {}
        for k in usable.tolist():
            by_person.setdefault(int(faces.person[k]), []).append(k)
        self.people = [np.array(photos) for photos in by_person.values() if len(photos) > 1]
        if not self.people:
            raise Smirk3dError("no two well fitted photos of one person; use other photos, or leave data.photos out")

    def views(self, count: int, size: int, generator: torch.Generator) -> Views:
        """Return two photos each of so many random people, everybody being as likely."""
        chosen = torch.randint(len(self.people), (count,), generator=generator).tolist()
        index = np.stack([self._two(self.people[k], generator) for k in chosen])
        low, high = PHOTO_SCALE
        scale = (low + (high - low) * torch.rand(2 * count, generator=generator)).numpy()
        batch = collate(self.faces, index.reshape(-1), scale, size)
        assert self._params.expression is not None and self._params.pose is not None
        weights, pose = (each[torch.from_numpy(index)] for each in (self._params.expression, self._params.pose))
        images = batch.image.unflatten(0, (count, 2))
        return Views(images, batch.landmarks_ndc.unflatten(0, (count, 2)), weights, pose)

    @staticmethod
    def _two(photos: np.ndarray, generator: torch.Generator) -> np.ndarray:
        return photos[torch.randperm(len(photos), generator=generator)[:2].numpy()]
