"""The interface of what a small network learns."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from torch import Tensor, nn

from smirk3d.train.averaged_update import UpdateSettings
from smirk3d.train.checkpoint import Stateful

Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True)
class TrainPlan:
    """The length of a run.

    Attributes:
        steps: Optimiser steps.
        validate_every: Steps between validations; there is one after the last step, too.
        update: Learning rate, weight decay and so on.
    """

    steps: int
    validate_every: int
    update: UpdateSettings


@dataclass(frozen=True, eq=False)
class StepLosses:
    """The losses of a step.

    Attributes:
        terms: Weighted losses, (); the gradient is that of their sum.
        n_samples: Faces or clips of the step.
        figures: Further numbers for the metrics.
    """

    terms: Mapping[str, Tensor]
    n_samples: int
    figures: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class FinalNetwork:
    """What is exported.

    Attributes:
        network: The network.
        measures: Of the network; they go into the header.
        header: Further facts for the header.
    """

    network: nn.Module
    measures: Mapping[str, float]
    header: Mapping[str, str] = field(default_factory=dict)


class NetworkTask(ABC, Generic[Network]):
    """A network, the data from which it learns, its losses and its validation.

    Attributes:
        network: What learns, in training mode.
        plan: The length of the run.
        record: Plain data that belong to checkpoints; the entry `smirk3d.train.provenance.DATA` goes into the header.
    """

    network: Network
    plan: TrainPlan
    record: dict[str, Any]

    @abstractmethod
    def losses(self, step: int, average: Network) -> StepLosses:
        """Return the losses of a step, which depend on the seed, the number of the step and the state alone.

        Args:
            step: Number of the step, from 0.
            average: The averaged network before the step.
        """

    @abstractmethod
    def validate(self, average: Network) -> dict[str, float]:
        """Return measures of the averaged network."""

    def after_step(self, step: int, average: Network) -> None:
        """Adapt the state to the network after a step."""

    def score(self, measures: Mapping[str, float]) -> float | None:
        """Return by what validations are compared, larger is better; None: the last weights are kept."""

    def finish(self, average: Network, measures: Mapping[str, float]) -> FinalNetwork:
        """Return what is exported.

        Args:
            average: The averaged network that was kept.
            measures: Those of its validation.
        """
        return FinalNetwork(average, measures)

    def stateful_parts(self) -> Mapping[str, Stateful]:
        """Return what checkpoints hold beside networks, by name."""
        return {}
