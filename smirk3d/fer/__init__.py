"""Recognition of facial expressions: expression vectors, emotions, action units.

The public names are imported when they are first used. `ExpressionVector`, `EmotionClassifier`,
`ClipEmotionClassifier` and `OcclusionRepair` follow scikit-learn's conventions and need it:
`pip install 'smirk3d[fer]'`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from smirk3d.fer.clips.estimator import ClipEmotionClassifier
    from smirk3d.fer.estimators import EmotionClassifier, ExpressionVector
    from smirk3d.fer.occlusion.estimator import OcclusionRepair
    from smirk3d.fer.recognizer import EmotionRecognizer, FaceEmotion
    from smirk3d.fer.vae.expression_vae import ExpressionVAE

__all__ = [
    "ClipEmotionClassifier",
    "EmotionClassifier",
    "EmotionRecognizer",
    "ExpressionVAE",
    "ExpressionVector",
    "FaceEmotion",
    "OcclusionRepair",
]

_HOME = {
    "ClipEmotionClassifier": "smirk3d.fer.clips.estimator",
    "EmotionClassifier": "smirk3d.fer.estimators",
    "EmotionRecognizer": "smirk3d.fer.recognizer",
    "ExpressionVAE": "smirk3d.fer.vae.expression_vae",
    "ExpressionVector": "smirk3d.fer.estimators",
    "FaceEmotion": "smirk3d.fer.recognizer",
    "OcclusionRepair": "smirk3d.fer.occlusion.estimator",
}


def __getattr__(name: str) -> object:
    """Import a public name from the module that defines it (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Return the public names."""
    return sorted(__all__)
