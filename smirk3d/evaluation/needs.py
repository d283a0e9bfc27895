"""Inputs that measures need, and what to do where one is missing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from smirk3d.evaluation.method_under_test import DETECTOR, FIT
from smirk3d.evaluation.options import EvaluationOptions
from smirk3d.head.load import OPEN_HEAD


@dataclass(frozen=True)
class Need:
    """An input.

    Attributes:
        label: What it is called in the list of measures.
        is_met: Whether options have it.
        reason: Why a measure cannot run without it, and what to do.
    """

    label: str
    is_met: Callable[[EvaluationOptions], bool]
    reason: str


NEEDS: dict[str, Need] = {
    "encoder": Need(
        "networks",
        lambda options: options.checkpoint not in (FIT, DETECTOR),
        "needs an encoder; the landmark fit and the detector have none",
    ),
    "fit": Need(
        "the landmark fit", lambda options: options.checkpoint == FIT, "measures the landmark fit; evaluate 'fit'"
    ),
    "reconstruction": Need(
        "networks or the landmark fit",
        lambda options: options.checkpoint != DETECTOR,
        "needs reconstructed heads; the detector's scores have none",
    ),
    "data": Need(
        "--data, a folder of shards",
        lambda options: options.data is not None,
        "needs photos; name a folder of shards with --data",
    ),
    "annotations": Need(
        "--data, a folder with landmarks.npz and labels.csv",
        lambda options: options.data is not None,
        "needs annotated landmarks; name a folder with landmarks.npz and labels.csv with --data",
    ),
    "faces": Need(
        "--data, a folder of shards, or --photos",
        lambda options: options.data is not None or options.photos is not None,
        "needs photos; name a folder of shards with --data, or a folder of photos with --photos",
    ),
    "photos": Need(
        "--photos, a folder of photos",
        lambda options: options.photos is not None,
        "needs photos without annotations; name a folder of them with --photos",
    ),
    "character": Need(
        "--character, a .glb with ARKit's morph targets",
        lambda options: options.character is not None,
        "needs another head; name a .glb with ARKit's morph targets with --character",
    ),
    "head": Need(
        "--head, another head model than the open head",
        lambda options: options.head != OPEN_HEAD,
        "needs another head model than the open head; name a FLAME file or a head pack with --head",
    ),
}


def missing_input(needs: frozenset[str], options: EvaluationOptions) -> str:
    """Return why a measure cannot run, "" where it can."""
    return next((need.reason for name, need in NEEDS.items() if name in needs and not need.is_met(options)), "")
