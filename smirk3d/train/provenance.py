"""Where trained weights come from: facts for the header of the exported file."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from torch import Tensor

from smirk3d import __version__
from smirk3d.train.config_file import to_yaml
from smirk3d.train.run_config import SeededConfig

DATA, MEASURES = "data", "measures"
"""Entries of the run's record, by stage: fingerprint of the faces, measures of the last validation."""


def provenance(config: SeededConfig, record: Mapping[str, Any]) -> dict[str, str]:
    """Return seed, commit, configuration, data and measures of a run as texts.

    Of absolute paths only the last part is stated: weights are passed on, and folders are private.

    Args:
        config: The run.
        record: Its record.
    """
    facts = {"seed": str(config.seed), "commit": commit(), "config": to_yaml(config, with_folders=False)}
    known = {name: json.dumps(record[name], sort_keys=True) for name in (DATA, MEASURES) if record.get(name)}
    return facts | known


@lru_cache
def commit() -> str:
    """Return the commit of the checkout that runs, with "-dirty" after changes; the version of an installation."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=40", "--match=-"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.SubprocessError):
        return f"version {__version__}"
    return done.stdout.strip() if done.returncode == 0 and done.stdout.strip() else f"version {__version__}"


def data_fingerprint(sources: Iterable[Any]) -> str:
    """Return a hexadecimal digest of the faces of sources and their targets.

    Args:
        sources: Those of a sampler. A source may have a `fingerprint`; of others the number of faces and persons
            counts.
    """
    digest = hashlib.sha256()
    for source in sources:
        identity = getattr(source, "fingerprint", None) or f"{type(source).__name__} {len(source)} {source.people}"
        digest.update(f"{identity}\n".encode())
    return digest.hexdigest()[:16]


def tensor_fingerprint(*tensors: Tensor) -> str:
    """Return a hexadecimal digest of the values of tensors."""
    digest = hashlib.sha256()
    for each in tensors:
        digest.update(each.numpy().tobytes())
    return digest.hexdigest()[:16]
