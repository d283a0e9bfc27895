"""The last changes of a trained encoder: its output is calibrated, weights are averaged, errors are measured.

Least squares predicts a compromise between the truth and the mean: neutral faces receive a little of everything, strong
blendshapes and asymmetries come out too weak. On rendered faces that the encoder was not trained on, the output layer
is therefore calibrated: the mean of left and right is scaled to the variance of the truth, at most by `MAX_RANGE_GAIN`;
their difference to the true one in the mean, at most by `MAX_ASYMMETRY_GAIN` (gaze stays); and `NEUTRAL_SHIFT` times
the median prediction for neutral faces is subtracted.

Training runs that continue from the same weights, and the last steps of one run, make different errors; the mean of
their weights makes smaller ones (Wortsman et al., "Model soups", ICML 2022; Izmailov et al., "Averaging Weights Leads
to Wider Optima and Better Generalization", UAI 2018).
"""

from __future__ import annotations

import torch
from torch import Tensor

from smirk3d.datasets.synthetic.rendered_faces import RenderedFaces
from smirk3d.head.arkit import ARKIT_MIRROR, ARKIT_NAMES, GAZE_NAMES
from smirk3d.networks.encoder import Encoder
from smirk3d.train.recipes.branch_data import LinearFaceFrame

MAX_RANGE_GAIN, MAX_ASYMMETRY_GAIN, NEUTRAL_SHIFT = 1.6, 3.0, 3.0
CALIBRATION_SEED, VALIDATION_SEED = 2011, 1011
"""Seeds of rendered people that no source of training should have: for the calibration, and for measured errors."""
_FACE_FRAME_SIZE = 7


@torch.no_grad()
def tie_face_frame_to_shape(encoder: Encoder, face: LinearFaceFrame) -> None:
    """Compute the pose code's face frame from the predicted shape, by a change of the linear layer.

    Args:
        encoder: Its shape branch is changed in place.
        face: Face frames of the head's shapes.
    """
    linear, n_shape = encoder.shape_encoder.linear, len(face.slopes)
    slopes = face.slopes.T.to(linear.weight)
    linear.weight[-_FACE_FRAME_SIZE:] = slopes @ linear.weight[:n_shape]
    linear.bias[-_FACE_FRAME_SIZE:] = slopes @ linear.bias[:n_shape] + face.mean.to(linear.bias)


@torch.no_grad()
def calibrate_output_layer(encoder: Encoder, faces: RenderedFaces) -> None:
    """Match range, asymmetry and neutral faces of the predictions to the ground truth.

    With p and p' a weight and its mirror partner, the layer is changed so that the output is
    `a (p + p') / 2 + b (p - p') / 2 - c`, a and b gains and c a shift per weight.

    Args:
        encoder: Its expression branch's linear layer is changed in place.
        faces: Rendered faces that the encoder was not trained on.
    """
    linear = encoder.expression_encoder.linear
    partner = torch.tensor(ARKIT_MIRROR)
    prediction, truth = predict_expressions(encoder, faces)
    gain = (truth + truth[:, partner]).std(0) / (prediction + prediction[:, partner]).std(0).clamp_min(1e-6)
    difference, true_difference = prediction - prediction[:, partner], truth - truth[:, partner]
    square = true_difference.square().sum(0)
    slope = (difference * true_difference).sum(0) / square.clamp_min(1e-6)
    side_gain = torch.where(square > 0, 1 / slope.clamp_min(1e-6), 1.0)  # both eyes look up alike: no difference
    # Differences of gaze between the eyes follow from the head's rotation and are right as they are.
    is_gaze = torch.tensor([name in GAZE_NAMES for name in ARKIT_NAMES])
    gains = (gain.clamp(1, MAX_RANGE_GAIN), side_gain.clamp(1, MAX_ASYMMETRY_GAIN))
    factors = [torch.where(is_gaze, 1.0, each) for each in gains]
    for values in (linear.weight, linear.bias):
        of_mean, of_difference = (factor.view(-1, *[1] * (values.ndim - 1)).to(values) / 2 for factor in factors)
        values.copy_(of_mean * (values + values[partner]) + of_difference * (values - values[partner]))
    is_neutral = torch.tensor([kind == "neutral" for kind in faces.kinds])
    neutral = predict_expressions(encoder, faces)[0][is_neutral]
    shift = NEUTRAL_SHIFT * (neutral + neutral[:, partner]).median(0).values / 2
    linear.bias.sub_(shift.to(linear.bias))


@torch.no_grad()
def predict_expressions(encoder: Encoder, faces: RenderedFaces) -> tuple[Tensor, Tensor]:
    """Return predicted and true expressions of rendered faces, (N, 52) each."""
    device = encoder.expression_encoder.linear.weight.device
    prediction, truth = [], []
    for index in torch.arange(len(faces)).split(64):
        batch = faces.batch(index)
        assert batch.target is not None and batch.target.expression is not None
        prediction.append(encoder.expression(batch.image.to(device))["expression"].cpu())
        truth.append(batch.target.expression)
    return torch.cat(prediction), torch.cat(truth)


def expression_errors(encoder: Encoder, faces: RenderedFaces) -> Tensor:
    """Return the root mean square errors (52,) of the predicted weights of rendered faces."""
    prediction, truth = predict_expressions(encoder, faces)
    return (prediction - truth).square().mean(0).sqrt()


def average_states(states: list[dict[str, Tensor]], shares: tuple[float, ...]) -> dict[str, Tensor]:
    """Return the weighted mean of state dicts; integers, such as batch counts, are those of the first.

    Args:
        states: State dicts with the same names and shapes.
        shares: Weight of each; they sum to 1.

    Raises:
        ValueError: The shares are not one for each that sum to 1, or the names or shapes differ.
    """
    if len(states) != len(shares) or abs(sum(shares) - 1) > 1e-6:
        raise ValueError("give one share for each branch; they must sum to 1")
    shapes = [{name: value.shape for name, value in state.items()} for state in states]
    if any(each != shapes[0] for each in shapes):
        raise ValueError("the branches differ in the names or shapes of their weights")
    return {
        name: sum(share * state[name].double() for state, share in zip(states, shares)).to(first)  # type: ignore[union-attr]
        if first.is_floating_point()
        else first
        for name, first in states[0].items()
    }
