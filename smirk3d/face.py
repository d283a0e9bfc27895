"""The result for one face in one image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from smirk3d.assets import make_folder
from smirk3d.deferred import Deferred, computed
from smirk3d.equality import EqualByContents
from smirk3d.face_writers import find_face_writer
from smirk3d.geometry.camera import Camera
from smirk3d.geometry.euler import angles_from_rotation
from smirk3d.head import registry
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.head.memoize import cache_per_head
from smirk3d.head.model import HeadModel
from smirk3d.head.retargeting.explicit_joints import resolve_explicit_joints
from smirk3d.head.retargeting.retargeter import find_retargeter
from smirk3d.params import FaceParams
from smirk3d.render.appearance.face_appearance import FaceAppearance

Array: TypeAlias = NDArray[Any]


@dataclass(frozen=True)
class Visibility:
    """Which share of each region of a face is visible, in [0, 1]: not behind something and not outside the photo.

    A turned head hides nothing in this sense, nor do beards, shadows and clear glasses.

    Attributes:
        eyes: Both eyes with their lids.
        mouth: The lips.
        left: The subject's left half of the face, below the forehead.
        right: The right half.
    """

    eyes: float = 1.0
    mouth: float = 1.0
    left: float = 1.0
    right: float = 1.0


@dataclass(frozen=True, eq=False)
class Face(EqualByContents):
    """A reconstructed head: plain arrays and numbers, which can be compared, copied, pickled and sent elsewhere.

    Lengths are metres and positions are in the head frame unless the name says otherwise. The head model itself is not
    part of a face: `head` finds it by `head_id`.

    Attributes:
        vertices: (V, 3) float32, expression and gaze applied, without the rotation of the head.
        neutral_vertices: (V, 3) float32, the same person with a neutral face.
        triangles: (F, 3) int32, counter-clockwise from outside; one read-only array for all faces of a head.
        shape: (S,) float32 identity coefficients.
        expression: (E,) float32 expression coefficients.
        expression_names: E names.
        arkit: The 52 ARKit names in Apple's order -> weight in [0, 1].
        jaw: (3,) float32 rotation vector of the jaw in radians.
        eyelids: (2,) float32 closing of the left and the right eyelid in [0, 1].
        camera: Pose and camera; `camera.rotation_rotmat` rotates the head frame to the camera frame.
        confidence: In [0, 1], from the detector's score, the residual of the fit, and how much is visible.
        method: What estimated it: "fit", "encoder" or "refine".
        image_size: (width, height) of the image in pixels.
        box_px: (4,) x0, y0, x1, y1 of the detected landmarks in pixels.
        residual_percent: Mean distance between fitted and detected landmarks in % of the distance between the outer
            eye corners; NaN where nothing was fitted.
        head_id: Identifier of the head model, see `HeadModel.id`.
        eyes: (6,) float32 rotation vectors of the left and the right eyeball in radians.
        deferred_appearance: What `appearance` returns, computed at its first use.
        visibility: Visible share of each region; weights of hidden regions are shrunk towards the neutral face.
    """

    vertices: Array = field(repr=False)
    neutral_vertices: Array = field(repr=False)
    triangles: Array = field(repr=False)
    shape: Array = field(repr=False)
    expression: Array = field(repr=False)
    expression_names: tuple[str, ...] = field(repr=False)
    arkit: dict[str, float] = field(repr=False)
    jaw: Array = field(repr=False)
    eyelids: Array = field(repr=False)
    camera: Camera
    confidence: float
    method: str
    image_size: tuple[int, int]
    box_px: Array
    residual_percent: float
    head_id: str
    eyes: Array = field(repr=False, default_factory=lambda: np.zeros(6, dtype=np.float32))
    deferred_appearance: Deferred[FaceAppearance] | None = field(repr=False, default=None)
    visibility: Visibility = Visibility()

    @property
    def appearance(self) -> FaceAppearance | None:
        """What the person looks like, which is fitted at its first use; None where the head has no appearance model."""
        return None if self.deferred_appearance is None else self.deferred_appearance.value

    def with_appearance(self, appearance: FaceAppearance | None) -> Face:
        """Return the face with another appearance.

        Args:
            appearance: The appearance, or None.
        """
        return replace(self, deferred_appearance=None if appearance is None else computed(appearance))

    @property
    def head(self) -> HeadModel:
        """The head model, for its regions, texture coordinates and landmark embeddings.

        Raises:
            Smirk3dError: It is neither loaded nor packaged nor cached; load it with `load_head(path)` first.
        """
        return registry.find(self.head_id)

    @property
    def rotation(self) -> Array:
        """The (3, 3) float64 rotation matrix from the head frame to the camera frame."""
        return self.camera.rotation_rotmat

    @property
    def angles_deg(self) -> tuple[float, float, float]:
        """Yaw, pitch and roll in degrees; signs as in `smirk3d.geometry.euler`."""
        return angles_from_rotation(self.rotation)

    def project(self, points: Array) -> Array:
        """Project points into the image.

        Args:
            points: (N, 3) metres in the head frame.

        Returns:
            (N, 2) pixels.
        """
        return self.camera.project(np.asarray(points))

    def landmarks(
        self,
        name: Literal["ibug68", "ibug68_static", "mediapipe"] = "ibug68",
        space: Literal["image", "head"] = "image",
    ) -> Array:
        """Return landmarks of the mesh.

        Args:
            name: The set: 68 points of iBUG in "ibug68" and "ibug68_static", 478 points in "mediapipe".
            space: "image" for pixels, "head" for metres in the head frame.

        Returns:
            (L, 2) in the image or (L, 3) in the head frame.

        Raises:
            ValueError: `space` is neither of the two.
            KeyError: The head has no such landmarks.
        """
        if space not in ("image", "head"):
            raise ValueError(f"space must be 'image' or 'head', not {space!r}")
        embedding = self.head.landmark_embedding(name).to("cpu")
        triangles = torch.as_tensor(self.triangles.astype(np.int64))
        points = embedding.points(torch.as_tensor(self.vertices), triangles).numpy()
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
            ValueError: A name is not one of ARKit's, or a weight is out of its range.
        """
        unknown = sorted(set(weights) - set(ARKIT_NAMES))
        if unknown or not all(0 <= value <= 1 for value in weights.values()):
            raise ValueError(f"weights must be in [0, 1] by ARKit's names; unknown: {', '.join(unknown) or 'none'}")
        head, values = self.head, np.array([weights.get(name, 0.0) for name in ARKIT_NAMES], dtype=np.float32)
        arkit = torch.as_tensor(values)[None]
        transfer = find_retargeter(head)
        params = FaceParams(expression=arkit) if transfer is None else transfer.from_arkit(arkit)
        params = params.to(head.v_template.device)
        coefficients = {"expression": params.expression} | resolve_explicit_joints(head, params, arkit)
        changes: dict[str, Any] = {
            name: value[0].cpu().numpy() for name, value in coefficients.items() if value is not None
        }
        shape = torch.as_tensor(self.shape)[None].to(head.v_template.device)
        changes["vertices"] = head(params.replace(shape=shape)).vertices[0].cpu().numpy()
        return replace(self, arkit=dict(zip(ARKIT_NAMES, values.tolist())), **changes)

    @property
    def is_finite(self) -> bool:
        """Whether all numbers are finite; `residual_percent` may be NaN."""
        arrays = (self.vertices, self.neutral_vertices, self.shape, self.expression, self.jaw, self.eyelids, self.eyes)
        pose = (self.camera.rotation_rotmat, self.camera.translation_m, self.camera.scale_px_per_m, self.box_px)
        numbers = (list(self.arkit.values()), self.confidence, astuple(self.visibility))
        return all(bool(np.isfinite(values).all()) for values in (*arrays, *pose, *numbers))

    def save(self, path: str | Path) -> Path:
        """Write the face in the format of the suffix, whole or not at all; missing folders are created.

        Args:
            path: Target, ending in .glb, .gltf, .obj, .ply, .npz or .json (any case), or in a suffix that another
                package registers, see `smirk3d.face_writers`.

        Returns:
            The path written.

        Raises:
            Smirk3dError: The suffix is unknown, or writing failed.
        """
        path = Path(path)
        write = find_face_writer(path)
        make_folder(path.parent)
        write(self, path)
        return path


