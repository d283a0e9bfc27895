"""Cycle consistency: known expressions are neurally rendered onto photos and predicted again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from smirk3d.datasets.synthetic.known_expressions import known_expressions
from smirk3d.evaluation.data import EvaluationData
from smirk3d.evaluation.encoder_predictions import FrozenEncoder, neural_render
from smirk3d.evaluation.method_under_test import MethodUnderTest
from smirk3d.evaluation.photos import PhotoSet
from smirk3d.evaluation.result import Figure, Result, values_of
from smirk3d.head.retargeting.retargeter import find_retargeter
from smirk3d.metrics.correlation import correlations, mean_of_known
from smirk3d.params import FaceParams
from smirk3d.progress import Progress

MAX_FACES = 300
EXPRESSION_FIELDS = ("expression", "jaw", "eyelids")
FIGURES = (Figure("mean_correlation", better="higher"), Figure("mean_error", better="lower"))


class CycleMeasure:
    """See `measure_cycle`; where a checkpoint has no neural renderer, one is trained from scratch."""

    name = "cycle"
    summary = "cycle consistency: known expressions, neurally rendered onto photos and predicted again"
    needs = frozenset({"encoder", "data"})
    figures = FIGURES
    is_default = True

    def run(self, method: MethodUnderTest, data: EvaluationData) -> Iterator[Result]:
        """Yield one result, on at most `MAX_FACES` photos."""
        encoder = data.encoder
        assert data.checkpoint is not None
        own = data.checkpoint.generator
        renderer = data.fresh_renderer if own is None else own.for_inference().to(data.device)
        photos = data.photos.first(MAX_FACES)
        if own is not None:  # crops of the size that the renderer was trained for
            encoder = replace(encoder, size_px=own.size_px)
        with data.progress(self.name, len(photos)) as display:
            yield measure_cycle(encoder, renderer, photos, display, data.generator())


@torch.no_grad()
def measure_cycle(
    encoder: FrozenEncoder,
    renderer: nn.Module,
    photos: PhotoSet,
    display: Progress,
    generator: torch.Generator,
    batch_size: int = 8,
) -> Result:
    """Render known expressions onto photos and compare them with what the encoder predicts then.

    The cycle path of Retsinas et al., "3D Facial Expressions through Analysis-by-Neural-Synthesis", CVPR 2024, as a
    measure.

    Args:
        encoder: The encoder.
        renderer: Neural renderer in eval mode.
        photos: Faces with known landmarks.
        display: Counts the faces.
        generator: Source of the expressions and masks, on the CPU.
        batch_size: Faces at a time.
    """
    truth = known_expressions(len(photos), generator)
    recovered, done = [], 0
    for found in encoder.predict_all(photos, batch_size):
        params = with_expression(encoder, found.params, truth[done : done + len(found.batch)])
        drawn = encoder.draw(params)
        image = neural_render(renderer, drawn, encoder.masked(found, generator, changed=drawn))
        recovered.append(arkit_of(encoder, encoder.encoder(image)))
        done += len(found.batch)
        for _ in range(len(found.batch)):
            display.advance()
    return cycle_result(torch.cat(recovered).numpy(), truth.numpy())


def cycle_result(recovered: np.ndarray, truth: np.ndarray) -> Result:
    """Return the correlation and the error of recovered weights.

    Args:
        recovered: (N, 52) predicted ARKit weights.
        truth: (N, 52) rendered ARKit weights.
    """
    correlation, error = correlations(recovered, truth), np.abs(recovered - truth).mean(axis=0)
    numbers = {"mean_correlation": mean_of_known(correlation), "mean_error": float(error.mean())}
    return Result(
        CycleMeasure.name,
        "encoder",
        len(truth),
        values_of(FIGURES, numbers),
        {"correlation": correlation, "error": error},
        worst="low",
    )


def with_expression(encoder: FrozenEncoder, params: FaceParams, weights: Tensor) -> FaceParams:
    """Return parameters with another expression, on any head.

    Args:
        encoder: Its head is that of the parameters.
        params: Fields (B, ...).
        weights: (B, 52) ARKit weights of the expression.
    """
    retarget = find_retargeter(encoder.head)
    if retarget is None:
        return params.replace(expression=weights.to(encoder.device))
    retargeted = dict(retarget.from_arkit(weights).items())
    changes = {name: retargeted[name].to(encoder.device) for name in EXPRESSION_FIELDS if name in retargeted}
    return params.replace(**{name: value for name, value in changes.items() if name in encoder.head.spec.names})


def arkit_of(encoder: FrozenEncoder, params: FaceParams) -> Tensor:
    """Return the expression of parameters of any head as ARKit weights.

    Args:
        encoder: Its head is that of the parameters.
        params: Fields (B, ...).

    Returns:
        (B, 52) float32 on the CPU.
    """
    retarget = find_retargeter(encoder.head)
    if retarget is None:
        assert params.expression is not None
        return params.expression.cpu()
    fields = {name: value for name, value in params.items() if name in EXPRESSION_FIELDS}
    return retarget.to_arkit(FaceParams(**fields)).weights.cpu()
