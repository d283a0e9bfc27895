"""Settings of the losses of analysis by neural synthesis and of its cycle path."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass, field, fields

from smirk3d.datasets.config_checks import check, check_positive, check_ranges, check_within
from smirk3d.train.expression_augmentation import PerturbConfig

ARKIT_CYCLE_WEIGHT = 60.0
"""Weight of the cycle on ARKit weights: with that of FLAME's coefficients, which are several times as large, its
gradient would be a sixth of that of the reconstruction path."""


@dataclass(frozen=True)
class LossWeights:
    """Weights of the losses, each at least 0; a loss of weight 0 is not computed.

    The formulas are in `smirk3d.train.losses`. Values in parentheses are those of configs/.

    Raises:
        ValueError: A weight is negative or not finite.
    """

    landmark: float = 0.0
    """Landmark reprojection: mean squared distance in NDC, [-1, 1] over the crop (100)."""
    photo: float = 0.0
    """Photometric L1 between the neural rendering and the photo (10)."""
    perceptual: float = 0.0
    """L1 between feature maps of a pretrained network (10 for VGG16; 0.05 for EfficientNet-Lite0, whose features are
    larger and say less about the expression)."""
    identity: float = 0.0
    """Shape consistency over the faces of one person; with the key `mica`, distance from MICA's shape (10)."""
    emotion: float = 0.0
    """Squared distance of features of an emotion network; its gradient reaches the encoder only (1)."""
    expression: float = 0.0
    """L2 penalty on the expression coefficients (1e-3, in pretraining 1e-2)."""
    jaw: float = 0.0
    """L2 penalty on the jaw's rotation vector (1e-2)."""
    target: float = 0.0
    """Distance from known parameters, the target of rendered or pseudo-labelled faces (1)."""

    def __post_init__(self) -> None:
        check_within(self, 0, sys.float_info.max, *(f.name for f in fields(self)))

    def in_use(self) -> dict[str, float]:
        """Return the weights above 0 by name."""
        return {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) > 0}


@dataclass(frozen=True)
class CycleWeights:
    """Weights of the cycle-consistency losses, mean squared errors of recovered parameters; each at least 0.

    Raises:
        ValueError: A weight is negative or not finite.
    """

    expression: float | None = None
    """Of the expression coefficients; null: 60 for ARKit weights in [0, 1], 1 for coefficients of unit size."""
    jaw: float = 10.0
    """Of the jaw's rotation vector."""
    eyelids: float = 10.0
    """Of the eyelid parameters."""
    shape: float = 1.0
    """Of the shape coefficients; used in the steps that update the neural renderer."""

    def __post_init__(self) -> None:
        given = [each.name for each in fields(self) if getattr(self, each.name) is not None]
        check_within(self, 0, sys.float_info.max, *given)

    def in_use(self, has_arkit_weights: bool) -> dict[str, float]:
        """Return the weights above 0 by name.

        Args:
            has_arkit_weights: The expression is ARKit weights in [0, 1].
        """
        weights = {each.name: getattr(self, each.name) for each in fields(self)}
        if self.expression is None:
            weights["expression"] = ARKIT_CYCLE_WEIGHT if has_arkit_weights else 1.0
        return {name: weight for name, weight in weights.items() if weight > 0}


@dataclass(frozen=True)
class CycleConfig:
    """The cycle path: augmented expressions are rendered and must be recovered (docs/method.md, "Cycle path").

    Raises:
        ValueError: A value is out of its range.
    """

    copies: int = 1
    """Augmented copies of each face in a step, at least 1; each costs as much as the face itself."""
    perturb: PerturbConfig = field(default_factory=PerturbConfig)
    """How expressions are augmented."""
    losses: CycleWeights = field(default_factory=CycleWeights)
    """Weights of the losses."""

    def __post_init__(self) -> None:
        check_within(self, 1, math.inf, "copies")
        probabilities = ("jaw_probability", "arkit_active", "arkit_noise_probability", "one_sided")
        check_within(self, 0, 1, *(f"perturb.{name}" for name in probabilities))
        check_within(self, 0, 100, "perturb.arkit_jaw_std")
        check_positive(self, "perturb.limit")
        check_ranges(self, 0, 100, *(f"perturb.{name}" for name in ("noise", "scale", "small_noise")))
        check_ranges(self, 0, 1, "perturb.arkit_blend", "perturb.arkit_small_noise")
        check_ranges(self, -math.pi, math.pi, "perturb.jaw_open_rad", "perturb.jaw_side_rad")
        check_ranges(self, -1, 1, "perturb.eyelids")
        stds = self.perturb.jaw_std_rad
        check(self, "perturb.jaw_std_rad", all(0 <= std <= math.pi for std in stds), "in [0, pi]")
