"""Measures of the face autoencoder, beside one with a loss on pixels: likeness, edits, attributes in the codes."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from smirk3d.errors import Smirk3dError
from smirk3d.estimation.estimator import FaceObservation
from smirk3d.evaluation.face_vae_edits import edit_lines
from smirk3d.evaluation.photos import PhotoSet, face_observation
from smirk3d.fer.vae.attributes import PACKAGED, attribute_values
from smirk3d.fer.vae.expression_vae import ExpressionVAE
from smirk3d.fer.vae.network import FaceVAE
from smirk3d.fer.vae.weights import load_face_vae
from smirk3d.fer.vae.windows import colour_window, window_frame
from smirk3d.networks.encoder import Encoder
from smirk3d.train.losses.perceptual import PerceptualFeatures, backbone_features, lite0_features, perceptual_loss
from smirk3d.train.vae.data import ColourWindows
from smirk3d.train.vae.validation import posterior_of, validate
from smirk3d.zoo.registry import find

MAX_FACES = 1500
"""Photos of a split that are read; of the other split, from which probes learn, twice as many."""
TIMED_FACES = 100
PERCEPTUAL_PX = 128
"""Side to which windows are enlarged for the networks that compare them."""
HIGH, LOW = 0.5, 0.15
"""Values of an attribute from which a face has it, and up to which it has not; others are left out."""
MIN_CLASS = 20
"""Fewest faces with and without an attribute for a probe."""
_BLOCK = 50


@dataclass(frozen=True, eq=False)
class EvaluatedFaces:
    """N photographed faces.

    Attributes:
        observations: Photos and landmarks.
        windows: Windows and the landmarker's scores.
    """

    observations: tuple[FaceObservation, ...]
    windows: ColourWindows

    def __len__(self) -> int:
        return len(self.observations)

    @staticmethod
    def read(folder: Path, split: str, count: int) -> EvaluatedFaces:
        """Read the first faces of a split of a folder of shards.

        Raises:
            Smirk3dError: The folder or a photo cannot be read.
        """
        faces = tuple(face_observation(record) for record in PhotoSet.read(folder, split, count).records)
        cut = [colour_window(each.photo.pixels, window_frame(each.detection.landmarks_px)) for each in faces]
        pixels = torch.from_numpy(np.stack(cut)).permute(0, 3, 1, 2).contiguous()
        scores = torch.from_numpy(np.stack([each.detection.blendshape_scores for each in faces]))
        return EvaluatedFaces(faces, ColourWindows(pixels, scores))


def vae_figures(weights: Path | None, peer: Path | None, folder: Path, split: str = "val") -> list[str]:
    """Return the measures of an autoencoder on photographed faces as lines of text.

    Args:
        weights: File of `smirk3d fer train`; None: the packaged network.
        peer: File of the same network with another loss, for comparison; None: none.
        folder: Folder of shards with the splits train and val; no label is read.
        split: Split to measure; probes learn on the other one.

    Raises:
        Smirk3dError: A file cannot be read.
    """
    path = find("vae") if weights is None else weights
    network = load_face_vae(path)
    faces = EvaluatedFaces.read(folder, split, MAX_FACES)
    lines = [f"{len(faces)} photos of the split {split}: {_summary(network, faces)}"]
    if peer is not None:
        lines += _comparison(network, load_face_vae(peer), faces)
    lines += edit_lines(ExpressionVAE(path), faces.observations, faces.windows.pixels)
    other = EvaluatedFaces.read(folder, "train" if split == "val" else "val", 2 * MAX_FACES)
    return lines + attribute_lines(network, other.windows, faces.windows)


@torch.inference_mode()
def _summary(network: FaceVAE, faces: EvaluatedFaces) -> str:
    measures = validate(network, faces.windows)
    timed = faces.windows.pixels[:TIMED_FACES].split(1)
    began_s = time.process_time()
    for window in timed:
        network.decode(network.encode(window.float() / 255).mean)
    cost_ms = 1e3 * (time.process_time() - began_s) / len(timed)
    return (
        f"PSNR {measures['psnr_db']:.1f} dB, {measures['rate_nats']:.0f} nats, {measures['active']:.0f} of "
        f"{network.latent_mean.numel()} dimensions active, {cost_ms:.1f} ms of CPU time a face"
    )


def _comparison(network: FaceVAE, peer: FaceVAE, faces: EvaluatedFaces) -> list[str]:
    """Return how near to the faces the reconstructions of two networks are, by networks of neither's loss."""
    lines = [f"the other network: {_summary(peer, faces)}"]
    encoder = Encoder.from_checkpoint(find("encoder")).for_inference().expression_encoder.encoder
    judges = {"trained on ImageNet": lite0_features(), "of the packaged encoder": backbone_features(encoder)}
    for name, features in judges.items():
        own, other = (perceptual_distance(each, features, faces.windows.pixels) for each in (network, peer))
        lines.append(f"perceptual distance, network {name}: {own:.4f}; the other {other:.4f}; {own / other - 1:+.1%}")
    return lines


