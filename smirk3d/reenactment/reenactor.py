"""The public `Reenactor`: photos of a person that show any expression."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, cast

import numpy as np
import torch

from smirk3d.errors import InvalidOptionError
from smirk3d.estimation.photo_source import PhotoSource, list_of_photos
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.reenactment.composition import compose
from smirk3d.reenactment.engine import ENGINES, EngineName, make_engine
from smirk3d.reenactment.head_turn import limited_rotation
from smirk3d.reenactment.pictures import reduced
from smirk3d.reenactment.source_photo import SourcePhoto, prepare_source
from smirk3d.render.appearance.appearance_model import supports
from smirk3d.render.appearance.appearance_texels import AppearanceTexels
from smirk3d.render.appearance.face_appearance import FaceAppearance

if TYPE_CHECKING:
    from smirk3d.estimation.reconstructor import DetectedPhoto, Reconstructor

Weights = Mapping[str, float] | np.ndarray | Sequence[float]
"""ARKit names -> weights in [0, 1], those not named being 0; or 52 weights in Apple's order."""


class Reenactor:
    """One person, whose photo shows any expression.

    The photo's own pixels move with the fitted head, or as a network predicts. Lids, teeth, tongue and the inside of
    the mouth that the photo does not show come from further photos, the fitted appearance, or the network.

    Args:
        sources: One photo of the person, or a list of several; see `smirk3d.Reconstructor`. The largest face counts.
            The first photo is shown; more photos improve the identity and the appearance, and show what it hides.
        reconstructor: Fits the heads; one of the open head. By default a new one.
        engine: "mesh" or "transformer", see `smirk3d.reenactment.engine`.
        max_side_px: Photos with a longer side are reduced to it; None keeps their size.

    Attributes:
        source: The photo that is shown, with its face.
        sources: All photos, this one first.

    Raises:
        InvalidOptionError: The reconstructor's head is not the open head, there is no photo, or no such engine.
        NoFaceError: No face was found in a photo.
        Smirk3dError: A photo cannot be read.
    """

    def __init__(
        self,
        sources: PhotoSource | Sequence[PhotoSource],
        reconstructor: Reconstructor | None = None,
        *,
        engine: EngineName = "mesh",
        max_side_px: int | None = None,
    ) -> None:
        if engine not in ENGINES:
            raise InvalidOptionError(f"engine {engine!r}: must be one of {', '.join(ENGINES)}")
        several = list_of_photos(sources)
        photos = [cast(PhotoSource, sources)] if several is None else several
        if not photos:
            raise InvalidOptionError("sources: name at least one photo of the person")
        self.sources = _prepared(photos, reconstructor, max_side_px)
        self.source = self.sources[0]
        self._engine = make_engine(engine, self.sources)

    def with_engine(self, engine: EngineName) -> Reenactor:
        """Return a reenactor of the same person, whose photos are prepared already, with another engine."""
        made = object.__new__(Reenactor)
        made.sources, made.source = self.sources, self.source
        made._engine = make_engine(engine, self.sources)
        return made

    def __call__(self, weights: Weights, rotation: np.ndarray | None = None) -> np.ndarray:
        """Return the photo with another expression.

        Args:
            weights: See `Weights`. With those of `source.face` the mesh engine leaves the photo as it is.
            rotation: (3, 3) head frame to camera frame, as `Face.rotation`; by default that of the photo. The change is
                limited, see `smirk3d.reenactment.head_turn`.

        Returns:
            (H, W, 3) uint8 sRGB of the photo's size.

        Raises:
            ValueError: A weight or a name is none of ARKit's.
        """
        source = self.source
        face = source.face.with_arkit(named_weights(weights))
        wanted = source.face.rotation if rotation is None else limited_rotation(rotation, source.face.rotation)[0]
        with torch.no_grad():
            layers = self._engine.layers(face, wanted)
        return compose(source.pixels, self._engine.region, layers)


def named_weights(weights: Weights) -> dict[str, float]:
    """Return weights by ARKit's names.

    Raises:
        ValueError: They are not 52.
    """
    if isinstance(weights, Mapping):
        return {name: float(value) for name, value in weights.items()}
    values = np.asarray(weights, dtype=np.float64)
    if values.shape != (len(ARKIT_NAMES),):
        raise ValueError(f"expected {len(ARKIT_NAMES)} weights, not the shape {values.shape}")
    return dict(zip(ARKIT_NAMES, values.tolist()))


def _prepared(
    photos: Sequence[PhotoSource], reconstructor: Reconstructor | None, max_side_px: int | None
) -> tuple[SourcePhoto, ...]:
    from smirk3d.estimation.reconstructor import Reconstructor

    made = Reconstructor() if reconstructor is None else reconstructor
    try:
        if not supports(made.head):
            raise InvalidOptionError("reenactment needs the open head; make the Reconstructor without another head")
        return _fitted(photos, made, max_side_px)
    finally:
        if reconstructor is None:
            made.close()


def _fitted(
    photos: Sequence[PhotoSource], reconstructor: Reconstructor, max_side_px: int | None
) -> tuple[SourcePhoto, ...]:
    found = [_detected(photo, reconstructor, max_side_px) for photo in photos]
    if len(found) > 1:
        faces = reconstructor.fit_identity([each.photo.pixels for each in found])
    else:
        faces = reconstructor.solve(found)[0]
    texels = AppearanceTexels(faces[0].head).colors(faces[0].appearance or FaceAppearance())
    with torch.no_grad():
        return tuple(
            prepare_source(each.photo.pixels, face, each.detections[0].landmarks_px, texels)
            for each, face in zip(found, faces, strict=True)
        )


def _detected(photo: PhotoSource, reconstructor: Reconstructor, max_side_px: int | None) -> DetectedPhoto:
    """Return a photo, reduced, with its largest face."""
    from smirk3d.estimation.reconstructor import DetectedPhoto

    found = reconstructor.read_and_detect(photo)
    if max_side_px is not None and max(found.photo.pixels.shape) > max_side_px:
        found = reconstructor.read_and_detect(reduced(found.photo.pixels, max_side_px))
    return DetectedPhoto(found.photo, found.detections[:1])
