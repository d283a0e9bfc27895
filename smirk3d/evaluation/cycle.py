"""Whether the encoder finds again an expression that was put onto a photo."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from smirk3d.datasets.synthetic.known_expressions import known_expressions
from smirk3d.evaluation.encoder_predictions import FrozenEncoder, neural_render
from smirk3d.evaluation.photos import PhotoSet
from smirk3d.evaluation.report import Result
from smirk3d.head.retargeting.retargeter import find_retargeter
from smirk3d.metrics.correlation import correlations, mean_of_known
from smirk3d.params import FaceParams
from smirk3d.progress import Progress

EXPRESSION_FIELDS = ("expression", "jaw", "eyelids")


@torch.no_grad()
def measure_cycle(
    eye: FrozenEncoder,
    renderer: nn.Module,
    photos: PhotoSet,
    display: Progress,
    generator: torch.Generator,
    batch_size: int = 8,
) -> Result:
    """Put known expressions onto photos and compare with what the encoder sees then.

    Args:
        eye: The encoder. renderer: Paints the changed photos; in eval mode. photos: Faces. display: Is told of each.
        generator: Of the expressions and the masks, on the CPU. batch_size: Faces at a time.
    """
    wanted = known_expressions(len(photos), generator)
    recovered, done = [], 0
    for seen in eye.see_all(photos, batch_size):
        changed = with_expression(eye, seen.params, wanted[done : done + len(seen.batch)])
        drawn = eye.draw(changed)
        painted = neural_render(renderer, drawn, eye.masked(seen, generator, changed=drawn))
        recovered.append(arkit_of(eye, eye.encoder(painted)))
        done += len(seen.batch)
        for _ in range(len(seen.batch)):
            display.advance()
    return cycle_result(torch.cat(recovered).numpy(), wanted.numpy())


def cycle_result(recovered: np.ndarray, wanted: np.ndarray) -> Result:
    """Return the figures of weights (N, 52) that were found again and those (N, 52) that were put there."""
    each, error = correlations(recovered, wanted), np.abs(recovered - wanted).mean(axis=0)
    figures = {"mean_correlation": mean_of_known(each), "mean_error": float(error.mean())}
    actions = {"correlation": each, "error": error}
    return Result("cycle", "encoder", len(wanted), figures, actions, worst_is_low="correlation")


def with_expression(eye: FrozenEncoder, params: FaceParams, weights: Tensor) -> FaceParams:
    """Return parameters (B, ...) with the expression of ARKit weights (B, 52), on any head."""
    actions = find_retargeter(eye.head)
    if actions is None:
        return params.replace(expression=weights.to(eye.device))
    carried = dict(actions.from_arkit(weights).items())
    changes = {name: carried[name].to(eye.device) for name in EXPRESSION_FIELDS if name in carried}
    return params.replace(**{name: value for name, value in changes.items() if name in eye.head.spec.names})


def arkit_of(eye: FrozenEncoder, params: FaceParams) -> Tensor:
    """Return the ARKit weights (B, 52), on the CPU, of parameters (B, ...) of any head."""
    actions = find_retargeter(eye.head)
    if actions is None:
        assert params.expression is not None
        return params.expression.cpu()
    given = {name: value for name, value in params.items() if name in EXPRESSION_FIELDS}
    return actions.to_arkit(FaceParams(**given)).weights.cpu()