@torch.no_grad()
def perceptual_distance(network: FaceVAE, features: PerceptualFeatures, pixels: Tensor) -> float:
    """Return the mean distance of windows (N, 3, 64, 64) uint8 from their reconstructions in feature maps."""
    total = 0.0
    for block in pixels.split(_BLOCK):
        images = block.float() / 255
        decoded = network.decode(network.encode(images).mean).clamp(0, 1)
        first, second = (interpolate(each, size=(PERCEPTUAL_PX,) * 2, mode="bilinear") for each in (decoded, images))
        total += float(perceptual_loss(features, first, second).sum())
    return total / len(pixels)


def attribute_lines(network: FaceVAE, train: ColourWindows, test: ColourWindows) -> list[str]:
    """Return how well a linear classifier on the codes predicts each packaged attribute, as lines of text.

    The truth is the landmarker's reading; faces in between are left out.
    """
    codes, values = zip(*(_codes_and_values(network, part) for part in (train, test)))
    lines = ["linear classifier on the codes, truth by the landmarker's scores:"]
    for k, name in enumerate(PACKAGED):
        parts = []
        for x, column in zip(codes, values):
            known = (column[:, k] >= HIGH) | (column[:, k] <= LOW)
            parts.append((x[known], column[known, k] >= HIGH))
        counts = [min(int(has.sum()), int((~has).sum())) for _, has in parts]
        if min(counts) < MIN_CLASS:
            lines.append(f"  {name}: too few faces that differ")
            continue
        auc, balanced, accuracy = _probe(*parts[0], *parts[1])
        share = parts[1][1].mean()
        lines.append(
            f"  {name}: AUC {auc:.3f}, balanced accuracy {balanced:.3f}, accuracy {accuracy:.3f}; "
            f"{100 * share:.0f} % of {len(parts[1][1])} faces have it"
        )
    return lines


def _codes_and_values(network: FaceVAE, windows: ColourWindows) -> tuple[np.ndarray, np.ndarray]:
    codes = posterior_of(network, windows.pixels).mean.numpy()
    return codes, attribute_values(windows.weights.numpy())


def _probe(x: np.ndarray, has: np.ndarray, test_x: np.ndarray, test_has: np.ndarray) -> tuple[float, float, float]:
    """Fit a logistic regression and return AUC, balanced accuracy and accuracy on test codes."""
    try:
        from sklearn.linear_model import LogisticRegression
        from sklearn.metrics import accuracy_score, balanced_accuracy_score, roc_auc_score
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler
    except ImportError as error:
        raise Smirk3dError("the attributes need scikit-learn; pip install 'smirk3d[fer]'") from error
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, class_weight="balanced", max_iter=1000))
    model.fit(x, has)
    found = model.predict(test_x)
    score = model.decision_function(test_x)
    return (
        float(roc_auc_score(test_has, score)),
        float(balanced_accuracy_score(test_has, found)),
        float(accuracy_score(test_has, found)),
    )
