"""Photo in, heads out: the public `Reconstructor`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image

from smirk3d.errors import NoFaceError, Smirk3dError
from smirk3d.face import Face
from smirk3d.geometry.camera import default_focal_px
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.head.load import load_head
from smirk3d.head.model import HeadModel
from smirk3d.pipeline.calibration import load_calibration
from smirk3d.pipeline.detect import Detection, Detector
from smirk3d.pipeline.fit import Fit, FitConfig, Observations, fit_landmarks, place
from smirk3d.pipeline.images import Photo, read_image
from smirk3d.pipeline.landmark_model import landmark_model
from smirk3d.types import FaceParams

Method = Literal["auto", "fit", "encoder", "refine"]
Focal = Literal["auto", "orthographic"] | float
PhotoSource = str | Path | Image.Image | np.ndarray

USUAL_FACES = 4
"""Faces to look for when the caller names no number."""
LANDMARK_SPACING_M = 0.006
"""Landmarks nearer than this to others are left out of the fit, which makes it twice as fast."""
HALF_CONFIDENCE_RESIDUAL = 0.04
"""Mean residual, in distances of the outer eye corners, at which confidence falls to one half."""


@dataclass(frozen=True)
class Prepared:
    """A photo and the faces found in it, largest first; ready to be fitted in a batch with others."""

    photo: Photo
    detections: tuple[Detection, ...]


class Reconstructor:
    """Reconstructs heads from photos.

    Args:
        head: "open", or the path of a head pack.
        method: "fit" (landmarks); "auto" takes the best there is, which is "fit".
        device: "auto", "cpu" or "cuda"; where the numbers are computed.
        max_faces: faces a photo at most, searched for in large photos down to small sizes; None takes up to
            `USUAL_FACES` that are found at first sight.
        focal: camera: focal length in pixels of the photo, "auto" to assume the usual field of view, or
            "orthographic" for the scaled orthographic camera.
        use_scores: let the detector's own 52 scores guide the expression.

    Raises:
        Smirk3dError: the method needs trained weights, the device or the head is missing.
    """

    def __init__(
        self,
        head: str | Path | HeadModel = "open",
        method: Method = "auto",
        device: str = "auto",
        *,
        max_faces: int | None = None,
        focal: Focal = "auto",
        use_scores: bool = True,
    ) -> None:
        if method not in ("auto", "fit"):
            raise Smirk3dError(f"method {method!r} needs trained weights, and none are installed; use --method fit")
        if not isinstance(focal, str) and not focal > 0:
            raise ValueError(f"focal must be a positive number of pixels, not {focal}")
        self.device = _device(device)
        self.head = (head if isinstance(head, HeadModel) else load_head(head)).to(self.device)
        self.focal: Focal = focal
        self.use_scores = use_scores
        if self.head.expression_names != ARKIT_NAMES:
            raise Smirk3dError(
                f"head {self.head.data.name!r}: its expressions are not the 52 ARKit actions; use --head open"
            )
        self._model = landmark_model(self.head, spacing_m=LANDMARK_SPACING_M)
        self._calibration = load_calibration().to(self.device)
        self._detector = Detector(max_faces=max_faces or USUAL_FACES, search_tiles=(max_faces or 1) > 1)

    def __call__(self, photo: PhotoSource) -> list[Face]:
        """Reconstruct every face of a photo, largest first.

        Args:
            photo: path, PIL image, or (H, W, 3) uint8 RGB array.

        Raises:
            Smirk3dError: the photo cannot be read. NoFaceError: no face was found in it.
        """
        return self.solve([self.read_and_detect(photo)])[0]

    def read_and_detect(self, photo: PhotoSource) -> Prepared:
        """Read one photo and find its faces; raises as `__call__`."""
        read = read_image(photo)
        detections = self.detect(read.pixels)
        if not detections:
            name = str(photo) if isinstance(photo, (str, Path)) else "the picture"
            raise NoFaceError(f"{name}: no face found; is a face in the picture, upright and at least 40 pixels high?")
        return Prepared(read, tuple(detections))

    def detect(self, pixels: np.ndarray) -> list[Detection]:
        """Return the faces found in (H, W, 3) uint8 RGB pixels, largest first."""
        return self._detector.detect(pixels)

    def solve(self, prepared: Sequence[Prepared]) -> list[list[Face]]:
        """Fit all faces of several photos together; one list of faces a photo."""
        pairs = [(item.photo, detection) for item in prepared for detection in item.detections]
        if not pairs:
            return [[] for _ in prepared]
        faces = iter(self._fit(pairs, torch.arange(len(pairs))))
        return [[next(faces) for _ in item.detections] for item in prepared]

    def fit_identity(self, photos: Sequence[PhotoSource]) -> list[Face]:
        """Reconstruct the largest face of each photo of one person, with one shape for all; raises as `__call__`."""
        prepared = [self.read_and_detect(photo) for photo in photos]
        if not prepared:
            return []
        pairs = [(item.photo, item.detections[0]) for item in prepared]
        return self._fit(pairs, torch.zeros(len(pairs), dtype=torch.int64))

    def close(self) -> None:
        """Release the detector."""
        self._detector.close()

    def __enter__(self) -> Reconstructor:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _fit(self, pairs: Sequence[tuple[Photo, Detection]], person: torch.Tensor) -> list[Face]:
        with torch.no_grad():
            seen = self._observations(pairs, person)
            fit = fit_landmarks(self._model, seen, FitConfig())
            shape, expression = fit.coefficients.split([self._model.n_shape, self.head.n_expression], dim=1)
            neutral = self.head.shaped(shape).vertices.cpu().numpy()
            vertices = self.head(FaceParams(shape=shape, expression=expression)).vertices.cpu().numpy()
        shape, expression = shape.cpu().numpy(), expression.cpu().numpy()
        return [
            self._face(pairs[k], fit, k, (vertices[k], neutral[k]), (shape[k], expression[k]))
            for k in range(len(pairs))
        ]

    def _observations(self, pairs: Sequence[tuple[Photo, Detection]], person: torch.Tensor) -> Observations:
        def stack(arrays: list) -> torch.Tensor:
            return torch.from_numpy(np.stack(arrays)).float().to(self.device)

        points_px = stack([detection.landmarks_px for _, detection in pairs])
        depth_px = stack([detection.depth for _, detection in pairs])
        scores = stack([detection.blendshape_scores for _, detection in pairs]) if self.use_scores else None
        guess, guess_std = self._calibration.guess(points_px, depth_px, scores)
        photos = [photo for photo, _ in pairs]
        return Observations(
            points_px=points_px,
            depth_px=depth_px,
            center_px=stack([np.array(_size(photo)) / 2 for photo in photos]),
            focal_px=self._focal_px(photos, points_px, depth_px),
            guess=guess,
            guess_std=guess_std,
            person=person.to(self.device),
        )

    def _focal_px(self, photos: Sequence[Photo], points_px: torch.Tensor, depth_px: torch.Tensor) -> torch.Tensor:
        """Return the focal lengths (B,) of photos with these faces in them."""
        if self.focal == "orthographic":
            return points_px.new_full((len(photos),), float("inf"))
        if self.focal != "auto":
            # The focal length is that of the file, whose pixels a photo limited in size no longer has.
            return points_px.new_tensor([float(self.focal) * photo.scale for photo in photos])
        scale = place(self._model, points_px[:, self._model.index], depth_px[:, self._model.index]).scale.tolist()
        return points_px.new_tensor([default_focal_px(*_size(photo), each) for photo, each in zip(photos, scale)])

    def _face(
        self,
        pair: tuple[Photo, Detection],
        fit: Fit,
        index: int,
        meshes: tuple[np.ndarray, np.ndarray],
        coefficients: tuple[np.ndarray, np.ndarray],
    ) -> Face:
        photo, detection = pair
        shape, expression = coefficients
        residual = float(fit.residual[index].mean())
        arkit = dict(zip(ARKIT_NAMES, expression.tolist()))
        readout = self.head.data.jaw_readout
        return Face(
            vertices=meshes[0],
            neutral_vertices=meshes[1],
            triangles=self.head.data.faces.numpy(),
            shape=shape,
            expression=expression,
            expression_names=self.head.expression_names,
            arkit=arkit,
            # Where the jaw is a joint of its own, the fit leaves it at rest.
            jaw=np.zeros(3, dtype=np.float32) if readout is None else expression @ readout.numpy(),
            eyelids=np.array([arkit["eyeBlinkLeft"], arkit["eyeBlinkRight"]], dtype=np.float32),
            camera=fit.pose.camera(index),
            confidence=float(detection.score) / (1 + (residual / HALF_CONFIDENCE_RESIDUAL) ** 2),
            method="fit",
            image_size=_size(photo),
            box_px=detection.box_px,
            residual_percent=100 * residual,
            head=self.head,
        )


def _size(photo: Photo) -> tuple[int, int]:
    """Return width and height in pixels."""
    return photo.pixels.shape[1], photo.pixels.shape[0]


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise Smirk3dError(f"device {name!r} is not available; use --device cpu")
    return torch.device(name)
