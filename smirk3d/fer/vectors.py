"""Expression vectors and emotions of face windows, with the packaged network or one of the user's."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from smirk3d.fer.network import N_FEATURES, ExpressionNetwork, load_expression_network
from smirk3d.networks.file_cache import cached_by_files
from smirk3d.networks.inference import folded
from smirk3d.zoo.registry import find

BATCH = 32


@dataclass(frozen=True, eq=False)
class Expressions:
    """What the network predicts of N faces.

    Attributes:
        vectors: (N, 256) float32 expression vectors.
        probabilities: (N, 8) float32 calibrated probabilities of `smirk3d.fer.emotions.EMOTIONS`.
        arkit: (N, 52) float32 ARKit weights of the network itself, a by-product; less accurate than those of `Face`.
    """

    vectors: np.ndarray
    probabilities: np.ndarray
    arkit: np.ndarray


@cached_by_files
def _network(path: Path) -> ExpressionNetwork:
    return folded(load_expression_network(path), ExpressionNetwork)


def load_for_inference(weights: str | os.PathLike[str] | None = None) -> ExpressionNetwork:
    """Return a network for inference, read once; arguments and errors as for `expressions_of`."""
    return _network(find("expression") if weights is None else Path(weights))


@torch.inference_mode()
def expressions_of(windows: np.ndarray, weights: str | os.PathLike[str] | None = None) -> Expressions:
    """Predict expression vectors and emotions.

    Args:
        windows: (N, 48, 48) uint8, see `smirk3d.fer.face_windows`; N is at least 1.
        weights: File of `smirk3d fer train`; None: the packaged network.

    Raises:
        Smirk3dError: The file is missing, or holds no such network.
    """
    network = load_for_inference(weights)
    parts = [network.predict(block) for block in torch.from_numpy(windows).split(BATCH)]
    vectors, logits, arkit = (torch.cat(each) for each in zip(*parts))
    return Expressions(vectors.numpy(), network.probabilities(logits).numpy(), arkit.numpy())


def temperature_of(weights: str | os.PathLike[str] | None) -> float:
    """Return the temperature that calibrates a network's probabilities; 1.0 where none was set.

    Args:
        weights: As for `expressions_of`.

    Raises:
        Smirk3dError: As for `expressions_of`; called first, this reports a bad file before the work.
    """
    return float(load_for_inference(weights).temperature)


def vector_names() -> tuple[str, ...]:
    """Return the names of the numbers of an expression vector."""
    return tuple(f"expression_{index:03d}" for index in range(N_FEATURES))
