"""More clips from rendered ones: their people with new motions, without rendering.

The features of a frame are nearly linear in its ARKit weights. What a rendered clip has beyond that, such as the
person's own face, the light, things before the face, blur and the errors of the networks, is kept; new weights are
added. So errors are those of the networks on pictures, not assumed ones.
"""

from __future__ import annotations

import numpy as np
import torch

from smirk3d.datasets.synthetic.emotion_clips.clip_set import ClipTruth, random_motions
from smirk3d.datasets.synthetic.emotion_clips.estimation_noise import estimated_angles
from smirk3d.fer.clips.frame_features import WEIGHTS, frame_features
from smirk3d.fer.network import N_FEATURES
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.train.clip_emotion.clip_set import ClipSet

RIDGE = 5.0
"""Penalty on the squared slopes: weights that hardly occur have no large ones."""


class FrameModel:
    """Linear features of frames by their ARKit weights, fitted to rendered clips.

    The slopes are fitted within clips, so that how people differ does not count.

    Args:
        clips: N clips of T frames.
        truth: Their ground truth.

    Attributes:
        slope: (52, 308) change of expression vector and read weights by a true weight.
        remainder: (N, T, 308) features of the clips beyond those of their weights.
    """

    def __init__(self, clips: ClipSet, truth: ClipTruth) -> None:
        features = clips.features[..., : WEIGHTS.stop].numpy().astype(np.float64)
        weights = truth.weights.astype(np.float64)
        changes, shown = (
            (each - each.mean(axis=1, keepdims=True)).reshape(-1, each.shape[2]) for each in (features, weights)
        )
        self.slope = np.linalg.solve(shown.T @ shown + RIDGE * np.eye(len(ARKIT_NAMES)), shown.T @ changes)
        self.remainder = features - weights @ self.slope

    def features(self, weights: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return features (M, T, 308) of clips with weights (M, T, 52), each with the remainder of a random clip.

        It begins at a random frame, and goes back where it ends, so that it stays continuous.
        """
        person = rng.integers(len(self.remainder), size=len(weights))
        n_frames = self.remainder.shape[1]
        frame = rng.integers(n_frames, size=len(weights))[:, None] + np.arange(n_frames)
        frame = np.where(frame >= n_frames, 2 * (n_frames - 1) - frame, frame)
        backwards = rng.random(len(weights)) < 0.5
        frame[backwards] = frame[backwards, ::-1]
        result = weights @ self.slope + self.remainder[person[:, None], frame]
        result[..., WEIGHTS] = result[..., WEIGHTS].clip(0, 1)
        return result


def reanimated_clips(model: FrameModel, count: int, seed: int) -> tuple[ClipSet, ClipTruth]:
    """Return clips of the people of rendered clips with new motions, and their truth.

    Args:
        model: Fitted to the rendered clips.
        count: Number of clips.
        seed: Of everything random.
    """
    truth, rng = random_motions(count, seed), np.random.default_rng([seed, 21])
    values = model.features(truth.weights, rng)
    features = frame_features(values[..., :N_FEATURES], values[..., WEIGHTS], estimated_angles(truth, rng))
    names = tuple(f"reanimated_{seed}_{index:05d}" for index in range(count))
    label, key = torch.from_numpy(truth.emotion), torch.from_numpy(truth.key.copy())
    return ClipSet(torch.from_numpy(features), label, key, names), truth
