"""Augmentation of expressions for the cycle path.

A batch is split at random into four groups: noise on half of the coefficients, the expression of another face, a
template, a neutral face. Each is one function of the parameters. Shape, pose and camera stay as they are.

Two kinds of heads are supported. Coefficients without a range are changed as FLAME's are, with the numbers of the
paper. 52 coefficients in [0, 1] are ARKit weights and stay valid: in their range, mostly zero, without active
antagonists, mouthClose at most as large as jawOpen. Gaze and tongue receive no noise: both eyes have the same
direction, and the tongue needs an open mouth.

Source: Retsinas et al., "3D Facial Expressions through Analysis-by-Neural-Synthesis", CVPR 2024; docs/method.md.
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
    """Ranges of the changes; pairs are the ends of uniform distributions, drawn once per face.

    Attributes:
        noise: Standard deviation of the noise on half of the coefficients, at least 0.
        limit: Noisy coefficients are clamped to [-limit, limit]; above 0.
        scale: Factor on exchanged expressions and on templates, at least 0.
        small_noise: Standard deviation of the noise on all coefficients of every group, at least 0.
        jaw_probability: Share of the faces whose jaw moves, in [0, 1].
        jaw_std_rad: Standard deviations of that motion: opening, sideways turn, roll; radians.
        jaw_open_rad: Range of the opening, radians.
        jaw_side_rad: Range of the other two angles, radians; the encoder predicts no more.
        eyelids: Change of the eyelids, within [-1, 1].
        arkit_blend: Share of the way from ARKit weights to random new ones, within [0, 1].
        arkit_active: Share of the new weights that are not zero, in [0, 1].
        arkit_small_noise: Like `small_noise`, on the weights that are not zero; within [0, 1].
        arkit_noise_probability: Share of the zero weights that receive this noise too, in [0, 1].
        arkit_jaw_std: Standard deviation of the change of jawOpen, at least 0.
        arkit_gaze_probability: Share of the faces with a new gaze, in [0, 1]; 0 where the mesh does not show gaze.
        one_sided: Share of the faces in which one side becomes neutral, in [0, 1].
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
        params: Fields (B, ...); a missing expression, jaw or eyelids of the head count as zeros.
        spec: Parameters of the head.
        templates: Fields (T, ...), see `templates_for`.
        generator: Randomness; may be on the CPU whatever the device of the parameters.
        config: Ranges of the changes.

    Returns:
        Parameters (B, ...), detached and in their ranges, and the group (B,) int64, an index into `GROUPS`; groups
        differ by at most one in size.

    Raises:
        ValueError: The expression has a range and is not the 52 ARKit weights.
    """
    start = FaceParams(**{name: value.detach() for name, value in _completed(params, spec).items()})
    count = start.batch_shape[0]
    first = torch.randint(len(GROUPS), (), generator=generator, device=generator.device)
    order = torch.randperm(count, generator=generator, device=generator.device)
    group = ((first + order) % len(GROUPS)).to(start.items()[0][1].device)
    changes: tuple[Callable[[FaceParams], FaceParams], ...] = (
        lambda part: with_noise(part, spec, generator, config),
        lambda part: permute_expressions(part, spec, generator, config),
        lambda part: from_templates(part, spec, templates, generator, config),
        lambda part: neutral(part, spec, generator, config),
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

    FLAME: + N(0, 1) · U(noise), clamped to ±limit. ARKit: interpolation by U(arkit_blend) to new weights, U(0, 1) for
    a share `arkit_active` of them and 0 for the rest; interpolation keeps the range.
    Arguments and result as in `perturb`.
    """
    params = _completed(params, spec)
    draw, old = _Draw(generator, _expression(params)), _expression(params)
    half = draw.chance(0.5, old.shape)
    if _is_arkit(spec):
        new = draw.uniform((0, 1), old.shape) * draw.chance(config.arkit_active, old.shape)
        pull = draw.uniform(config.arkit_blend, (len(old), 1)) * half * _noise_mask(old)
        return _finished(params.replace(expression=torch.lerp(old, new, pull)), spec, draw, config)
    noise = draw.normal(old.shape) * draw.uniform(config.noise, (len(old), 1))
    changed = (old + half * noise).clamp(-config.limit, config.limit)
    return _finished(params.replace(expression=changed), spec, draw, config)


