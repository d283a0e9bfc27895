"""How much the expression of a face trembles that does not move: one photo as a clip.

A frame is the photo moved by a fraction of a pixel, scaled by up to 2 %, turned by up to 2° about the face, and with a
little noise: what happens between the frames of a video of somebody who keeps still, none of it an expression.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from smirk3d.estimation.estimator import FaceObservation
from smirk3d.evaluation.method_under_test import MethodUnderTest
from smirk3d.evaluation.photos import PhotoSet
from smirk3d.evaluation.report import MeasureNotApplicableError, Result
from smirk3d.media.images import Photo
from smirk3d.metrics.stability import jitter_std
from smirk3d.progress import Progress


@dataclass(frozen=True)
class JitterPerturbation:
    """How far frames go.

    Attributes:
        frames: In a clip. shift_px: Most in x and in y. zoom: Most change of the size, as a share.
        turn_deg: Most rotation. noise_std: Of the noise on colours in [0, 1].
    """

    frames: int = 8
    shift_px: float = 1.0
    zoom: float = 0.02
    turn_deg: float = 2.0
    noise_std: float = 0.01


def frame(
    pixels: np.ndarray, center_px: np.ndarray, tremble: JitterPerturbation, generator: torch.Generator
) -> np.ndarray:
    """Return one frame of the clip of a photo.

    Args:
        pixels: (H, W, 3) uint8. center_px: (2,) what it turns and grows about. tremble: How far.
        generator: Source of the random numbers.

    Returns:
        (H, W, 3) uint8; what comes from outside of the photo repeats its border.
    """
    dx, dy, zoom, turn = (2 * torch.rand(4, generator=generator) - 1).tolist()
    factor, angle = 1 + tremble.zoom * zoom, math.radians(tremble.turn_deg * turn)
    height, width, _ = pixels.shape
    size = torch.tensor([width, height], dtype=torch.float32)
    center = torch.from_numpy(np.asarray(center_px, np.float32))
    shift = tremble.shift_px * torch.tensor([dx, dy])
    back = torch.tensor([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]]) / factor
    rows, columns = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    source = (torch.stack([columns, rows], dim=-1) - center - shift) @ back.T + center
    photo = torch.tensor(pixels).permute(2, 0, 1)[None].float()
    grid = (2 * source / size - 1)[None]
    moved = functional.grid_sample(photo, grid, padding_mode="border", align_corners=False)[0]
    moved = moved + 255 * tremble.noise_std * torch.randn(moved.shape, generator=generator)
    return moved.clamp(0, 255).round().byte().permute(1, 2, 0).contiguous().numpy()


def measure_jitter(
    subject: MethodUnderTest,
    photos: PhotoSet,
    display: Progress,
    generator: torch.Generator,
    tremble: JitterPerturbation = JitterPerturbation(),
) -> Result:
    """Measure how much the weights vary over clips of photos.

    Raises:
        CannotMeasureError: In no clip a face is found in every frame.
    """
    clips = []
    for batch in photos.batches():
        for seen in batch:
            if found := _clip(subject, seen, generator, tremble):
                clips.append(subject.weights(found))
            display.advance()
    if not clips:
        raise MeasureNotApplicableError("no face was found in any of the photos")
    weights = np.stack(clips)
    each = jitter_std(weights)
    figures = {
        "mean_std": float(each.mean()),
        "worst_action_std": float(each.max()),
        "mean_std_between_faces": float(weights.mean(axis=1).std(axis=0).mean()),
    }
    return Result("jitter", subject.method, len(clips), figures, {"std": each}, len(photos) - len(clips))


def _clip(
    subject: MethodUnderTest, seen: FaceObservation, generator: torch.Generator, tremble: JitterPerturbation
) -> list[FaceObservation]:
    """Return the frames as the method sees them; none where a face is lost in one."""
    photo, known = seen.photo, seen.detection
    center_px = known.landmarks_px.mean(axis=0)
    frames = (Photo(frame(photo.pixels, center_px, tremble, generator)) for _ in range(tremble.frames))
    looks = [subject.look(each, known) for each in frames]
    return [look for look in looks if look is not None] if None not in looks else []
