"""Frames of synthetic clips: a random person in a random light, moved and rendered."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from smirk3d.datasets.synthetic.emotion_clips.clip_frames import CROP_PX, CROP_SCALE, ClipFrames
from smirk3d.datasets.synthetic.emotion_clips.motion import ClipMotion
from smirk3d.detection.crop import Crop
from smirk3d.geometry.euler import rotation_from_angles
from smirk3d.head.arkit import ARKIT_NAMES, GAZE_NAMES
from smirk3d.head.model import HeadModel
from smirk3d.params import FaceParams
from smirk3d.render.appearance import randomization
from smirk3d.render.appearance.appearance_model import supports
from smirk3d.render.appearance.appearance_texels import AppearanceTexels
from smirk3d.render.appearance.baked_face import BakedFaceRenderer
from smirk3d.render.appearance.random_face_appearance import random_face_appearance

SHAPE_STD, GAIN_SPREAD = 0.8, 0.15
DISTANCE_M = (0.5, 1.5)


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
    def frames(self, motion: ClipMotion, rng: np.random.Generator) -> ClipFrames:
        """Render a clip.

        Args:
            motion: Expressions and poses.
            rng: Of the person, the appearance, the light and the camera.
        """
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        pose = np.stack([rotation_from_angles(*row) for row in motion.angles_deg])
        ndc, vertices, points_px = self._projected(motion, pose, rng, generator)
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
        return ClipFrames(np.stack(frames), points_px, pose, motion.weights, motion.angles_deg)

    def _projected(
        self, motion: ClipMotion, pose: np.ndarray, rng: np.random.Generator, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, np.ndarray]:
        """Return vertices in crops (T, V, 3), posed ones (T, V, 3) in metres, and landmarks (T, 478, 2) in crops."""
        shape = SHAPE_STD * torch.randn(1, self._head.n_shape, generator=generator)
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
