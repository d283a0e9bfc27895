"""The interface between the training loop and what a stage trains."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from torch import Tensor, nn

from smirk3d.datasets.shards import DataError
from smirk3d.datasets.training_batch import TrainingBatch
from smirk3d.head.model import HeadModel
from smirk3d.train.config import TrainConfig
from smirk3d.train.losses.losses import LossTerms, total
from smirk3d.train.networks import Networks

if TYPE_CHECKING:
    from lightning_fabric import Fabric


@dataclass(frozen=True, eq=False)
class ParameterGroup:
    """Parameters that share the settings of Adam.

    Attributes:
        name: Name in the metrics.
        parameters: The parameters; not empty.
        lr: Learning rate, before the schedule.
        betas: Adam's betas.
        weight_decay: Decoupled weight decay (Loshchilov and Hutter, "Decoupled Weight Decay Regularization", 2019).
    """

    name: str
    parameters: Sequence[nn.Parameter]
    lr: float
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.0


@dataclass(frozen=True)
class Clip:
    """A bound on the gradient.

    Attributes:
        groups: Names of the parameter groups whose joint norm is bounded; others are not clipped.
        norm: The largest norm, above 0.
    """

    groups: tuple[str, ...]
    norm: float


@dataclass(frozen=True, eq=False)
class Update:
    """Losses of one optimiser step.

    Attributes:
        path: Where they come from, the first part of their names in the metrics.
        terms: The losses, unweighted.
        weights: Their weights, for the same names.
        images: (B, 3, S, S) each in [0, 1] by name, detached, for contact sheets.
        clip: Bound on the gradient; None: none.
    """

    path: str
    terms: LossTerms
    weights: Mapping[str, float]
    images: Mapping[str, Tensor] = field(default_factory=dict)
    clip: Clip | None = None

    @property
    def loss(self) -> Tensor:
        """The weighted sum to be minimised, ()."""
        return total(self.terms, self.weights)


@dataclass(frozen=True)
class Criterion:
    """The measure by which the weights of a stage are compared.

    Attributes:
        measure: Name among the measures of `Task.validate`.
        is_error: Less is better.
    """

    measure: str
    is_error: bool = False

    def is_better(self, value: float, best: float | None) -> bool:
        """Return whether a value is better than the best so far; None: there is none."""
        return best is None or (value < best if self.is_error else value > best)


@dataclass(frozen=True, eq=False)
class Workbench:
    """What a task works with.

    Attributes:
        config: The run, as `TrainConfig.for_stage` gives it for the stage.
        run: The whole run.
        fabric: Launched Fabric.
        head: Head model, on the CPU.
        networks: The networks of the run, on its device; tasks change them in place.
        record: Plain facts about the run that later stages and the exported file need. It is part of checkpoints.
    """

    config: TrainConfig
    run: TrainConfig
    fabric: Fabric
    head: HeadModel
    networks: Networks
    record: dict[str, Any]


class Task(Protocol):
    """What a stage trains. Steps count from 0 within the stage."""

    @property
    def criterion(self) -> Criterion:
        """How validations are compared."""
        ...

    @property
    def faults(self) -> tuple[DataError, ...]:
        """Faces that could not be read."""
        ...

    def modules(self) -> Mapping[str, nn.Module]:
        """Return the modules that learn besides the networks of the run and end with the stage, by name."""
        ...

    def initialise(self) -> None:
        """Set the weights from which the stage starts; not called where a checkpoint holds them."""
        ...

    def groups(self) -> list[ParameterGroup]:
        """Return the parameters that learn; after `initialise`."""
        ...

    def rate_factor(self, step: int) -> float:
        """Return the factor of the schedule on all learning rates at a step."""
        ...

    def batches(self, start: int, stop: int) -> Iterator[TrainingBatch | None]:
        """Yield this process's share of the batches of the steps in [start, stop), on the CPU; None without data."""
        ...

    def updates(self, batch: Any, step: int) -> Iterator[Update]:
        """Yield the losses of the optimiser steps of a step; each is taken before the next is asked for."""
        ...

    def validate(self) -> dict[str, float]:
        """Return measures by name; empty where there are none for this head."""
        ...

    def complete(self) -> None:
        """Do what remains after the last step; the networks then are those that the stage was to make."""
        ...
