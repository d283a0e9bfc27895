"""ARKit weights that the encoder regresses from the frames of a synthetic clip."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import roma
import torch

from smirk3d.datasets.synthetic.emotion_clips.clip_frames import ClipFrames
from smirk3d.datasets.synthetic.rendered_faces import fit_camera
from smirk3d.head.model import HeadModel
from smirk3d.networks.encoder import Encoder
from smirk3d.params import FaceParams
from smirk3d.zoo.registry import find

BATCH = 4


class ClipEncoder:
    """The expression branch of the encoder, in windows that the landmarks place, as in the default method.

    Of the test-time augmentation only the flip remains, so that it takes a third of the time.

    Args:
        head: The head of the encoder.
        path: Its file; None: the packaged one.

    Raises:
        Smirk3dError: The file cannot be read.
    """

    def __init__(self, head: HeadModel, path: Path | None = None) -> None:
        encoder = Encoder.from_checkpoint(find("encoder") if path is None else path)
        assert encoder.config.window is not None
        self._window = encoder.config.window
        encoder.config = replace(encoder.config, zoom_tta=None)
        self._encoder = encoder.for_inference(rounded=True, expression_only=True)
        with torch.no_grad():
            mesh = head(FaceParams(shape=torch.zeros(1, head.n_shape)))
            self._points, self._root = mesh.landmarks("mediapipe"), mesh.joints[:, :1]

    @torch.inference_mode()
    def weights(self, frames: ClipFrames) -> np.ndarray:
        """Return the weights (T, 52) float32 in [0, 1] of T frames."""
        images = torch.from_numpy(frames.pixels).permute(0, 3, 1, 2).float() / 255
        rotmat = torch.from_numpy(frames.rotmat).float()
        points_ndc = torch.from_numpy(2 * frames.points_px / frames.pixels.shape[1] - 1).float()
        posed = (self._points - self._root) @ rotmat.mT + self._root
        affine = self._window.affine_from_pose(roma.rotmat_to_rotvec(rotmat), fit_camera(posed, points_ndc))
        windows = self._window.extract(images, affine)
        parts = [self._encoder.regress_expression(each)["expression"] for each in windows.split(BATCH)]
        return torch.cat(parts).float().numpy()


def encoder_digest(path: Path | None = None) -> str:
    """Return the digest of an encoder's file; None: of the packaged one."""
    return hashlib.sha256((find("encoder") if path is None else path).read_bytes()).hexdigest()[:16]
