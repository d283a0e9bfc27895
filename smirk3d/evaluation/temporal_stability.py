"""Jitter of the expression of a face that does not move: one photo as a clip.

A frame is the photo moved by a fraction of a pixel, scaled by up to 2 %, rotated by up to 2° about the face, and with
a little noise: what happens between the frames of a video of a person who keeps still, none of it an expression.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from smirk3d.estimation.estimator import FaceObservation
from smirk3d.evaluation.data import EvaluationData
from smirk3d.evaluation.method_under_test import MethodUnderTest
from smirk3d.evaluation.photos import PhotoSet
from smirk3d.evaluation.result import Figure, MeasureNotApplicableError, Result, values_of
from smirk3d.media.images import Photo
from smirk3d.metrics.stability import jitter_std
from smirk3d.progress import Progress

MAX_CLIPS = 100
FIGURES = (
    Figure("mean_std", better="lower"),
    Figure("worst_action_std", better="lower"),
    Figure("mean_std_between_faces"),
)


@dataclass(frozen=True)
class JitterPerturbation:
    """How far the frames of a clip differ.

    Attributes:
        frames: Number of frames in a clip; 4 to 32.
        shift_px: Largest shift in x and in y, pixels.
        zoom: Largest change of the size, as a share.
        turn_deg: Largest rotation, degrees.
        noise_std: Standard deviation of the noise on colours in [0, 1].
    """

    frames: int = 8
    shift_px: float = 1.0
    zoom: float = 0.02
    turn_deg: float = 2.0
    noise_std: float = 0.01


class JitterMeasure:
    """See `measure_jitter`."""

    name = "jitter"
    summary = "standard deviation of the weights over clips in which the face does not move"
    needs = frozenset({"data"})
    figures = FIGURES
    is_default = True

    def run(self, method: MethodUnderTest, data: EvaluationData) -> Iterator[Result]:
        """Yield one result, on at most `MAX_CLIPS` photos."""
        photos = data.photos.first(MAX_CLIPS)
        with data.progress(self.name, len(photos)) as display:
            yield measure_jitter(method, photos, display, data.generator(), JitterPerturbation())


def jittered_frame(
    pixels: np.ndarray, center_px: np.ndarray, perturbation: JitterPerturbation, generator: torch.Generator
) -> np.ndarray:
    """Return one frame of the clip of a photo.

    Args:
        pixels: (H, W, 3) uint8.
        center_px: (2,) fixed point of rotation and zoom, pixels.
        perturbation: How far the frame differs.
        generator: Source of the random numbers, on the CPU.

    Returns:
        (H, W, 3) uint8; outside of the photo its border is repeated.
    """
    dx, dy, zoom, turn = (2 * torch.rand(4, generator=generator) - 1).tolist()
    factor, angle = 1 + perturbation.zoom * zoom, math.radians(perturbation.turn_deg * turn)
    height, width, _ = pixels.shape
    size = torch.tensor([width, height], dtype=torch.float32)
    center = torch.from_numpy(np.asarray(center_px, np.float32))
    shift = perturbation.shift_px * torch.tensor([dx, dy])
    # Backward mapping: for each pixel of the frame, where it comes from in the photo.
    inverse = torch.tensor([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]]) / factor
    rows, columns = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    source = (torch.stack([columns, rows], dim=-1) - center - shift) @ inverse.T + center
    photo = torch.tensor(pixels).permute(2, 0, 1)[None].float()
    grid = (2 * source / size - 1)[None]
    moved = functional.grid_sample(photo, grid, padding_mode="border", align_corners=False)[0]
    moved = moved + 255 * perturbation.noise_std * torch.randn(moved.shape, generator=generator)
    return moved.clamp(0, 255).round().byte().permute(1, 2, 0).contiguous().numpy()


def measure_jitter(
    method: MethodUnderTest,
    photos: PhotoSet,
    display: Progress,
    generator: torch.Generator,
    perturbation: JitterPerturbation = JitterPerturbation(),
) -> Result:
    """Measure how much the weights vary over the clips of photos.

    Args:
        method: Method under test.
        photos: Faces, a clip each.
        display: Counts the faces.
        generator: Source of the random numbers, on the CPU.
        perturbation: How far the frames of a clip differ.

    Raises:
        MeasureNotApplicableError: In no clip a face is found in every frame.
    """
    clips = []
    for batch in photos.batches():
        for face in batch:
            if found := _clip(method, face, generator, perturbation):
                clips.append(method.weights(found))
            display.advance()
    if not clips:
        raise MeasureNotApplicableError("no face was found in any of the photos")
    weights = np.stack(clips)
    std = jitter_std(weights)
    numbers = {
        "mean_std": float(std.mean()),
        "worst_action_std": float(std.max()),
        "mean_std_between_faces": float(weights.mean(axis=1).std(axis=0).mean()),
    }
    left_out = len(photos) - len(clips)
    return Result("jitter", method.method, len(clips), values_of(FIGURES, numbers), {"std": std}, left_out=left_out)


def _clip(
    method: MethodUnderTest, face: FaceObservation, generator: torch.Generator, perturbation: JitterPerturbation
) -> list[FaceObservation]:
    """Return the frames as the method observes them; none where the face is lost in one."""
    photo = face.photo
    center_px = face.detection.landmarks_px.mean(axis=0)
    frames = (
        Photo(jittered_frame(photo.pixels, center_px, perturbation, generator)) for _ in range(perturbation.frames)
    )
    found = [method.observe(FaceObservation(frame, face.detection)) for frame in frames]
    return [each for each in found if each is not None] if None not in found else []
