"""Clips with known motion: rendered people who talk, and photos that move in their plane."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from smirk3d.authoring.load import load_head
from smirk3d.geometry.euler import rotation_from_angles
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.params import FaceParams
from smirk3d.render.appearance.procedural_face import ProceduralFaceRenderer, project_head_perspective
from smirk3d.render.appearance.randomization import random_appearance, random_background, random_light, simulate_sensor

SIZE_PX, FPS = (640, 480), 25
FOCAL_PX, DISTANCE_M = 700.0, 0.8
SHAPE_STD = 0.8
BLINK_WEIGHTS = (0.5, 1.0, 0.6)
"""Weights of a blink in its three frames, 120 ms."""
BLINK_PERIOD_S, FIRST_BLINK_S = 1.7, 0.6
RAMP_S = 0.3
CRF = "18"
"""Quality of the encoder, visually lossless."""


@dataclass(frozen=True, eq=False)
class TalkingMotion:
    """What a talking person does, frame by frame.

    Attributes:
        weights: (T, 52) float32 ARKit weights in [0, 1].
        angles_deg: (T, 3) yaw, pitch and roll, degrees.
    """

    weights: np.ndarray
    angles_deg: np.ndarray


def talking_motion(n_frames: int) -> TalkingMotion:
    """Return the motion of a person who talks, blinks, smiles, frowns, looks aside and turns; 10 s show it all."""
    time_s = np.arange(n_frames) / FPS
    weights = np.zeros((n_frames, len(ARKIT_NAMES)), dtype=np.float32)

    def add(curve: np.ndarray, *names: str) -> None:
        for name in names:
            weights[:, ARKIT_NAMES.index(name)] += curve.astype(np.float32)

    def ramp(start_s: float, stop_s: float) -> np.ndarray:
        return np.clip(np.minimum(time_s - start_s, stop_s - time_s) / RAMP_S, 0, 1)

    syllables = (0.5 - 0.5 * np.cos(2 * np.pi * 2.6 * time_s)) * (0.6 + 0.4 * np.sin(2 * np.pi * 0.7 * time_s))
    add(0.6 * syllables * ramp(0.2, 6.2), "jawOpen")
    add(0.7 * (0.5 - 0.5 * np.cos(2 * np.pi * 1.1 * time_s)) * ramp(0.5, 3.0), "mouthFunnel")
    add(0.8 * ramp(3.4, 4.8), "mouthSmileLeft")
    add(0.8 * ramp(6.4, 8.0), "mouthSmileLeft", "mouthSmileRight")
    add(0.8 * ramp(8.4, 9.6), "mouthPucker")
    add(0.8 * ramp(1.0, 2.2) + 0.8 * ramp(7.0, 8.2), "browInnerUp")
    add(0.8 * ramp(4.6, 5.8), "browDownLeft", "browDownRight")
    add(0.7 * ramp(2.4, 3.6), "eyeLookOutLeft", "eyeLookInRight")
    add(0.7 * ramp(5.0, 6.0), "eyeLookInLeft", "eyeLookOutRight")
    blinks = [ARKIT_NAMES.index(name) for name in ("eyeBlinkLeft", "eyeBlinkRight")]
    for start in range(int(FIRST_BLINK_S * FPS), n_frames - 4, int(BLINK_PERIOD_S * FPS)):
        for offset, value in enumerate(BLINK_WEIGHTS):
            weights[start + offset, blinks] = value
    angles = np.stack([18 * np.sin(0.9 * time_s), 7 * np.sin(1.7 * time_s), 5 * np.sin(1.3 * time_s + 1)], axis=1)
    return TalkingMotion(weights.clip(0, 1), angles)


def write_talking_clip(path: Path, motion: TalkingMotion, seed: int) -> None:
    """Render a video of a random person with a known motion.

    Args:
        path: The .mp4 to write.
        motion: Expressions and poses.
        seed: Of the person, the appearance, the light, the background and the noise.
    """
    head, random = load_head(), torch.Generator().manual_seed(seed)
    renderer = ProceduralFaceRenderer(head)
    shape = SHAPE_STD * torch.randn(head.n_shape, generator=random)
    appearance, light = random_appearance(random), random_light(random)
    background = random_background(SIZE_PX[0], random)
    margin = (SIZE_PX[0] - SIZE_PX[1]) // 2
    center = head.v_template[head.region_mask("face")].mean(0)

    def frames() -> Iterable[np.ndarray]:
        for expression, angles in zip(torch.from_numpy(motion.weights), motion.angles_deg):
            with torch.no_grad():
                vertices = head(FaceParams(shape=shape, expression=expression)).vertices
            rotmat = torch.from_numpy(rotation_from_angles(*angles)).float()
            translation = -rotmat @ center - torch.tensor([0.0, 0.0, DISTANCE_M])
            view = project_head_perspective(vertices, rotmat, translation, FOCAL_PX / (SIZE_PX[0] / 2))
            image = simulate_sensor(renderer.render(view, SIZE_PX[0], appearance, light, background), random)
            yield np.ascontiguousarray(_pixels(image)[margin:-margin])

    write_clip(path, frames())


def _pixels(image: Tensor) -> np.ndarray:
    """Return the pixels (S, S, 3) uint8 of an image (3, S, S) or (1, 3, S, S) in [0, 1]."""
    single = image[0] if image.dim() == 4 else image
    return single.clamp(0, 1).mul(255).byte().permute(1, 2, 0).numpy()


@dataclass(frozen=True, eq=False)
class StillPhoto:
    """A photo that is to move in its plane.

    Attributes:
        name: Name of the clip.
        photo: RGB.
        center_px: (x, y) of the face, pixels.
    """

    name: str
    photo: Image.Image
    center_px: tuple[float, float]


def write_moving_photo(still: StillPhoto, path: Path, n_frames: int) -> np.ndarray:
    """Write a video of a photo that rotates by 12° to both sides, zooms by more than a quarter and pans.

    Args:
        still: The photo.
        path: The .mp4 to write.
        n_frames: T, one period of the motion.

    Returns:
        (T, 2) roll in degrees and zoom as a factor.
    """
    phases = 2 * np.pi * np.arange(n_frames) / n_frames
    motion = np.stack([12 * np.sin(phases), 1.25 + 0.35 * np.sin(2 * phases)], axis=1)

    def frames() -> Iterable[np.ndarray]:
        for phase, (roll, zoom) in zip(phases, motion):
            cosine, sine = np.cos(np.deg2rad(roll)) / zoom, np.sin(np.deg2rad(roll)) / zoom
            inverse = np.array([[cosine, sine], [-sine, cosine]])
            target = np.array(SIZE_PX) / 2 + (60 * np.sin(phase), 30 * np.cos(phase) - 20)
            start = still.center_px - inverse @ target
            coefficients = (*inverse[0], start[0], *inverse[1], start[1])
            moved = still.photo.transform(SIZE_PX, Image.Transform.AFFINE, coefficients, Image.Resampling.BICUBIC)
            yield np.asarray(moved)

    write_clip(path, frames())
    return motion


def write_clip(path: Path, frames: Iterable[np.ndarray]) -> None:
    """Write a video at `FPS`.

    Args:
        path: The .mp4 to write.
        frames: Each (480, 640, 3) uint8 RGB.
    """
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"crf": CRF})
        stream.width, stream.height, stream.pix_fmt = *SIZE_PX, "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
