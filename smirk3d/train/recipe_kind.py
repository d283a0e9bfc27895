"""Which network a configuration file of `smirk3d fer train` is about: its key `kind`."""

from __future__ import annotations

import os
from collections.abc import Collection

from smirk3d.assets import printable
from smirk3d.bounded_io import MAX_YAML_BYTES, parse_yaml, read_text
from smirk3d.errors import Smirk3dError


def recipe_kind(path: str | os.PathLike[str], kinds: Collection[str], default: str) -> str:
    """Return the kind of a configuration file.

    Args:
        path: YAML file; one that cannot be read has the default kind, and whoever reads it in full reports that.
        kinds: Those that there are.
        default: Kind of a file without the key.

    Raises:
        Smirk3dError: It names another kind.
    """
    try:
        tree = parse_yaml(read_text(path, MAX_YAML_BYTES))
    except (OSError, ValueError):
        return default
    kind = tree.get("kind", default) if isinstance(tree, dict) else default
    if kind not in kinds:
        raise Smirk3dError(f"{printable(path)}: kind must be one of {', '.join(kinds)}, not {printable(str(kind))}")
    return kind