def permute_expressions(
    params: FaceParams, spec: ParamSpec, generator: torch.Generator, config: PerturbConfig = PerturbConfig()
) -> FaceParams:
    """Give each face the expression of another face of the batch, times U(scale).

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
    """Give each face a random template, times U(scale): expression and, where the template has them, jaw and eyelids.

    Arguments and result as in `perturb`.
    """
    params = _completed(params, spec)
    draw, old = _Draw(generator, _expression(params)), _expression(params)
    row = draw.integers(templates.batch_shape[0], len(old))
    factor = draw.uniform(config.scale, (len(old), 1))
    fields = {name: value.to(old)[row] * factor for name, value in templates.items() if name in _changed(spec)}
    return _finished(params.replace(**fields), spec, draw, config)


def neutral(
    params: FaceParams, spec: ParamSpec, generator: torch.Generator, config: PerturbConfig = PerturbConfig()
) -> FaceParams:
    """Make each face neutral and close each eye by U(0, 1); the jaw stays closed.

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
    """Apply the changes of all groups: small noise, motion of jaw and eyelids, ranges."""
    expression, changes = _expression(params), {}
    if _is_arkit(spec):
        changes["expression"] = _finished_arkit(expression, draw, config, jaw_moves)
    else:
        std = draw.uniform(config.small_noise, (len(expression), 1))
        changes["expression"] = expression + std * draw.normal(expression.shape)
    if params.jaw is not None and "jaw" in spec.names:
        moves = draw.chance(config.jaw_probability, (len(expression), 1)) * float(jaw_moves)
        jaw = params.jaw + moves * draw.normal(params.jaw.shape) * params.jaw.new_tensor(config.jaw_std_rad)
        changes["jaw"] = torch.cat([jaw[:, :1].clamp(*config.jaw_open_rad), jaw[:, 1:].clamp(*config.jaw_side_rad)], 1)
    if params.eyelids is not None and "eyelids" in spec.names:
        changes["eyelids"] = (params.eyelids + draw.uniform(config.eyelids, params.eyelids.shape)).clamp(0, 1)
    return params.replace(**changes)


def _finished_arkit(weights: Tensor, draw: _Draw, config: PerturbConfig, jaw_moves: bool) -> Tensor:
    """Apply the same changes to ARKit weights (B, 52), and make some faces one-sided."""
    count = len(weights)
    noise = draw.uniform(config.arkit_small_noise, (count, 1)) * draw.normal(weights.shape)
    changed = (weights > 0) | (draw.chance(config.arkit_noise_probability, weights.shape) > 0)
    weights = weights + noise * changed * _noise_mask(weights)
    weights[:, _BLINKS] += draw.uniform(config.eyelids, (count, 2))
    moves = draw.chance(config.jaw_probability, (count,)) * float(jaw_moves)
    weights[:, _JAW_OPEN] += moves * config.arkit_jaw_std * draw.normal((count,))
    has_new_gaze = draw.chance(config.arkit_gaze_probability, (count, 1))
    weights = torch.lerp(
        weights, _gaze_weights(draw.uniform((-1, 1), (count, 2))), has_new_gaze * weights.new_tensor(_GAZE)
    )
    # Detectors predict nearly symmetric faces: without these, no face in the batch would be clearly one-sided.
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
    """Return parameters in which the fields that change are present, zeros where they were missing."""
    _, first = params.items()[0]
    sizes = {name: spec[name].size for name in _changed(spec) if getattr(params, name) is None}
    return params.replace(**{name: first.new_zeros(*params.batch_shape, size) for name, size in sizes.items()})


def _expression(params: FaceParams) -> Tensor:
    assert params.expression is not None  # see _completed
    return params.expression


def _take(params: FaceParams, index: Tensor) -> FaceParams:
    count = params.batch_shape[0]
    return FaceParams(**{name: value.expand(count, -1)[index] for name, value in params.items()})


def _noise_mask(like: Tensor) -> Tensor:
    """Return (52,), 1 for blendshapes that receive noise, else 0."""
    return like.new_tensor([float(name not in (*GAZE_NAMES, "tongueOut")) for name in ARKIT_NAMES])


def _gaze_weights(direction: Tensor) -> Tensor:
    """Return weights (B, 52) for gaze directions (B, 2) in [-1, 1], left and up positive, the same for both eyes."""
    weights = direction.new_zeros(len(direction), len(ARKIT_NAMES))
    for name in GAZE_NAMES:
        to_left = name in ("eyeLookOutLeft", "eyeLookInRight")
        component = direction[:, 1] if "Up" in name or "Down" in name else direction[:, 0]
        weights[:, ARKIT_NAMES.index(name)] = (component if to_left or "Up" in name else -component).clamp_min(0)
    return weights


def _side(side: str) -> list[float]:
    """Return (52,), 1 for blendshapes of one side; those that move the whole mouth, and gaze, have none."""
    whole = (*GAZE_NAMES, "jawLeft", "jawRight", "mouthLeft", "mouthRight")
    return [float(name.endswith(side) and name not in whole) for name in ARKIT_NAMES]


_SIDES = (_side("Left"), _side("Right"))
_GAZE = [float(name in GAZE_NAMES) for name in ARKIT_NAMES]
_BLINKS = [ARKIT_NAMES.index(name) for name in ("eyeBlinkLeft", mirror_name("eyeBlinkLeft"))]
_JAW_OPEN = ARKIT_NAMES.index("jawOpen")
_MOUTH_CLOSE = ARKIT_NAMES.index("mouthClose")
