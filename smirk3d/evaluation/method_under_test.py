"""What is evaluated: networks from a file, the shipped ones, or the landmark fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from smirk3d.detection.detector import Detection
from smirk3d.errors import Smirk3dError
from smirk3d.estimation.estimator import FaceObservation
from smirk3d.estimation.reconstructor import DetectedPhoto, Reconstructor
from smirk3d.estimation.regression import CropEncoder, crop_encoder, head_for
from smirk3d.face import Face
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.head.model import HeadModel
from smirk3d.head.retargeting.retargeter import find_retargeter
from smirk3d.media.images import Photo
from smirk3d.networks.checkpoint import NEURAL_RENDERER, read_networks
from smirk3d.networks.encoder import Encoder
from smirk3d.networks.neural_renderer import NeuralRenderer
from smirk3d.networks.packaged import packaged_encoder, packaged_neural_renderer

SHIPPED, FIT = "shipped", "fit"
"""Words in place of a checkpoint's path."""
Method = Literal["encoder", "refine", "fit"]


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """Networks that were read, on the CPU.

    Attributes:
        path: The file. head: The head that they are for. encoder: In eval mode.
        generator: The neural renderer in eval mode, None where there is none.
    """

    path: Path
    head: HeadModel
    encoder: Encoder
    generator: NeuralRenderer | None

    @staticmethod
    def read(path: Path, head: HeadModel) -> Checkpoint:
        """Read a file of networks.

        Raises:
            Smirk3dError: It cannot be read, holds no encoder, or was trained for another head.
        """
        encoder = Encoder.from_checkpoint(path)
        sized = head_for(encoder.spec, head, path)
        has_generator = any(name.startswith(NEURAL_RENDERER) for name in read_networks(path).tensors)
        # The package has its two networks in a file each.
        painter = path if has_generator else packaged_neural_renderer() if path == packaged_encoder() else None
        generator = None if painter is None else NeuralRenderer.from_checkpoint(painter)
        return Checkpoint(path, sized, encoder, generator)


def checkpoint_path(word: str) -> Path | None:
    """Return the file that a checkpoint's path or one of the words `SHIPPED` and `FIT` stands for; None for the fit.

    Raises:
        Smirk3dError: This installation has no shipped weights.
    """
    if word == FIT:
        return None
    if word != SHIPPED:
        return Path(word)
    path = packaged_encoder()
    if path is None:
        raise Smirk3dError("this installation has no shipped weights; name a checkpoint, or evaluate 'fit'")
    return path


class MethodUnderTest:
    """A method of reconstruction under test.

    Args:
        method: "encoder", "refine" or "fit".
        head: For the method. device: As for `Reconstructor`.
        checkpoint: Needed by the methods that run an encoder.

    Raises:
        Smirk3dError: As for `Reconstructor`.
    """

    def __init__(
        self, method: Method, head: HeadModel, device: str = "auto", checkpoint: Checkpoint | None = None
    ) -> None:
        weights = None if method == "fit" or checkpoint is None else checkpoint.path
        self.method: Method = method
        self._reconstructor = Reconstructor(head, method, device, max_faces=1, weights=weights)
        self._actions = find_retargeter(self._reconstructor.head)
        self._expression: CropEncoder | None = None
        if method == "encoder" and checkpoint is not None and self._actions is None:
            # The one branch that tells the expression takes a third of the time.
            self._expression = crop_encoder(checkpoint.encoder, "torch", self.device, expression_only=True)

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self._reconstructor.head.v_template.device

    @property
    def reads_landmarks(self) -> bool:
        """Whether the answer depends on more of the detection than where the face is."""
        return self.method != "encoder"

    def detect(self, pixels: np.ndarray) -> list[Detection]:
        """Return the faces in (H, W, 3) uint8 RGB pixels, largest first."""
        return self._reconstructor.detect(pixels)

    def look(self, photo: Photo, known: Detection) -> FaceObservation | None:
        """Return the face of a photo as the method gets to see it, or None where it would not be found.

        What reads landmarks sees those of the detector, with their depth, in exactly this picture. What reads a
        crop alone sees it where the landmarks are known to be.
        """
        if not self.reads_landmarks:
            return FaceObservation(photo, known)
        found = self.detect(photo.pixels)
        return FaceObservation(photo, found[0]) if found else None

    def landmarks_px(self, face_observations: Sequence[FaceObservation]) -> np.ndarray:
        """Return where MediaPipe's points of the heads are in the photos, (B, 478, 2) pixels."""
        return np.stack([face.landmarks("mediapipe") for face in self._faces(face_observations)])

    def weights(self, face_observations: Sequence[FaceObservation]) -> np.ndarray:
        """Return the ARKit weights (B, 52), float32 in [0, 1]."""
        if self._expression is None:
            return np.array(
                [[face.arkit[name] for name in ARKIT_NAMES] for face in self._faces(face_observations)], np.float32
            )
        with torch.no_grad():
            params, _ = self._expression(face_observations)
        assert params.expression is not None
        return params.expression.cpu().numpy()

    def features(self, face_observations: Sequence[FaceObservation]) -> np.ndarray:
        """Return what the method says of expressions, (B, K): coefficients, and jaw and eyelids beside them."""
        if self._actions is None:
            return self.weights(face_observations)
        parts = [np.concatenate([face.expression, face.jaw, face.eyelids]) for face in self._faces(face_observations)]
        return np.stack(parts)

    def _faces(self, face_observations: Sequence[FaceObservation]) -> list[Face]:
        prepared = [DetectedPhoto(each.photo, (each.detection,)) for each in face_observations]
        return [found[0] for found in self._reconstructor.solve(prepared)]

    def close(self) -> None:
        """Release the detector."""
        self._reconstructor.close()
