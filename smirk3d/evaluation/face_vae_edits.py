"""What edits of the face autoencoder do to a face, as the packaged encoder reads it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from smirk3d.estimation.estimator import FaceObservation
from smirk3d.estimation.regression import CropEncoder, crop_encoder
from smirk3d.fer.vae.attributes import PACKAGED, attribute_values
from smirk3d.fer.vae.expression_vae import ExpressionVAE
from smirk3d.fer.vae.paste import PasteMode, pasted
from smirk3d.fer.vae.windows import window_frame
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.media.images import Photo
from smirk3d.networks.encoder import Encoder
from smirk3d.zoo.registry import find

EDITED_FACES = 200
"""Photos that are edited with a smile; a quarter of them with each other attribute."""
RAISED = 0.3
"""Wanted rise of an attribute for one unit."""
ROOM = 0.5
"""Faces whose attribute is above this already are left out: it cannot rise by much."""
_SIDE_EFFECTS = 3
"""Side effects that are named."""


@dataclass(frozen=True, eq=False)
class EditReadings:
    """ARKit weights of N faces as the packaged encoder reads them.

    Attributes:
        before: (N, 52) of the photos.
        after: (N, 52) of the photos with the change.
    """

    before: np.ndarray
    after: np.ndarray


def packaged_reader() -> CropEncoder:
    """Return the packaged encoder for reading expressions."""
    encoder = Encoder.from_checkpoint(find("encoder"))
    return crop_encoder(encoder, "torch", torch.device("cpu"), expression_only=True)


def read_weights(reader: CropEncoder, faces: Sequence[FaceObservation]) -> np.ndarray:
    """Return the ARKit weights (N, 52) of faces."""
    expression = reader(faces)[0].expression
    assert expression is not None
    return expression.numpy()


def edit_readings(
    vae: ExpressionVAE,
    faces: Sequence[FaceObservation],
    windows: Tensor,
    amounts: Mapping[str, float],
    reader: CropEncoder,
    paste: PasteMode = "change",
) -> EditReadings:
    """Edit faces and read their weights before and after.

    Args:
        vae: What edits.
        faces: N photos with landmarks.
        windows: (N, 3, 64, 64) uint8, their windows.
        amounts: As for `ExpressionVAE.edit`.
        reader: What reads.
        paste: How the face is put back.
    """
    edited = []
    for face, window in zip(faces, windows.permute(0, 2, 3, 1).contiguous().numpy()):
        before, after = vae.decoded_change(window, amounts)
        pixels = pasted(face.photo.pixels, window_frame(face.detection.landmarks_px), before, after, paste)
        edited.append(replace(face, photo=Photo(pixels)))
    return EditReadings(read_weights(reader, faces), read_weights(reader, edited))


def edit_lines(vae: ExpressionVAE, faces: Sequence[FaceObservation], windows: Tensor) -> list[str]:
    """Return what edits raise, and what else they change, as lines of text."""
    reader = packaged_reader()
    lines = ["edits of photos, as the packaged encoder reads them:"]
    fewer = EDITED_FACES // 4
    trials = [("smile", 1.0, EDITED_FACES), ("smile", 2.0, EDITED_FACES)]
    trials += [(name, 1.0, fewer) for name in PACKAGED if name != "smile"]
    for name, amount, count in trials:
        readings = edit_readings(vae, faces[:count], windows[:count], {name: amount}, reader)
        lines.append(f"  {name}={amount:+g}: {effect_text(name, readings)}")
    return lines


def effect_text(name: str, readings: EditReadings) -> str:
    """Return by how much an edit raises its attribute, where there is room, and its largest mean side effects."""
    number = list(PACKAGED).index(name)
    before, after = (attribute_values(each)[:, number] for each in (readings.before, readings.after))
    rise = (after - before)[before <= ROOM]
    if not len(rise):
        return "no face without it"
    others = [k for k, weight in enumerate(ARKIT_NAMES) if weight not in PACKAGED[name]]
    change = readings.after - readings.before
    mean = change.mean(axis=0)
    largest = sorted(others, key=lambda k: -abs(mean[k]))[:_SIDE_EFFECTS]
    effects = ", ".join(f"{ARKIT_NAMES[k]} {mean[k]:+.2f}" for k in largest)
    return (
        f"median rise {np.median(rise):+.2f}, {RAISED} or more in {100 * (rise >= RAISED).mean():.0f} % of "
        f"{len(rise)} faces; other weights change by {np.abs(change[:, others]).mean():.3f}, most: {effects}"
    )
