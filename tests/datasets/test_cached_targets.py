"""Targets that training fits by itself are those of `smirk3d data targets`, fitted once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from training_faces import record

from smirk3d.cli.main import main
from smirk3d.datasets import cached_targets
from smirk3d.datasets.cached_targets import fitted_targets
from smirk3d.datasets.pseudo_targets import TargetTable
from smirk3d.datasets.shards import Record, write_shard
from smirk3d.errors import Smirk3dError
from smirk3d.head.model import HeadModel
from smirk3d.params import FaceParams


def _faces(head: HeadModel, count: int) -> list[Record]:
    """Return faces whose landmarks are those of the head."""
    points = head(FaceParams(expression=0.1 * torch.rand(count, 52))).landmarks("mediapipe")
    points = (points - points.mean(1, keepdim=True)).numpy() * 600
    return [
        replace(
            record(f"f{k}", width=160, height=160),
            landmarks_px=(80 + points[k, :, :2] * np.array([1, -1])).astype(np.float32),
            depth_px=(-points[k, :, 2]).astype(np.float32),
        )
        for k in range(count)
    ]


def test_targets_are_fitted_once_for_a_head_and_its_faces(
    tmp_path: Path, open_head: HeadModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMIRK3D_CACHE", str(tmp_path / "cache"))
    (tmp_path / "in").mkdir()
    write_shard(tmp_path / "in" / "train-000000.tar", _faces(open_head, 3))
    found = fitted_targets(tmp_path / "in", open_head)
    assert main(["data", "targets", str(tmp_path / "in"), "--out", str(tmp_path / "t.npz")]) == 0
    wanted = TargetTable.load(tmp_path / "t.npz", open_head)
    assert found.keys == wanted.keys
    for name, value in wanted.params.items():
        torch.testing.assert_close(getattr(found.params, name), value, msg=name)
    monkeypatch.setattr(cached_targets, "fit_targets", None)  # a second fit would fail
    again = fitted_targets(tmp_path / "in", open_head)
    assert torch.equal(again.weight, found.weight)


def test_faces_without_depth_cannot_be_fitted(tmp_path: Path, open_head: HeadModel) -> None:
    write_shard(tmp_path / "train-000000.tar", [record("a")])
    with pytest.raises(Smirk3dError, match="no face can be fitted"):
        fitted_targets(tmp_path, open_head)
