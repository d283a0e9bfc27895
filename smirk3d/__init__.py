"""Photo in, expressive 3D head out.

The public names are imported when they are first used, so that `import smirk3d` stays fast.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from smirk3d.authoring.load import load_head
    from smirk3d.estimation.reconstructor import Reconstructor
    from smirk3d.face import Face
    from smirk3d.head.arkit import ARKIT_NAMES
    from smirk3d.head.retargeting.retargeter import Retargeter
    from smirk3d.networks.encoder import Encoder
    from smirk3d.networks.neural_renderer import NeuralRenderer
    from smirk3d.params import FaceParams
    from smirk3d.render.renderer import Renderer
    from smirk3d.track import Clip, Track

__version__ = "0.1.0"
__all__ = [
    "ARKIT_NAMES",
    "Clip",
    "Encoder",
    "Face",
    "FaceParams",
    "NeuralRenderer",
    "Reconstructor",
    "Renderer",
    "Retargeter",
    "Track",
    "__version__",
    "load_head",
]

_HOME = {
    "ARKIT_NAMES": "smirk3d.head.arkit",
    "Clip": "smirk3d.track",
    "Encoder": "smirk3d.networks.encoder",
    "Face": "smirk3d.face",
    "FaceParams": "smirk3d.params",
    "NeuralRenderer": "smirk3d.networks.neural_renderer",
    "Reconstructor": "smirk3d.estimation.reconstructor",
    "Renderer": "smirk3d.render.renderer",
    "Retargeter": "smirk3d.head.retargeting.retargeter",
    "Track": "smirk3d.track",
    "load_head": "smirk3d.authoring.load",
}


def __getattr__(name: str) -> object:
    """Import a public name from the module that defines it (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value  # the next access does not come here
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