@dataclass(frozen=True, eq=False)
class ImageFit(EqualByContents):
    """Where a head is in an image, and how well it fits the face there; attributes as in `Face`."""

    camera: Camera
    confidence: float
    method: str
    image_size: tuple[int, int]
    box_px: Array
    residual_percent: float
    visibility: Visibility = Visibility()


def assemble_face(
    head: HeadModel,
    vertices: Array,
    neutral_vertices: Array,
    coefficients: Mapping[str, Array],
    arkit: Array,
    fit: ImageFit,
) -> Face:
    """Return the face of arrays that were computed with a head, and register that head.

    Args:
        head: The model.
        vertices: (V, 3) float32 metres, expression and gaze applied, without the rotation of the head.
        neutral_vertices: (V, 3) float32 metres.
        coefficients: "shape" (S,) and "expression" (E,), and as far as known "jaw" (3,), "eyelids" (2,) and
            "eyes" (6,), which are zeros otherwise; other names are left out.
        arkit: (52,) weights in [0, 1] in Apple's order.
        fit: Camera, confidence and origin.
    """
    return Face(
        vertices=vertices,
        neutral_vertices=neutral_vertices,
        triangles=_triangles(head),
        shape=coefficients["shape"],
        expression=coefficients["expression"],
        expression_names=head.expression_names,
        arkit=dict(zip(ARKIT_NAMES, arkit.tolist(), strict=True)),
        camera=fit.camera,
        confidence=fit.confidence,
        method=fit.method,
        image_size=fit.image_size,
        box_px=fit.box_px,
        residual_percent=fit.residual_percent,
        head_id=registry.register(head),
        visibility=fit.visibility,
        jaw=coefficients.get("jaw", np.zeros(3, np.float32)),
        eyelids=coefficients.get("eyelids", np.zeros(2, np.float32)),
        eyes=coefficients.get("eyes", np.zeros(6, np.float32)),
    )


@cache_per_head
def _triangles(head: HeadModel) -> Array:
    """Return the triangles (F, 3) int32, the same read-only array for all faces of a head."""
    triangles = head.data.faces.cpu().numpy().astype(np.int32)
    triangles.setflags(write=False)
    return triangles
