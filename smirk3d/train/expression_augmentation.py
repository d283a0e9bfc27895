"""Other expressions on the same faces: what the cycle path of training re-synthesises and asks for again.

A batch is split at random into four groups: noise on half of the coefficients, another face's expression, a
template, no expression. Each is one function of the parameters. Shape, pose and camera stay as they are.

Two kinds of heads are known. Coefficients without a range are changed as FLAME's are, with METHOD's numbers. 52
coefficients in [0, 1] are ARKit weights and stay what these are: in their range, mostly zero, without two that undo
each other, the lips closed only as far as the jaw is open. Gaze and tongue receive no noise: both eyes look the same
way, at random, and the tongue needs an open mouth.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from smirk3d.head.arkit import ARKIT_NAMES, GAZE_NAMES, mirror_name, resolve_antagonists
from smirk3d.head.spec import ParamSpec
from smirk3d.params import FaceParams

GROUPS = ("noise", "exchange", "template", "neutral")
CHANGED = ("expression", "jaw", "eyelids")


@dataclass(frozen=True)
class PerturbConfig:
    """Ranges of the changes; pairs are the ends of uniform distributions, drawn once for each face.

    Attributes:
        noise: Standard deviation of the noise on half of the coefficients. limit: They are kept in ±limit then.
        scale: Factor on exchanged expressions and on templates.
        small_noise: Standard deviation of the noise on every coefficient of every group.
        jaw_probability: Share of the faces whose jaw moves. jaw_std_rad: Of that motion: opening and both sides.
        jaw_open_rad: Range of the opening. jaw_side_rad: Range of the others, as far as the encoder can say them.
        eyelids: Change of the eyelids.
        arkit_blend: How far half of the ARKit weights go towards new ones. arkit_active: Share of those not zero.
        arkit_small_noise: As `small_noise`, on weights that are not zero and a few more, `arkit_noise_probability` of all.
        arkit_jaw_std: Standard deviation of the change of jawOpen.
        arkit_gaze_probability: Share of the faces whose eyes look elsewhere; 0 where the mesh does not show gaze.
        one_sided: Share of the faces that lose all actions of one side.
    """

    noise: tuple[float, float] = (1.0, 3.0)
    limit: float = 4.0
    scale: tuple[float, float] = (0.25, 1.5)
    small_noise: tuple[float, float] = (0.0, 0.2)
    jaw_probability: float = 0.5
    jaw_std_rad: tuple[float, float, float] = (0.2, 0.02, 0.02)
    jaw_open_rad: tuple[float, float] = (0.0, 0.5)
    jaw_side_rad: tuple[float, float] = (-0.2, 0.2)
    eyelids: tuple[float, float] = (-0.25, 0.25)
    arkit_blend: tuple[float, float] = (1 / 3, 1.0)
    arkit_active: float = 0.25
    arkit_small_noise: tuple[float, float] = (0.0, 0.1)
    arkit_noise_probability: float = 0.05
    arkit_jaw_std: float = 0.3
    arkit_gaze_probability: float = 0.5
    one_sided: float = 0.15


def perturb(
    params: FaceParams,
    spec: ParamSpec,
    templates: FaceParams,
    generator: torch.Generator,
    config: PerturbConfig = PerturbConfig(),
) -> tuple[FaceParams, Tensor]:
    """Give every face another expression.

    Args:
        params: Fields (B, ...); a missing expression, jaw or eyelids that the head has are zeros.
        spec: Of the head, which says what it has. templates: Fields (T, ...), see `templates_for`.
        generator: Source of the random numbers; may be on the CPU whatever device the parameters are on.
        config: Ranges of the changes.

    Returns:
        Parameters (B, ...), cut off from the graph of `params` and in their ranges, and the group (B,) int64, an
        index into `GROUPS`; groups differ by at most one in size.

    Raises:
        ValueError: The expression has a range and is not the 52 ARKit weights.

    Source: METHOD section 7, stage 2, the cycle path.
    """
    start = FaceParams(**{name: value.detach() for name, value in _completed(params, spec).items()})
    count = start.batch_shape[0]
    first = torch.randint(len(GROUPS), (), generator=generator, device=generator.device)
    order = torch.randperm(count, generator=generator, device=generator.device)
    group = ((first + order) % len(GROUPS)).to(start.items()[0][1].device)
    changes: tuple[Callable[[FaceParams], FaceParams], ...] = (
        lambda some: with_noise(some, spec, generator, config),
        lambda some: permute_expressions(some, spec, generator, config),
        lambda some: from_templates(some, spec, templates, generator, config),
        lambda some: neutral(some, spec, generator, config),
    )
    index = [torch.nonzero(group == number)[:, 0] for number in range(len(GROUPS))]
    parts = [change(_take(start, rows)) for change, rows in zip(changes, index)]
    back = torch.cat(index).argsort()
    joined = {name: torch.cat([getattr(part, name) for part in parts])[back] for name, _ in parts[0].items()}
    return FaceParams(**joined), group


def with_noise(
    params: FaceParams, spec: ParamSpec, generator: torch.Generator, config: PerturbConfig = PerturbConfig()
) -> FaceParams:
    """Change a random half of each face's coefficients.

    FLAME: + N(0, 1) · U(noise), kept in ±limit. ARKit: a share U(arkit_blend) of the way to new weights, which are
    0 but for `arkit_active` of them, U(0, 1) there; a mean of two weights in range is in range.
    Arguments and result as in `perturb`.
    """
    params = _completed(params, spec)
    draw, old = _Draw(generator, _expression(params)), _expression(params)
    half = draw.chance(0.5, old.shape)
    if _is_arkit(spec):
        new = draw.uniform((0, 1), old.shape) * draw.chance(config.arkit_active, old.shape)
        pull = draw.uniform(config.arkit_blend, (len(old), 1)) * half * _noisy_actions(old)
        return _finished(params.replace(expression=torch.lerp(old, new, pull)), spec, draw, config)
    noise = draw.normal(old.shape) * draw.uniform(config.noise, (len(old), 1))
    changed = (old + half * noise).clamp(-config.limit, config.limit)
    return _finished(params.replace(expression=changed), spec, draw, config)


def permute_expressions(
    params: FaceParams, spec: ParamSpec, generator: torch.Generator, config: PerturbConfig = PerturbConfig()
) -> FaceParams:
    """Give each face the expression of another one of the batch, times U(scale).

    Arguments and result as in `perturb`.
    """
    params = _completed(params, spec)
    draw, old = _Draw(generator, _expression(params)), _expression(params)
    changed = old[draw.permutation(len(old))] * draw.uniform(config.scale, (len(old), 1))
    return _finished(params.replace(expression=changed), spec, draw, config)


def from_templates(
    params: FaceParams,
    spec: ParamSpec,
    templates: FaceParams,
    generator: torch.Generator,
    config: PerturbConfig = PerturbConfig(),
) -> FaceParams:
    """Give each face a random template, times U(scale): its expression and, where it has them, its jaw and eyelids.

    Arguments and result as in `perturb`.
    """
    params = _completed(params, spec)
    draw, old = _Draw(generator, _expression(params)), _expression(params)
    row = draw.integers(templates.batch_shape[0], len(old))
    factor = draw.uniform(config.scale, (len(old), 1))
    taken = {name: value.to(old)[row] * factor for name, value in templates.items() if name in _changed(spec)}
    return _finished(params.replace(**taken), spec, draw, config)


def neutral(
    params: FaceParams, spec: ParamSpec, generator: torch.Generator, config: PerturbConfig = PerturbConfig()
) -> FaceParams:
    """Take off each face's expression and close its eyes at random, U(0, 1) each; the jaw stays shut.

    Arguments and result as in `perturb`.
    """
    params = _completed(params, spec)
    draw, old = _Draw(generator, _expression(params)), _expression(params)
    zeros = {name: torch.zeros_like(getattr(params, name)) for name in _changed(spec)}
    closed = draw.uniform((0, 1), (len(old), 2))
    if _is_arkit(spec):
        zeros["expression"][:, _BLINKS] = closed
    if "eyelids" in zeros:
        zeros["eyelids"] = closed
    return _finished(params.replace(**zeros), spec, draw, config, jaw_moves=False)


@dataclass(frozen=True)
class _Draw:
    """Random numbers with the device and dtype of a tensor."""

    generator: torch.Generator
    like: Tensor

    def uniform(self, ends: tuple[float, float], shape: tuple[int, ...] | torch.Size) -> Tensor:
        unit = torch.rand(shape, generator=self.generator, device=self.generator.device).to(self.like)
        return ends[0] + (ends[1] - ends[0]) * unit

    def normal(self, shape: tuple[int, ...] | torch.Size) -> Tensor:
        return torch.randn(shape, generator=self.generator, device=self.generator.device).to(self.like)

    def chance(self, probability: float, shape: tuple[int, ...] | torch.Size) -> Tensor:
        """Return 1 with a probability, else 0."""
        return (self.uniform((0, 1), shape) < probability).to(self.like)

    def integers(self, end: int, count: int) -> Tensor:
        drawn = torch.randint(end, (count,), generator=self.generator, device=self.generator.device)
        return drawn.to(self.like.device)

    def permutation(self, count: int) -> Tensor:
        return torch.randperm(count, generator=self.generator, device=self.generator.device).to(self.like.device)


def _finished(
    params: FaceParams, spec: ParamSpec, draw: _Draw, config: PerturbConfig, jaw_moves: bool = True
) -> FaceParams:
    """Add what all groups have in common: a little noise, motion of jaw and eyelids; keep everything in range."""
    expression, changes = _expression(params), {}
    if _is_arkit(spec):
        changes["expression"] = _finished_arkit(expression, draw, config, jaw_moves)
    else:
        little = draw.uniform(config.small_noise, (len(expression), 1))
        changes["expression"] = expression + little * draw.normal(expression.shape)
    if params.jaw is not None and "jaw" in spec.names:
        moves = draw.chance(config.jaw_probability, (len(expression), 1)) * float(jaw_moves)
        jaw = params.jaw + moves * draw.normal(params.jaw.shape) * params.jaw.new_tensor(config.jaw_std_rad)
        changes["jaw"] = torch.cat([jaw[:, :1].clamp(*config.jaw_open_rad), jaw[:, 1:].clamp(*config.jaw_side_rad)], 1)
    if params.eyelids is not None and "eyelids" in spec.names:
        changes["eyelids"] = (params.eyelids + draw.uniform(config.eyelids, params.eyelids.shape)).clamp(0, 1)
    return params.replace(**changes)


def _finished_arkit(weights: Tensor, draw: _Draw, config: PerturbConfig, jaw_moves: bool) -> Tensor:
    """Do the same to ARKit weights (B, 52); some faces lose one side."""
    count = len(weights)
    little = draw.uniform(config.arkit_small_noise, (count, 1)) * draw.normal(weights.shape)
    changed = (weights > 0) | (draw.chance(config.arkit_noise_probability, weights.shape) > 0)
    weights = weights + little * changed * _noisy_actions(weights)
    weights[:, _BLINKS] += draw.uniform(config.eyelids, (count, 2))
    moves = draw.chance(config.jaw_probability, (count,)) * float(jaw_moves)
    weights[:, _JAW_OPEN] += moves * config.arkit_jaw_std * draw.normal((count,))
    looks = draw.chance(config.arkit_gaze_probability, (count, 1))
    weights = torch.lerp(weights, _looking(draw.uniform((-1, 1), (count, 2))), looks * weights.new_tensor(_GAZE))
    # Detectors even out faces: without these, no face in the batch would be clearly one-sided.
    sides = weights.new_tensor(_SIDES)[draw.integers(2, count)]
    weights = weights * (1 - sides * draw.chance(config.one_sided, (count, 1)))
    weights = resolve_antagonists(weights.clamp(0, 1))
    weights[:, _MOUTH_CLOSE] = weights[:, _MOUTH_CLOSE].minimum(weights[:, _JAW_OPEN])
    return weights


def _is_arkit(spec: ParamSpec) -> bool:
    param = spec["expression"]
    if (param.low, param.high) == (float("-inf"), float("inf")):
        return False
    if (param.low, param.high, param.size) != (0.0, 1.0, len(ARKIT_NAMES)):
        raise ValueError(f"{param.size} expressions in [{param.low}, {param.high}] are not the 52 ARKit weights")
    return True


def _changed(spec: ParamSpec) -> tuple[str, ...]:
    return tuple(name for name in CHANGED if name in spec.names)


def _completed(params: FaceParams, spec: ParamSpec) -> FaceParams:
    """Return parameters in which the fields that will change are given."""
    _, some = params.items()[0]
    sizes = {name: spec[name].size for name in _changed(spec) if getattr(params, name) is None}
    return params.replace(**{name: some.new_zeros(*params.batch_shape, size) for name, size in sizes.items()})


def _expression(params: FaceParams) -> Tensor:
    assert params.expression is not None  # see _completed
    return params.expression


def _take(params: FaceParams, index: Tensor) -> FaceParams:
    count = params.batch_shape[0]
    return FaceParams(**{name: value.expand(count, -1)[index] for name, value in params.items()})


def _noisy_actions(like: Tensor) -> Tensor:
    """Return (52,) 1 for actions that receive noise."""
    return like.new_tensor([float(name not in (*GAZE_NAMES, "tongueOut")) for name in ARKIT_NAMES])


def _looking(direction: Tensor) -> Tensor:
    """Return weights (B, 52) with which both eyes look (B, 2) in [-1, 1] to their left and up."""
    weights = direction.new_zeros(len(direction), len(ARKIT_NAMES))
    for name in GAZE_NAMES:
        to_left = name in ("eyeLookOutLeft", "eyeLookInRight")
        component = direction[:, 1] if "Up" in name or "Down" in name else direction[:, 0]
        weights[:, ARKIT_NAMES.index(name)] = (component if to_left or "Up" in name else -component).clamp_min(0)
    return weights


def _side(side: str) -> list[float]:
    """Return (52,) 1 for actions of one side of the face; those that move the whole mouth or gaze have no side."""
    whole = (*GAZE_NAMES, "jawLeft", "jawRight", "mouthLeft", "mouthRight")
    return [float(name.endswith(side) and name not in whole) for name in ARKIT_NAMES]


_SIDES = (_side("Left"), _side("Right"))
_GAZE = [float(name in GAZE_NAMES) for name in ARKIT_NAMES]
_BLINKS = [ARKIT_NAMES.index(name) for name in ("eyeBlinkLeft", mirror_name("eyeBlinkLeft"))]
_JAW_OPEN = ARKIT_NAMES.index("jawOpen")
_MOUTH_CLOSE = ARKIT_NAMES.index("mouthClose")
