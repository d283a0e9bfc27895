"""What is evaluated: networks from a file, the packaged ones, the landmark fit, or the detector's own scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import torch

from smirk3d.detection.detector import Detection
from smirk3d.errors import Smirk3dError
from smirk3d.estimation.estimator import FaceObservation
from smirk3d.estimation.landmark_fit import Focal
from smirk3d.estimation.reconstructor import DetectedPhoto, Reconstructor
from smirk3d.estimation.regression import CropEncoder, crop_encoder, head_for
from smirk3d.face import Face
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.head.model import HeadModel
from smirk3d.head.retargeting.retargeter import find_retargeter
from smirk3d.networks.checkpoint import NEURAL_RENDERER, read_networks
from smirk3d.networks.encoder import Encoder
from smirk3d.networks.neural_renderer import NeuralRenderer
from smirk3d.networks.packaged import packaged_encoder, packaged_neural_renderer

PACKAGED, FIT, DETECTOR = "packaged", "fit", "detector"
"""Names in place of a checkpoint's path."""
Method = Literal["encoder", "refine", "fit", "detector"]


class MethodUnderTest(Protocol):
    """A method that predicts expressions, heads or landmarks of observed faces.

    Attributes:
        method: Its name in results.
    """

    method: Method

    @property
    def needs_detection(self) -> bool:
        """Whether the prediction depends on more of the detection than where the face is."""
        ...

    def detect(self, pixels: np.ndarray) -> list[Detection]:
        """Return the faces in (H, W, 3) uint8 RGB pixels, largest first."""
        ...

    def observe(self, known: FaceObservation) -> FaceObservation | None:
        """Return the observation that the method uses of a face with known landmarks, None where none is detected.

        Methods that use landmarks get those that are detected in exactly these pixels, with their depth. Methods
        that use a crop alone get the known landmarks, from which the crop is computed.
        """
        ...

    def landmarks_px(self, observations: Sequence[FaceObservation]) -> np.ndarray:
        """Return MediaPipe's landmarks of the predicted heads in the photos, (B, 478, 2) pixels."""
        ...

    def weights(self, observations: Sequence[FaceObservation]) -> np.ndarray:
        """Return the predicted ARKit weights (B, 52), float32 in [0, 1]."""
        ...

    def features(self, observations: Sequence[FaceObservation]) -> np.ndarray:
        """Return all predicted expression coefficients, (B, K): those of the head, the jaw and the eyelids."""
        ...

    def close(self) -> None:
        """Release the detector."""
        ...


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """Networks that were read, on the CPU.

    Attributes:
        path: The file.
        head: The head that they are for.
        encoder: In eval mode.
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
        renderer = path if has_generator else packaged_neural_renderer() if path == packaged_encoder() else None
        generator = None if renderer is None else NeuralRenderer.from_checkpoint(renderer)
        return Checkpoint(path, sized, encoder, generator)


def checkpoint_path(name: str) -> Path | None:
    """Return the file of networks of a checkpoint argument, None for methods without networks.

    Args:
        name: A path, or `PACKAGED`, `FIT` or `DETECTOR`.

    Raises:
        Smirk3dError: This installation has no packaged weights.
    """
    if name in (FIT, DETECTOR):
        return None
    if name != PACKAGED:
        return Path(name)
    path = packaged_encoder()
    if path is None:
        raise Smirk3dError("this installation has no packaged weights; name a checkpoint, or evaluate 'fit'")
    return path


class ReconstructionMethod:
    """Reconstruction by a network, the landmark fit, or both.

    Args:
        method: "encoder", "refine" or "fit".
        head: Head model of the method.
        device: As for `Reconstructor`.
        checkpoint: Networks; needed by "encoder" and "refine".
        focal: As for `Reconstructor`.
        use_scores: As for `Reconstructor`.

    Raises:
        Smirk3dError: As for `Reconstructor`.
    """

    def __init__(
        self,
        method: Literal["encoder", "refine", "fit"],
        head: HeadModel,
        device: str = "auto",
        checkpoint: Checkpoint | None = None,
        *,
        focal: Focal = "auto",
        use_scores: bool = True,
    ) -> None:
        weights = None if method == "fit" or checkpoint is None else checkpoint.path
        self.method: Method = method
        self._reconstructor = Reconstructor(
            head, method, device, max_faces=1, focal=focal, use_scores=use_scores, weights=weights
        )
        self._retargeter = find_retargeter(self._reconstructor.head)
        self._expression: CropEncoder | None = None
        if method == "encoder" and checkpoint is not None and self._retargeter is None:
            # Only the expression branch runs where weights are all that is needed: a third of the time.
            self._expression = crop_encoder(checkpoint.encoder, "torch", self.device, expression_only=True)

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self._reconstructor.head.v_template.device

    @property
    def needs_detection(self) -> bool:
        """See `MethodUnderTest`."""
        return self.method != "encoder"

    def detect(self, pixels: np.ndarray) -> list[Detection]:
        """See `MethodUnderTest`."""
        return self._reconstructor.detect(pixels)

    def observe(self, known: FaceObservation) -> FaceObservation | None:
        """See `MethodUnderTest`."""
        if not self.needs_detection:
            return known
        found = self.detect(known.photo.pixels)
        return FaceObservation(known.photo, found[0]) if found else None

    def landmarks_px(self, observations: Sequence[FaceObservation]) -> np.ndarray:
        """See `MethodUnderTest`."""
        return np.stack([face.landmarks("mediapipe") for face in self.faces(observations)])

    def weights(self, observations: Sequence[FaceObservation]) -> np.ndarray:
        """See `MethodUnderTest`."""
        if self._expression is None:
            faces = self.faces(observations)
            return np.array([[face.arkit[name] for name in ARKIT_NAMES] for face in faces], np.float32)
        with torch.no_grad():
            params, _ = self._expression(observations)
        assert params.expression is not None
        return params.expression.cpu().numpy()

    def features(self, observations: Sequence[FaceObservation]) -> np.ndarray:
        """See `MethodUnderTest`."""
        if self._retargeter is None:
            return self.weights(observations)
        faces = self.faces(observations)
        return np.stack([np.concatenate([face.expression, face.jaw, face.eyelids]) for face in faces])

    def faces(self, observations: Sequence[FaceObservation]) -> list[Face]:
        """Return the reconstructed face of each observation."""
        photos = [DetectedPhoto(each.photo, (each.detection,)) for each in observations]
        return [found[0] for found in self._reconstructor.solve(photos)]

    def close(self) -> None:
        """See `MethodUnderTest`."""
        self._reconstructor.close()


class DetectorScores:
    """The detector's own 52 blendshape scores, a baseline; nothing is reconstructed.

    Args:
        detector: A method whose detector is used.
    """

    method: Method = "detector"
    needs_detection = True

    def __init__(self, detector: ReconstructionMethod) -> None:
        self._detector = detector

    def detect(self, pixels: np.ndarray) -> list[Detection]:
        """See `MethodUnderTest`."""
        return self._detector.detect(pixels)

    def observe(self, known: FaceObservation) -> FaceObservation | None:
        """See `MethodUnderTest`."""
        found = self.detect(known.photo.pixels)
        return FaceObservation(known.photo, found[0]) if found else None

    def landmarks_px(self, observations: Sequence[FaceObservation]) -> np.ndarray:
        """See `MethodUnderTest`."""
        return np.stack([each.detection.landmarks_px for each in observations])

    def weights(self, observations: Sequence[FaceObservation]) -> np.ndarray:
        """See `MethodUnderTest`."""
        return np.array([each.detection.blendshape_scores for each in observations])

    def features(self, observations: Sequence[FaceObservation]) -> np.ndarray:
        """See `MethodUnderTest`."""
        return self.weights(observations)

    def close(self) -> None:
        """See `MethodUnderTest`."""
        self._detector.close()
