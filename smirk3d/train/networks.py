"""The networks that a training step updates."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

ENCODERS = ("pose", "shape", "expression")
"""The branches of an `Encoder` as `StageConfig.trainable` names them."""


@dataclass(frozen=True, eq=False)
class Networks:
    """The networks of a stage; each may be wrapped, as by Fabric, if the wrapper passes attributes on.

    Attributes:
        encoder: An `Encoder`.
        neural_renderer: A `NeuralRenderer`; None in the stage pretrain.
    """

    encoder: nn.Module
    neural_renderer: nn.Module | None = None

    def parts(self) -> dict[str, nn.Module]:
        """Return the networks under their names in `StageConfig.trainable`."""
        parts: dict[str, nn.Module] = {name: getattr(self.encoder, f"{name}_encoder") for name in ENCODERS}
        return parts if self.neural_renderer is None else parts | {"neural_renderer": self.neural_renderer}
