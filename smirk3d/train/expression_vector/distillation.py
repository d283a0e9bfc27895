"""Targets of a student: votes mixed with the probabilities of a teacher, and the latter for faces without labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from smirk3d.datasets.face_dataset import FaceSet
from smirk3d.fer.face_windows import face_window
from smirk3d.fer.network import ExpressionNetwork
from smirk3d.media.images import read_image
from smirk3d.train.expression_vector.data import Windows
from smirk3d.train.expression_vector.validation import predicted_logits


def distilled(network: ExpressionNetwork, faces: Windows, share: float) -> Windows:
    """Return labelled faces whose votes are mixed with what a teacher predicts of them.

    Source: Furlanello et al., "Born-Again Neural Networks", ICML 2018.

    Args:
        network: The calibrated teacher.
        faces: With votes.
        share: Share of the teacher's probabilities, in [0, 1].
    """
    probabilities = network.probabilities(predicted_logits(network, faces))
    return Windows(faces.pixels, torch.lerp(faces.targets, probabilities, share))


def unlabelled_windows(network: ExpressionNetwork, folder: Path) -> Windows:
    """Return the training photos of a folder with a teacher's probabilities as targets; labels are not read.

    Args:
        network: The calibrated teacher.
        folder: Folder of shards, see `smirk3d.datasets.shards.read_folder`.

    Raises:
        Smirk3dError: The folder has no usable training photos.
    """
    photos = FaceSet.from_folder(folder, "train")
    windows = [face_window(read_image(jpeg).pixels, xy) for jpeg, xy in zip(photos.jpegs, photos.landmarks_px)]
    pixels = torch.from_numpy(np.stack(windows))
    unknown = Windows(pixels, torch.zeros(len(pixels), 0))
    return Windows(pixels, network.probabilities(predicted_logits(network, unknown)))


def joined(one: Windows, other: Windows) -> Windows:
    """Return the faces of two sets."""
    return Windows(torch.cat([one.pixels, other.pixels]), torch.cat([one.targets, other.targets]))
