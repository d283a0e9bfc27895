"""Face windows of synthetic clips: a random person in a random light, moved, rendered small, and degraded."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from smirk3d.datasets.synthetic.emotion_clips.motion import HARDNESS, ClipMotion
from smirk3d.datasets.synthetic.occluders import HELD_OUT_KINDS, TRAINING_KINDS, occlude, visible_shares
from smirk3d.detection.crop import Crop
from smirk3d.fer.face_windows import WINDOW_PX, face_window
from smirk3d.geometry.euler import rotation_from_angles
from smirk3d.head.arkit import ARKIT_NAMES, GAZE_NAMES
from smirk3d.head.model import HeadModel
from smirk3d.params import FaceParams
from smirk3d.render.appearance import randomization
from smirk3d.render.appearance.appearance_model import supports
from smirk3d.render.appearance.appearance_texels import AppearanceTexels
from smirk3d.render.appearance.baked_face import BakedFaceRenderer
from smirk3d.render.appearance.random_face_appearance import random_face_appearance

CROP_PX, CROP_SCALE = 72, 1.45
SHAPE_STD, GAIN_SPREAD = 0.8, 0.15
DISTANCE_M = (0.5, 1.5)
JITTER_PX = 0.3
"""Standard deviation of the detected position of the whole face in a frame, pixels of the crop."""
_OCCLUDERS = ("hand", "face_mask", "block", "sunglasses", "microphone", "scarf")
_BLURRED_PX = (14, 21)
"""Sides to which a blurred window is reduced."""
_MIN_COVERED = 0.35


@dataclass(frozen=True, eq=False)
class RenderedClip:
    """The windows of a clip.

    Attributes:
        windows: (T, 48, 48) uint8, see `smirk3d.fer.face_windows`.
        visible: (4,) float32 visible share of eyes, mouth, left and right side, see `smirk3d.detection.face_regions`.
    """

    windows: np.ndarray
    visible: np.ndarray


class ClipRenderer:
    """Renders clips of random people.

    Args:
        head: The open head.
    """

    def __init__(self, head: HeadModel) -> None:
        self._head = head
        self._renderer = BakedFaceRenderer(head)
        self._texels = AppearanceTexels(head) if supports(head) else None

    @torch.no_grad()
    def render(self, motion: ClipMotion, rng: np.random.Generator) -> RenderedClip:
        """Render a clip.

        Args:
            motion: Expressions and poses.
            rng: Of the person, the appearance, the light, the camera and all degradations.
        """
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        ndc, vertices, points_px = self._projected(motion, rng, generator)
        appearance_and_light = randomization.random_appearance(generator), randomization.random_light(generator)
        albedo = None
        if self._texels is not None and rng.random() < 0.5:
            albedo = self._texels.colors(random_face_appearance(generator))
        background = randomization.random_background(CROP_PX, generator)
        frames = []
        for k in range(len(ndc)):
            color, alpha = self._renderer.render(ndc[k], vertices[k], CROP_PX, *appearance_and_light, albedo=albedo)
            image = color + (1 - alpha) * background
            frames.append((image * 255).byte().permute(1, 2, 0).numpy())
        return _degraded(np.stack(frames), points_px, HARDNESS[motion.hardness], rng)

    def _projected(
        self, motion: ClipMotion, rng: np.random.Generator, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, np.ndarray]:
        """Return vertices in crops (T, V, 3), posed ones (T, V, 3) in metres, and landmarks (T, 478, 2) in crops."""
        shape = SHAPE_STD * torch.randn(1, self._head.n_shape, generator=generator)
        pose = np.stack([rotation_from_angles(*row) for row in motion.angles_deg])
        weights = torch.from_numpy(motion.weights) * _gains(generator)
        mesh = self._head(FaceParams(shape=shape.expand(len(pose), -1), expression=weights.clamp(0, 1)))
        rotmat = torch.from_numpy(pose).float().transpose(1, 2)
        posed, points = mesh.vertices @ rotmat, mesh.landmarks("mediapipe") @ rotmat
        middle = posed[:, self._head.region_mask("face")].mean(1, keepdim=True)
        distance_m = float(rng.uniform(*DISTANCE_M))
        vertices_px, points_px = (_perspective(each - middle, distance_m) for each in (posed, points))
        pixels, rows = points_px.numpy(), []
        for vertices, landmarks in zip(vertices_px.numpy(), pixels):
            crop = Crop.from_landmarks(landmarks, CROP_SCALE, CROP_PX)
            rows.append((crop.to_ndc(crop.to_crop(vertices)), crop.to_crop(landmarks)))
        ndc = torch.from_numpy(np.stack([row[0] for row in rows])).float()
        depth = distance_m - (posed - middle)[..., 2:]
        return torch.cat([ndc, depth], dim=2), posed, np.stack([row[1] for row in rows])


def _perspective(points: Tensor, distance_m: float) -> Tensor:
    """Return pixels (T, N, 2), y down, of points (T, N, 3) in metres about the middle of a face."""
    focal_px = 1500 * distance_m
    depth = distance_m - points[..., 2:]
    return focal_px / depth * points[..., :2] * torch.tensor([1.0, -1.0])


def _gains(generator: torch.Generator) -> Tensor:
    """Return factors (52,) on the weights, because blendshapes of different people differ; gaze is an angle."""
    factor = (GAIN_SPREAD * torch.randn(len(ARKIT_NAMES), generator=generator)).exp()
    factor[[ARKIT_NAMES.index(name) for name in GAZE_NAMES]] = 1.0
    factor[ARKIT_NAMES.index("mouthClose")] = factor[ARKIT_NAMES.index("jawOpen")]
    return factor


def _degraded(frames: np.ndarray, points_px: np.ndarray, kind: str, rng: np.random.Generator) -> RenderedClip:
    """Return the windows of frames (T, S, S, 3) with sensor noise, occluded or blurred where that is the hardness."""
    visible = np.ones(4, dtype=np.float32)
    if kind == "occluded":
        frames, visible = _occluded(frames, points_px[0], rng)
    jitter = rng.normal(0, JITTER_PX, (len(frames), 1, 2))
    windows = np.stack([face_window(*each) for each in zip(frames, points_px + jitter)])
    values = torch.from_numpy(windows)[:, None].float()
    side_px = int(rng.integers(*_BLURRED_PX)) if kind == "blurred" else int(rng.integers(30, 2 * WINDOW_PX))
    if side_px < WINDOW_PX:
        small = torch.nn.functional.interpolate(values, (side_px, side_px), mode="bilinear", antialias=True)
        values = torch.nn.functional.interpolate(small, (WINDOW_PX, WINDOW_PX), mode="bilinear")
    noise = rng.uniform(0, 6) + (3 if kind == "blurred" else 0)
    noisy = values[:, 0].numpy() * rng.uniform(0.8, 1.2) + rng.normal(0, noise, windows.shape)
    return RenderedClip(noisy.round().clip(0, 255).astype(np.uint8), visible)


def _occluded(frames: np.ndarray, points_px: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw an occluder, which moves with the face, before frames (T, S, S, 3); also return the visible shares (4,)."""
    grey, other = np.full_like(frames[0], 128), frames[0].mean(2).astype(np.uint8)
    kinds = {**TRAINING_KINDS, **HELD_OUT_KINDS}
    for _ in range(8):
        kind = kinds[_OCCLUDERS[rng.integers(len(_OCCLUDERS))]]
        painted, coverage = occlude(grey, points_px, kind, other, rng)
        visible = visible_shares(coverage, points_px)
        if visible.min() < 1 - _MIN_COVERED:
            break
    cover = coverage[..., None]
    layer = np.where(cover > 0.02, (painted - (1 - cover) * grey) / np.maximum(cover, 0.02), 0).clip(0, 255)
    mixed = frames + cover * (layer - frames)
    return mixed.round().clip(0, 255).astype(np.uint8), visible
