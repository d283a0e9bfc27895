"""Measures of the expression network on labelled windows."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from smirk3d.fer.calibration import expected_calibration_error, fit_temperature
from smirk3d.fer.emotions import EMOTIONS
from smirk3d.fer.network import ExpressionNetwork
from smirk3d.metrics.classification import recall_by_class
from smirk3d.train.expression_vector.data import Windows

_BLOCK = 32


@torch.no_grad()
def predicted_logits(network: ExpressionNetwork, windows: Windows) -> Tensor:
    """Return the logits (N, 8) of windows and their mirror images; the mode of the network stays."""
    was_training = network.training
    network.eval()
    logits = torch.cat([network.predict(block).logits for block in windows.pixels.split(_BLOCK)])
    network.train(was_training)
    return logits


def validate(network: ExpressionNetwork, windows: Windows) -> dict[str, float]:
    """Return WAR and UAR in per cent, and the cross entropy with the votes.

    WAR, the weighted average recall, is the accuracy; UAR is the mean of the recalls of the classes. The label of a
    face is the emotion with most votes.
    """
    return measures_of(predicted_logits(network, windows), windows.targets)


def measures_of(logits: Tensor, shares: Tensor) -> dict[str, float]:
    """Return the measures of `validate` for logits (N, 8) and votes (N, 8)."""
    label, predicted = shares.argmax(1), logits.argmax(1)
    recalls = recall_by_class(predicted.numpy(), label.numpy(), len(EMOTIONS))
    entropy = -(shares * logits.log_softmax(1)).sum(1).mean()
    return {
        "war": 100 * float((predicted == label).double().mean()),
        "uar": 100 * float(np.nanmean(recalls)),
        "cross_entropy": float(entropy),
    }


def calibrate(network: ExpressionNetwork, windows: Windows) -> dict[str, float]:
    """Set the temperature of a network by its validation faces, in place.

    The labels are the emotions with most votes, so that a probability is that of being the raters' first choice.

    Returns:
        The measures of `validate`, the temperature of all faces, and ECE, the mean over both halves of the faces, each
        with the temperature of the other half.
    """
    logits, shares = predicted_logits(network, windows), windows.targets
    label = one_hot(shares.argmax(1), len(EMOTIONS))
    errors = []
    for fitted, measured in ((slice(0, None, 2), slice(1, None, 2)), (slice(1, None, 2), slice(0, None, 2))):
        temperature = fit_temperature(logits[fitted], label[fitted])
        probabilities = (logits[measured] / temperature).softmax(1)
        errors.append(expected_calibration_error(probabilities, shares[measured].argmax(1)))
    temperature = fit_temperature(logits, label)
    network.temperature.fill_(temperature)
    return measures_of(logits, shares) | {"temperature": temperature, "ece": float(np.mean(errors))}
