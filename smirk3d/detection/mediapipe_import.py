"""MediaPipe's import without that of Matplotlib, which only its drawing functions need and which takes longer."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

_PARENT, _PYPLOT = "matplotlib", "matplotlib.pyplot"


class _StandIn(ModuleType):
    """Stands for a module until an attribute is read, and then passes on those of the module itself."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # the import system asks for some
            raise AttributeError(name)
        _remove_stand_ins()
        return getattr(importlib.import_module(self.__name__), name)


def _remove_stand_ins() -> None:
    for name in (_PYPLOT, _PARENT):
        if isinstance(sys.modules.get(name), _StandIn):
            del sys.modules[name]


@contextmanager
def without_pyplot() -> Iterator[None]:
    """Let modules that are imported meanwhile get Matplotlib's pyplot at its first use; as ever where it is loaded."""
    if _PARENT in sys.modules:
        yield
        return
    parent, pyplot = _StandIn(_PARENT), _StandIn(_PYPLOT)
    parent.pyplot = pyplot  # type: ignore[attr-defined]
    sys.modules |= {_PARENT: parent, _PYPLOT: pyplot}
    try:
        yield
    finally:
        _remove_stand_ins()
