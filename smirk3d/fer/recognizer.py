"""Photo in, emotions out: detection, head reconstruction, expression vector."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from smirk3d.estimation.photo_source import PhotoSource
from smirk3d.estimation.reconstructor import DetectedPhoto, Reconstructor
from smirk3d.face import Face
from smirk3d.fer.action_units import action_units
from smirk3d.fer.emotions import EMOTIONS, valence_arousal
from smirk3d.fer.face_windows import WINDOW_PX, face_window
from smirk3d.fer.occlusion.patches import SIDE_PX
from smirk3d.fer.occlusion.repair import flattened, reduced, repair_windows
from smirk3d.fer.occlusion.views import mean_of_views
from smirk3d.fer.vectors import expressions_of
from smirk3d.media.images import Photo


@dataclass(frozen=True, eq=False)
class FaceEmotion:
    """The expression of one face.

    Attributes:
        face: The reconstructed head, with box, pose, ARKit weights and visibility.
        probabilities: Emotion -> calibrated probability, in the order of `smirk3d.fer.emotions.EMOTIONS`.
        valence: In [-1, 1], the expected place of the probabilities on the circumplex.
        arousal: In [-1, 1], likewise.
        action_units: Action unit -> strength in [0, 1], by `smirk3d.fer.action_units` from the ARKit weights.
        vector: (256,) float32 expression vector.
        window: (48, 48) uint8, what the network has read.
        occluded: Occluded share of the window, which was rebuilt; None where it was not looked for.
    """

    face: Face = field(repr=False)
    probabilities: dict[str, float]
    valence: float
    arousal: float
    action_units: dict[str, float] = field(repr=False)
    vector: np.ndarray = field(repr=False)
    window: np.ndarray = field(repr=False)
    occluded: float | None = None

    @property
    def emotion(self) -> str:
        """The most probable emotion."""
        return max(self.probabilities, key=lambda name: self.probabilities[name])


class EmotionRecognizer:
    """Recognises the emotions of the faces in photos.

    Args:
        max_faces: Largest number of faces of a photo; see `Reconstructor`.
        weights: File of `smirk3d fer train`; None: the packaged network.
        repair: Rebuild what hides parts of a face before its emotions are recognised, and flatten the probabilities
            with the occluded share.
        reconstructor: Detects and reconstructs faces; None: the default one. It is closed with this object only where
            it was made here.
    """

    def __init__(
        self,
        max_faces: int | None = None,
        *,
        weights: str | os.PathLike[str] | None = None,
        repair: bool = False,
        reconstructor: Reconstructor | None = None,
    ) -> None:
        self._is_owner = reconstructor is None
        self._reconstructor = Reconstructor(max_faces=max_faces) if reconstructor is None else reconstructor
        self._weights, self._repairs = weights, repair

    def __call__(self, photo: PhotoSource) -> list[FaceEmotion]:
        """Return the faces of a photo, largest first.

        Args:
            photo: As for `Reconstructor`.

        Raises:
            NoFaceError: No face was found.
            Smirk3dError: The photo or the network cannot be read.
        """
        return self.recognize_photo(photo)[1]

    def recognize_photo(self, photo: PhotoSource) -> tuple[Photo, list[FaceEmotion]]:
        """Return a photo as it was read, and its faces; otherwise as `__call__`."""
        detected = self._reconstructor.read_and_detect(photo)
        return detected.photo, self.recognize(detected)

    def recognize(self, photo: DetectedPhoto) -> list[FaceEmotion]:
        """Return the expressions of detected faces, in their order."""
        (faces,) = self._reconstructor.solve([photo])
        points = [each.landmarks_px for each in photo.detections]
        windows = face_windows([(photo.photo.pixels, each) for each in points], self._repairs)
        return face_emotions(faces, windows, self._weights)

    def close(self) -> None:
        """Free the detector."""
        if self._is_owner:
            self._reconstructor.close()


@dataclass(frozen=True, eq=False)
class FaceWindows:
    """Windows of N faces.

    Attributes:
        original: (N, 48, 48) uint8.
        repaired: (N, 48, 48) uint8, those with occluded patches rebuilt; None: not repaired.
        core: (N, 12, 12) bool, see `Repaired`; None: not repaired.
        shares: (N,) occluded shares; None: not repaired.
    """

    original: np.ndarray
    repaired: np.ndarray | None = None
    core: np.ndarray | None = None
    shares: np.ndarray | None = None


def face_windows(places: Sequence[tuple[np.ndarray, np.ndarray]], repair: bool = False) -> FaceWindows:
    """Return the windows of faces.

    Args:
        places: Pixels (H, W, 3) uint8 of the photo and landmarks (478, 2) of each face, at least one.
        repair: Rebuild what hides parts of the faces.
    """
    windows = np.stack([face_window(pixels, points) for pixels, points in places])
    if not repair:
        return FaceWindows(windows)
    found = repair_windows(np.stack([face_window(pixels, points, SIDE_PX) for pixels, points in places]))
    small = np.stack([reduced(each, WINDOW_PX) for each in found.windows])
    repaired = np.where(found.core.any(axis=(1, 2), keepdims=True), small, windows)
    return FaceWindows(windows, repaired, found.core, found.shares)


def face_emotions(
    faces: Sequence[Face], windows: FaceWindows, weights: str | os.PathLike[str] | None = None
) -> list[FaceEmotion]:
    """Return the expressions of faces that have been reconstructed.

    Args:
        faces: N faces, at least one.
        windows: Of them. Repaired faces are recognised in several views, see `mean_of_views`, and the probabilities are
            flattened by the occluded shares.
        weights: As for `EmotionRecognizer`.
    """
    shown = windows.original if windows.repaired is None else windows.repaired
    predicted = expressions_of(shown, weights)
    probabilities = predicted.probabilities
    if windows.core is not None and windows.shares is not None:
        probabilities = mean_of_views(
            lambda each: expressions_of(each, weights).probabilities, windows.original, shown, windows.core
        )
        probabilities = flattened(probabilities, windows.shares)
    places = valence_arousal(probabilities)
    return [
        FaceEmotion(
            face=face,
            probabilities=dict(zip(EMOTIONS, probabilities[k].tolist())),
            valence=float(places[k, 0]),
            arousal=float(places[k, 1]),
            action_units=action_units(face.arkit),
            vector=predicted.vectors[k],
            window=shown[k],
            occluded=None if windows.shares is None else float(windows.shares[k]),
        )
        for k, face in enumerate(faces)
    ]
