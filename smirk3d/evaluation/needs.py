"""Inputs that measures need, and what to do where one is missing."""

from __future__ import annotations

from collections.abc import Callable

from smirk3d.evaluation.method_under_test import DETECTOR, FIT
from smirk3d.evaluation.options import EvaluationOptions
from smirk3d.head.load import OPEN_HEAD


def _has_networks(options: EvaluationOptions) -> bool:
    return options.checkpoint not in (FIT, DETECTOR)


NEEDS: dict[str, tuple[Callable[[EvaluationOptions], bool], str]] = {
    "encoder": (_has_networks, "needs an encoder; the landmark fit and the detector have none"),
    "fit": (lambda options: options.checkpoint == FIT, "measures the landmark fit; evaluate 'fit'"),
    "reconstruction": (
        lambda options: options.checkpoint != DETECTOR,
        "needs reconstructed heads; the detector's scores have none",
    ),
    "data": (lambda options: options.data is not None, "needs photos; name a folder of shards with --data"),
    "annotations": (
        lambda options: options.data is not None,
        "needs annotated landmarks; name a folder with landmarks.npz and labels.csv with --data",
    ),
    "faces": (
        lambda options: options.data is not None or options.photos is not None,
        "needs photos; name a folder of shards with --data, or a folder of photos with --photos",
    ),
    "character": (
        lambda options: options.character is not None,
        "needs another head; name a .glb with ARKit's morph targets with --character",
    ),
    "head": (
        lambda options: options.head != OPEN_HEAD,
        "needs another head model than the open head; name a FLAME file or a head pack with --head",
    ),
}
"""Name -> (whether the options have it, what to do where they do not)."""


def missing_input(needs: frozenset[str], options: EvaluationOptions) -> str:
    """Return why a measure cannot run, "" where it can."""
    return next((reason for name, (has, reason) in NEEDS.items() if name in needs and not has(options)), "")
