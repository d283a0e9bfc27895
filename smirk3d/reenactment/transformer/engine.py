"""The transformer engine on photos: what the network answers, at the resolution of the photo."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import roma
import torch
from torch import Tensor
from torch.nn import functional

from smirk3d.face import Face
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.reenactment.displacement import rest_at_border
from smirk3d.reenactment.face_layers import FaceLayers
from smirk3d.reenactment.region import Region
from smirk3d.reenactment.source_photo import SourcePhoto
from smirk3d.reenactment.transformer.expression_code import face_crops
from smirk3d.reenactment.transformer.keypoints import grid_positions
from smirk3d.reenactment.transformer.network import FaceState, Scene, keypoint_motion
from smirk3d.reenactment.transformer.weights import TransformerNetworks, load_networks

SCALE = 1.65
"""Side of the region over the size of the face's landmarks."""
MAX_SIZE = 256
"""Most samples along a side for which keypoints give the motion, and other photos are used."""


class TransformerEngine:
    """Shows a person by a network that has read the photos once.

    Expression codes come from the photos; that of the wanted expression stays unknown.

    Args:
        sources: Photos of the person, at least one; the first one is shown.
        networks: The networks; None for the packaged ones.

    Raises:
        Smirk3dError: The packaged networks cannot be read.
    """

    def __init__(self, sources: Sequence[SourcePhoto], networks: TransformerNetworks | None = None) -> None:
        self._networks = packaged_networks() if networks is None else networks
        self._source = sources[0]
        self._regions = [_region(source) for source in sources]
        with torch.no_grad():
            self._scene = self._read(sources)
            size = min(self.region.size, MAX_SIZE)
            self._further = [_resized(each.cut(source.pixels), size) for each, source in zip(self._regions, sources)][
                1:
            ]

    @property
    def region(self) -> Region:
        """The part of the first photo that changes."""
        return self._regions[0]

    def _read(self, sources: Sequence[SourcePhoto]) -> Scene:
        size = self._networks.scene.layout.size_px
        images = torch.stack([_resized(each.cut(source.pixels), size) for each, source in zip(self._regions, sources)])
        points = [
            _points(source, region, source.fitted.landmarks_ndc) for source, region in zip(sources, self._regions)
        ]
        faces = [(source.face, source.face.rotation) for source in sources]
        codes = self._networks.expression(face_crops(images, torch.stack(points)))
        state = FaceState(torch.stack(points), *_numbers(faces), codes)
        return self._networks.scene.encode(images[None], FaceState(*(each[None] for each in vars(state).values())))

    @torch.no_grad()
    def layers(self, face: Face, rotation: np.ndarray) -> FaceLayers:
        """Return the layers of the region; see `smirk3d.reenactment.engine.ReenactmentEngine.layers`."""
        networks, size = self._networks, min(self.region.size, MAX_SIZE)
        moved = self._source.placed(face, rotation).landmarks_ndc
        points = _points(self._source, self.region, moved)[None]
        unknown = torch.zeros(1, networks.scene.layout.code_size)
        state = FaceState(points, *_numbers([(face, rotation)]), unknown)
        decoded = networks.scene(self._scene, state)
        correction = _resized(decoded.correction[0].flatten(0, 1), size).unflatten(0, (-1, 2))
        motion = keypoint_motion(state.dense, self._scene.dense, size)[0] + correction
        shares, border = _resized(decoded.shares[0], size), rest_at_border(size)
        fill = shares[-1] * _resized(decoded.color[0], size)
        for share, pixels, each in zip(shares[1:-1], self._further, motion[1:]):
            fill = fill + share * _at(pixels, each)
        photo_share = 1 - (1 - shares[0]) * border
        displacement = (motion[0] * border).permute(1, 2, 0).contiguous()
        fill = (fill / (1 - shares[0]).clamp_min(1e-4)).clamp(0, 1)
        return FaceLayers(displacement, torch.ones(size, size), photo_share, fill)


@lru_cache(maxsize=1)
def packaged_networks() -> TransformerNetworks:
    """Return the packaged networks, read once.

    Raises:
        Smirk3dError: They cannot be read.
    """
    return load_networks()


def _region(source: SourcePhoto) -> Region:
    landmarks_px = source.region.to_px(source.fitted.landmarks_ndc.numpy())
    return Region.of_landmarks(landmarks_px, scale=SCALE)


def _points(source: SourcePhoto, region: Region, landmarks_ndc: Tensor) -> Tensor:
    """Return landmarks (478, 2) of a photo's own region in another region."""
    return torch.from_numpy(region.to_ndc(source.region.to_px(landmarks_ndc.numpy()))).float()


def _numbers(faces: Sequence[tuple[Face, np.ndarray]]) -> tuple[Tensor, Tensor]:
    """Return ARKit weights (N, 52) and rotation vectors (N, 3) of faces with their rotations."""
    weights = torch.tensor([[face.arkit[name] for name in ARKIT_NAMES] for face, _ in faces]).float()
    rotations = torch.from_numpy(np.stack([rotation for _, rotation in faces])).float()
    return weights, roma.rotmat_to_rotvec(rotations)


def _resized(image: Tensor, size: int) -> Tensor:
    """Return an image (C, S, S) at another side."""
    return functional.interpolate(image[None], size=(size, size), mode="bilinear", antialias=True)[0]


def _at(pixels: Tensor, motion: Tensor) -> Tensor:
    """Return pixels (3, S, S) where a motion (2, S, S) points, half sides."""
    size = motion.shape[-1]
    at = grid_positions(size).view(1, size, size, 2) + motion.permute(1, 2, 0)
    return functional.grid_sample(pixels[None], at, padding_mode="border", align_corners=False)[0]
