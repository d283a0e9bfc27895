"""Pseudo-targets: what the fit finds is stored by key and comes back, for the same head only."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from training_faces import jpeg

from smirk3d.cli.main import main
from smirk3d.datasets.pseudo_targets import MAX_FACES_PER_SHAPE, TargetTable, fit_targets, join_targets
from smirk3d.datasets.shards import Record, write_shard
from smirk3d.datasets.synthetic.rendered_faces import fit_camera
from smirk3d.errors import Smirk3dError
from smirk3d.geometry.camera import project_orthographic
from smirk3d.head.model import HeadModel
from smirk3d.params import FaceParams

SIDE = 256


def _params(head: HeadModel, count: int, seed: int = 0) -> FaceParams:
    """Return neutral faces of one person, slightly rotated."""
    generator = torch.Generator().manual_seed(seed)
    shape = torch.randn(1, head.n_shape, generator=generator).expand(count, -1)
    pose = 0.3 * torch.randn(count, 3, generator=generator)
    return FaceParams(shape=shape, expression=0.1 * torch.rand(count, 52, generator=generator), pose=pose)


def _records(head: HeadModel, params: FaceParams, person: str, first: int = 0) -> list[Record]:
    """Return faces whose landmarks are those of the head, projected by an orthographic camera."""
    points = head(params).landmarks("mediapipe")
    camera = torch.tensor([6.0, 0.0, 0.0]).expand(len(points), 3)
    centred = points - points.mean(1, keepdim=True)
    pixels = ((project_orthographic(centred, camera)[..., :2] + 1) * SIDE / 2).numpy()
    depth = (-centred[..., 2] * 6.0 * SIDE / 2).numpy()
    picture, scores = jpeg(SIDE, SIDE), np.zeros(52, np.float32)
    return [
        Record(f"{person}{first + k}", picture, pixels[k], (SIDE, SIDE), scores, person, "", depth[k])
        for k in range(len(points))
    ]


@pytest.fixture(scope="module")
def params(open_head: HeadModel) -> FaceParams:
    return _params(open_head, 6)


@pytest.fixture(scope="module")
def records(open_head: HeadModel, params: FaceParams) -> list[Record]:
    """Four faces of Ann, and two of unknown people."""
    faces = _records(open_head, params, "Ann")
    return [*faces[:4], *(replace(face, person="") for face in faces[4:])]


@pytest.fixture(scope="module")
def table(open_head: HeadModel, records: list[Record]) -> TargetTable:
    return join_targets(fit_targets(open_head, records, batch_faces=3))


def test_the_fit_lays_the_head_on_the_landmarks(
    table: TargetTable, records: list[Record], params: FaceParams, open_head: HeadModel
) -> None:
    found, weight = table.of([record.key for record in records])
    assert found.pose is not None and params.pose is not None and found.camera is None
    assert (found.pose - params.pose).norm(dim=1).rad2deg().max() < 5
    points = open_head(found).landmarks("mediapipe")
    projected = torch.from_numpy(np.stack([record.landmarks_px for record in records])) * 2 / SIDE - 1
    error = project_orthographic(points, fit_camera(points, projected))[..., :2] - projected
    assert error.norm(dim=-1).mean() * SIDE / 2 < 1
    assert ((weight > 0.8) & (weight <= 1)).all()


def test_people_have_one_shape(table: TargetTable, open_head: HeadModel) -> None:
    shape = table.params.shape
    assert shape is not None and table.keys == tuple(f"Ann{k}" for k in range(6))
    assert shape[:4].eq(shape[0]).all() and not shape[4].equal(shape[0]) and not shape[4].equal(shape[5])
    many = _records(open_head, _params(open_head, MAX_FACES_PER_SHAPE + 2, 1), "Bo")
    found = join_targets(fit_targets(open_head, many)).params.shape
    assert found is not None and len(found.unique(dim=0)) == 2


def test_trust_falls_with_the_residual(table: TargetTable, records: list[Record], open_head: HeadModel) -> None:
    noise = np.random.default_rng(0).normal(0, 4, (478, 2)).astype(np.float32)
    worse = replace(records[5], landmarks_px=records[5].landmarks_px + noise)
    (found,) = fit_targets(open_head, [worse])
    assert found.weight.item() < 0.8 * table.weight[5].item()


def test_a_table_comes_back(table: TargetTable, tmp_path: Path, open_head: HeadModel) -> None:
    table.save(tmp_path / "t.npz")
    back = TargetTable.load(tmp_path / "t.npz", open_head)
    assert (back.keys, back.expression_names, len(back)) == (table.keys, table.expression_names, 6)
    assert back.weight.equal(table.weight)
    assert all(a.equal(b) for (_, a), (_, b) in zip(back.params.items(), table.params.items(), strict=True))
    with np.load(tmp_path / "t.npz", allow_pickle=False) as file:
        assert {file[name].dtype for name in ("shape", "expression", "pose", "weight")} == {np.dtype(np.float32)}
    found, weight = back.of(["Ann3", "nobody", "Ann0"])
    assert weight.tolist() == [table.weight[3].item(), 0, table.weight[0].item()]
    assert all(value[1].eq(0).all() and value[0].any() for _, value in found.items())


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"expression_names": np.array(["a"] * 52)}, "its expressions are not the head's"),
        ({"shape": np.zeros((6, 3), np.float32)}, "shape is no finite array of"),
        ({"pose": np.full((6, 3), np.nan, np.float32)}, "pose is no finite array of"),
        ({"weight": np.zeros(6, np.float32)}, "a weight is not in"),
        ({"keys": np.array(["a"] * 6)}, "a key is there twice"),
        ({"keys": np.array([None] * 6)}, "no targets for this head"),
        ({"pose": None}, "pose is missing"),
        ({"weight": None}, "weight"),
    ],
)
def test_what_is_no_table_is_refused(
    change: dict, reason: str, table: TargetTable, tmp_path: Path, open_head: HeadModel
) -> None:
    table.save(tmp_path / "t.npz")
    with np.load(tmp_path / "t.npz") as file:
        arrays = {**file, **change}
    np.savez(tmp_path / "t.npz", **{name: value for name, value in arrays.items() if value is not None})
    with pytest.raises(Smirk3dError, match=rf"t\.npz: no targets for this head .*{reason}|{reason}"):
        TargetTable.load(tmp_path / "t.npz", open_head)


def test_damaged_and_missing_tables_are_named(tmp_path: Path, open_head: HeadModel) -> None:
    (tmp_path / "t.npz").write_bytes(b"PK\x03\x04no")
    for name in ("t.npz", "none.npz"):
        with pytest.raises(Smirk3dError, match=rf"{name}: no targets for this head \([^\n]*make them with"):
            TargetTable.load(tmp_path / name, open_head)


def test_faces_without_depth_and_double_keys_are_refused(records: list[Record], open_head: HeadModel) -> None:
    with pytest.raises(Smirk3dError, match="face Ann0: its landmarks have no depth; prepare the shard again"):
        list(fit_targets(open_head, [replace(records[0], depth_px=None)]))
    with pytest.raises(Smirk3dError, match="face Ann4: is there 2 times; name every folder once"):
        list(fit_targets(open_head, [records[4], records[0], records[4]]))
    with pytest.raises(ValueError, match="no faces"):
        join_targets([])


def test_the_command(
    records: list[Record], tmp_path: Path, open_head: HeadModel, capsys: pytest.CaptureFixture
) -> None:
    write_shard(tmp_path / "train-000000.tar", records[:4])
    write_shard(tmp_path / "val-000000.tar", [records[4], replace(records[5], jpeg=b"no")])
    out = tmp_path / "t.npz"
    assert main(["data", "targets", str(tmp_path), "--out", str(out)]) == 0
    assert "faces: 4; mean trust 0." in capsys.readouterr().out
    assert main(["data", "targets", str(tmp_path), "--out", str(out), "--split", "all"]) == 1
    captured = capsys.readouterr()
    assert "faces: 5" in captured.out and "val-000000.tar: Ann5: " in captured.err
    assert TargetTable.load(out, open_head).keys == tuple(f"Ann{k}" for k in range(5))
    assert main(["data", "targets", str(tmp_path), str(tmp_path), "--out", str(out)]) == 1
    assert "is there 2 times; name every folder once" in capsys.readouterr().err
    assert main(["data", "targets", "--out", str(out)]) == 2
    assert main(["data", "targets", str(tmp_path), "--out", "t.csv"]) == 2
    assert main(["data", "targets", str(tmp_path / "none"), "--out", str(out)]) == 1
