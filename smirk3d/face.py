"""The result for one face in one picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from smirk3d.geometry.camera import Camera
from smirk3d.geometry.euler import angles_from_rotation
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.head.model import HeadModel
from smirk3d.head.retargeting.explicit_joints import resolve_explicit_joints
from smirk3d.head.retargeting.retargeter import find_retargeter
from smirk3d.params import FaceParams


@dataclass(frozen=True)
class Face:
    """A reconstructed head: metres and head frame unless the name says otherwise, float32.

    Attributes:
        vertices: (V, 3) expression and gaze applied, head not turned.
        neutral_vertices: (V, 3) the same person with a neutral face.
        triangles: (F, 3) int64.
        shape: (S,) identity coefficients. expression: (E,) expression coefficients.
        expression_names: E names.
        arkit: the 52 ARKit names in Apple's order -> weight in [0, 1].
        jaw: (3,) rotation vector of the jaw. eyelids: (2,) left and right closing in [0, 1].
        camera: pose and camera; `camera.rotation_rotmat` turns the head into the camera frame.
        confidence: in [0, 1], from the detector and the residual of the fit.
        method: what estimated it: "fit", "encoder" or "refine".
        image_size: (width, height) of the picture in pixels.
        box_px: (4,) x0, y0, x1, y1 of the detected landmarks.
        residual_percent: mean distance of fitted and detected landmarks, % of the outer eye corners' distance.
        head: the model, for its faces, regions and landmark embeddings.
        eyes: (6,) rotation vectors of the left and the right eyeball.
    """

    vertices: np.ndarray = field(repr=False)
    neutral_vertices: np.ndarray = field(repr=False)
    triangles: np.ndarray = field(repr=False)
    shape: np.ndarray = field(repr=False)
    expression: np.ndarray = field(repr=False)
    expression_names: tuple[str, ...] = field(repr=False)
    arkit: dict[str, float] = field(repr=False)
    jaw: np.ndarray = field(repr=False)
    eyelids: np.ndarray = field(repr=False)
    camera: Camera
    confidence: float
    method: str
    image_size: tuple[int, int]
    box_px: np.ndarray
    residual_percent: float
    head: HeadModel = field(repr=False)
    eyes: np.ndarray = field(repr=False, default_factory=lambda: np.zeros(6, dtype=np.float32))

    @property
    def rotation(self) -> np.ndarray:
        """The (3, 3) rotation from the head frame to the camera frame."""
        return self.camera.rotation_rotmat

    @property
    def angles_deg(self) -> tuple[float, float, float]:
        """Yaw, pitch and roll in degrees; signs as in `smirk3d.geometry.euler`."""
        return angles_from_rotation(self.rotation)

    def project(self, points: np.ndarray) -> np.ndarray:
        """Return the image pixels (N, 2) of points (N, 3) in the head frame."""
        return self.camera.project(np.asarray(points))

    def landmarks(
        self,
        name: Literal["ibug68", "ibug68_static", "mediapipe"] = "ibug68",
        space: Literal["image", "head"] = "image",
    ) -> np.ndarray:
        """Return landmarks of the mesh: (L, 2) pixels in the image, or (L, 3) metres in the head frame."""
        if space not in ("image", "head"):
            raise ValueError(f"space must be 'image' or 'head', not {space!r}")
        embedding = self.head.landmark_embedding(name).to("cpu")
        points = embedding.points(torch.from_numpy(self.vertices), torch.from_numpy(self.triangles)).numpy()
        return self.project(points) if space == "image" else points

    def strongest(self, count: int = 5) -> list[tuple[str, float]]:
        """Return the `count` largest ARKit weights as (name, weight), largest first."""
        return sorted(self.arkit.items(), key=lambda item: -item[1])[:count]

    @torch.no_grad()
    def with_arkit(self, weights: Mapping[str, float]) -> Face:
        """Return the same person in the same pose with another expression.

        Args:
            weights: ARKit names -> weights in [0, 1]; those that are not named are 0.

        Raises:
            ValueError: A name is none of ARKit's, or a weight is out of its range.
        """
        unknown = sorted(set(weights) - set(ARKIT_NAMES))
        if unknown or not all(0 <= value <= 1 for value in weights.values()):
            raise ValueError(f"weights must be in [0, 1] by ARKit's names; unknown: {', '.join(unknown) or 'none'}")
        wanted = torch.tensor([[weights.get(name, 0.0) for name in ARKIT_NAMES]])
        shape, actions = torch.from_numpy(self.shape)[None], find_retargeter(self.head)
        params = FaceParams(expression=wanted) if actions is None else actions.from_arkit(wanted)
        params = params.to(self.head.v_template.device)
        said = {"expression": params.expression} | resolve_explicit_joints(self.head, params, wanted)
        fields = {name: value[0].cpu().numpy() for name, value in said.items() if value is not None}
        mesh = self.head(params.replace(shape=shape.to(self.head.v_template.device)))
        names = dict(zip(ARKIT_NAMES, wanted[0].tolist()))
        return replace(self, vertices=mesh.vertices[0].cpu().numpy(), arkit=names, **fields)

    def save(self, path: str | Path) -> Path:
        """Write the face in the format of the suffix: .glb .gltf .obj .ply .npz .json; return the path.

        Raises:
            Smirk3dError: the suffix is unknown.
        """
        from smirk3d.export import save_face

        return save_face(self, Path(path))
