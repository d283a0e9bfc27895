"""The identity that the pixels and the landmarks of a photo tell, with its uncertainty.

A network (`smirk3d.networks.shape_network`) learned on rendered people what detected landmarks and the texture between
them tell of the identity. The covariance of its errors on other rendered people comes with it: mean and covariance are
the prior of the shape in the landmark fit.
"""

# torch's own annotations are incomplete.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from smirk3d.assets import atomic_path, printable
from smirk3d.bounded_io import one_line, parse_json
from smirk3d.errors import Smirk3dError
from smirk3d.estimation.estimator import FaceObservation
from smirk3d.estimation.shape_window import (
    WindowLayout,
    face_texture,
    grid_size,
    landmark_features,
    mirrored,
    n_features,
    normalised,
)
from smirk3d.geometry.align import Similarity
from smirk3d.head.landmark_indices import SKIN_COUNT
from smirk3d.head.memoize import cache_per_head
from smirk3d.head.model import HeadModel
from smirk3d.networks.inference import folded
from smirk3d.networks.shape_network import ShapeNetwork
from smirk3d.zoo.registry import find

MIN_CONTRAST = 2.0
"""Standard deviation of a texture, in grey levels, below which it shows no face."""
_COVARIANCE, _CORNERS, _BARYCENTRIC, _RING = "covariance", "corners", "barycentric", "ring"


@dataclass(frozen=True, eq=False)
class IdentityNetwork:
    """A network that estimates identities, for one head.

    Attributes:
        network: In eval mode.
        covariance: (S, S) of the errors of its coefficients.
        layout: Of the windows that it reads.
        head: `HeadData.content_id` of the head whose coefficients these are.
        meta: Description, for the header of the file.
    """

    network: ShapeNetwork
    covariance: Tensor
    layout: WindowLayout
    head: str
    meta: dict[str, str]

    @cached_property
    def precision(self) -> Tensor:
        """The inverse (S, S) of the covariance."""
        return torch.linalg.inv(self.covariance.double()).float()

    @torch.no_grad()
    def predict(self, head: HeadModel, textures: Tensor, features: Tensor) -> Tensor:
        """Return the expected coefficients (B, S), the same for a face and its mirror image.

        Args:
            head: The head.
            textures: (B, 48, 40), 0 to 255, see `face_texture`.
            features: (B, F), see `landmark_features`.
        """
        sign = head.data.shape_mirror_sign
        assert sign is not None
        seen = normalised(textures)
        other, other_features = mirrored(head, seen, features)
        own, mirror_image = self.network(torch.cat([seen, other]), torch.cat([features, other_features])).chunk(2)
        return (own + sign.to(own) * mirror_image) / 2

    def observe(
        self, head: HeadModel, faces: Sequence[FaceObservation], alignment: Similarity
    ) -> tuple[np.ndarray, np.ndarray]:
        """Estimate the identities of detected faces.

        Args:
            head: The head.
            faces: N detected faces.
            alignment: N maps from metres of the head frame to pixels of the photo, y up.

        Returns:
            Coefficients (N, S) float32, and whether there was anything to see, (N,) bool.
        """
        detections = [face.detection for face in faces]
        textures = np.stack(
            [face_texture(self.layout, face.photo.pixels, face.detection.landmarks_px) for face in faces]
        )
        points, depth, scores = (
            torch.from_numpy(np.stack([getattr(each, name) for each in detections])).float()
            for name in ("landmarks_px", "depth", "blendshape_scores")
        )
        own = Similarity(*(each.cpu().float() for each in (alignment.scale, alignment.rotmat, alignment.offset)))
        features = landmark_features(head, points, depth, scores, own)
        # One face at a time, so that the result does not depend on the others of a batch.
        rows = [
            self.predict(head, texture[None], row[None])[0]
            for texture, row in zip(torch.from_numpy(textures), features, strict=True)
        ]
        return torch.stack(rows).numpy(), textures.std(axis=(1, 2)) >= MIN_CONTRAST


def save_identity_network(made: IdentityNetwork, path: Path) -> None:
    """Write a network in half precision.

    Args:
        made: What is written.
        path: The file, .safetensors.
    """
    layout = made.layout
    arrays = {_BARYCENTRIC: layout.barycentric, _RING: layout.ring, _CORNERS: layout.corners.astype(np.int16)}
    others = {_COVARIANCE: made.covariance, **{name: torch.from_numpy(value) for name, value in arrays.items()}}
    tensors = {
        name: value.half().contiguous() if value.is_floating_point() else value.contiguous()
        for name, value in {**made.network.state_dict(), **others}.items()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    metadata = {"head": made.head, "about": json.dumps(made.meta)}
    with atomic_path(path) as temporary:
        temporary.write_bytes(save(tensors, metadata=metadata))


def load_identity_network(path: Path | None = None) -> IdentityNetwork:
    """Read a network for inference.

    Args:
        path: The file; None for the one that comes with the package.

    Raises:
        Smirk3dError: The file is missing or damaged.
    """
    path = find("identity") if path is None else path
    try:
        with safe_open(path, framework="pt") as file:
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no dict
            metadata = file.metadata()
        if not all(bool(value.isfinite().all()) for value in state.values()):
            raise ValueError("it has numbers that are not finite")
        covariance, layout = state.pop(_COVARIANCE).float(), _layout(state)
        network = ShapeNetwork(n_features(), len(covariance))
        network.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in state.items()})
        head, meta = metadata["head"], parse_json(metadata["about"])
    except (OSError, SafetensorError, RuntimeError, KeyError, TypeError, ValueError) as error:
        raise Smirk3dError(
            f"{printable(path)}: cannot be read as the network of identity ({one_line(error)}); reinstall smirk3d"
        ) from error
    return IdentityNetwork(folded(network, ShapeNetwork), covariance, layout, head, meta)


def _layout(state: dict[str, Tensor]) -> WindowLayout:
    """Take the layout of the window out of the tensors of a file.

    Raises:
        ValueError: It is not that of a window.
    """
    corners, barycentric, ring = (state.pop(name) for name in (_CORNERS, _BARYCENTRIC, _RING))
    known, size = SKIN_COUNT + len(ring), (math.prod(grid_size()), 3)
    if corners.shape != size or barycentric.shape != size or ring.shape[1:] != (SKIN_COUNT,):
        raise ValueError("its window has another size")
    if corners.is_floating_point() or corners.min() < 0 or corners.max() >= known:
        raise ValueError("its window refers to landmarks that do not exist")
    return WindowLayout(corners.long().numpy(), barycentric.float().numpy(), ring.float().numpy())


@cache_per_head
def identity_network_of(head: HeadModel) -> IdentityNetwork | None:
    """Return the packaged network where it is of this head with all its components, else None."""
    network = load_identity_network()
    return network if network.head == head.data.content_id and len(network.covariance) == head.n_shape else None
