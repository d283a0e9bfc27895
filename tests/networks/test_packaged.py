"""The weights that come with the package."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import smirk3d
from smirk3d.networks.packaged import packaged_encoder
from smirk3d.zoo import registry
from smirk3d.zoo.registry import ENCODER

PACKAGE = Path(smirk3d.__file__).parent


def test_packaged_weights_are_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(registry.resources, "files", lambda package: tmp_path)
    assert packaged_encoder() is None
    (tmp_path / "zoo" / "files").mkdir(parents=True)
    (tmp_path / "zoo" / "files" / ENCODER.file).write_bytes(b"")
    assert packaged_encoder() == tmp_path / "zoo" / "files" / ENCODER.file


def test_missing_weights_are_none() -> None:
    path = PACKAGE / "zoo" / "files" / ENCODER.file
    assert packaged_encoder() == (path if path.is_file() else None)


def test_weights_are_package_data() -> None:
    settings = PACKAGE.parent / "pyproject.toml"
    listed = re.search(r"package-data\]\nsmirk3d = \[(.*)\]", settings.read_text(encoding="utf-8"))
    assert listed is not None
    patterns = re.findall(r'"([^"]+)"', listed[1])
    for name in (f"zoo/files/{ENCODER.file}", "zoo/files/encoder.md", "zoo/files/open_head.pack"):
        assert any(Path(name).match(pattern) for pattern in patterns), name
