"""Addresses of the web where a file of this machine is expected."""

from __future__ import annotations

import os
import re

# A path object holds one slash of "https://" only.
_URL = re.compile(r"(https?|ftps?|s3|gs|az|hdfs|file|data|blob):/?/?\S", re.IGNORECASE)


def is_url(path: str | os.PathLike[str]) -> bool:
    """Return whether a path is the URL of something else, and no file of that name."""
    text = os.fspath(path)
    return bool(_URL.match(text)) and not os.path.exists(text)
