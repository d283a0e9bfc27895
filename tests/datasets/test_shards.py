"""Shards are read back as they were written, and damage is reported."""

from __future__ import annotations

import io
import json
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from training_faces import face_points, jpeg, record

from smirk3d.datasets.shards import DataError, read_folder, read_shard, write_shard
from smirk3d.errors import Smirk3dError
from smirk3d.head.arkit import ARKIT_NAMES


def _tar(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def _npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def _members(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as archive:
        return {info.name: archive.extractfile(info).read() for info in archive}  # type: ignore[union-attr]


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    path = tmp_path / "train-000000.tar"
    assert write_shard(path, [record(f"a{k}", "Ann" if k else "", seed=k) for k in range(3)]) == 3
    return path


def test_faces_come_back_as_they_were(shard: Path) -> None:
    found = list(read_shard(shard))
    assert [each.key for each in found] == ["a0", "a1", "a2"] and [each.person for each in found] == ["", "Ann", "Ann"]
    for k, each in enumerate(found):
        written = record(f"a{k}", seed=k)
        assert each.jpeg == written.jpeg and each.size_px == (64, 48) and each.source == f"a{k}.png"
        assert each.landmarks_px.dtype == np.float32
        np.testing.assert_array_equal(each.landmarks_px, written.landmarks_px)
        np.testing.assert_allclose(each.scores, written.scores, atol=1e-6)


def test_depth_comes_back_where_it_is_known(tmp_path: Path) -> None:
    depth = np.linspace(-9, 9, 478, dtype=np.float32)
    write_shard(tmp_path / "deep.tar", [replace(record("a"), depth_px=depth), record("b")])
    deep, flat = read_shard(tmp_path / "deep.tar")
    assert deep.depth_px is not None and flat.depth_px is None
    np.testing.assert_array_equal(deep.depth_px, depth)
    np.testing.assert_array_equal(deep.landmarks_px, record("a").landmarks_px)


def test_the_members_are_what_other_software_reads(shard: Path) -> None:
    members = _members(shard)
    assert list(members)[:3] == ["a0.jpg", "a0.json", "a0.npy"]
    facts = json.loads(members["a1.json"])
    points = np.load(io.BytesIO(members["a1.npy"]), allow_pickle=False)
    assert facts["person"] == "Ann" and (facts["width"], facts["height"]) == (64, 48)
    np.testing.assert_allclose(facts["box_px"], [*points.min(axis=0), *points.max(axis=0)], atol=1e-3)


def test_equal_faces_give_equal_bytes_and_a_failure_leaves_nothing(shard: Path, tmp_path: Path) -> None:
    write_shard(tmp_path / "again.tar", read_shard(shard))
    assert (tmp_path / "again.tar").read_bytes() == shard.read_bytes()

    def breaking():
        yield record("b")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_shard(tmp_path / "broken.tar", breaking())
    assert {path.name for path in tmp_path.iterdir()} == {"again.tar", shard.name}


BAD = {
    "no .jpg": {"jpg": None},
    "no .json": {"json": None},
    "no .npy": {"npy": None},
    "ends early": {"jpg": jpeg(64, 48)[:-100]},
    "cannot identify": {"jpg": b"text\xff\xd9"},
    "not an object": {"json": b"[]"},
    "Expecting": {"json": b"{"},
    "blendshapes is missing": {"json": b"{}"},
    "3 blendshape scores": {"json": b'{"blendshapes": [1, 2, 3]}'},
    "not 478 finite points": {"npy": _npy(np.zeros((5, 2)))},
    "finite points": {"npy": _npy(np.full((478, 2), np.nan))},
    "not those of a face": {"npy": _npy(np.full((478, 2), 20.0))},
    "those of a face in a picture of": {"npy": _npy(np.linspace(0, 1e30, 956).reshape(478, 2))},
    "pickle": {"npy": _npy(np.array([None]))},
    "bytes for an array of": {
        "npy": _npy(np.zeros((478, 2)))[:128].replace(b"(478, 2)", b"(9**9,2)").replace(b"9**9", b"9999")
    },
    "nested": {"json": b"[" * 100_000},
    "no number of JSON": {"json": b'{"blendshapes": [NaN]}'},
    "not within 0 and 1": {"json": json.dumps({"blendshapes": [1e9] * 52}).encode()},
    "limit": {"json": b" " * (2 << 20)},
    "pixels": {"jpg": jpeg(64, 48).replace(b"\x00\x30\x00\x40", b"\xff\x00\xff\x00")},
}


@pytest.mark.parametrize("reason", BAD)
def test_a_bad_face_is_told_and_left_out(reason: str, shard: Path, tmp_path: Path) -> None:
    change = {f"a1.{suffix}": content for suffix, content in BAD[reason].items()}
    members = {**_members(shard), **change}
    path = _tar(tmp_path / "bad.tar", {name: content for name, content in members.items() if content is not None})
    faults: list[DataError] = []
    assert [each.key for each in read_shard(path, faults.append)] == ["a0", "a2"]
    assert [(fault.shard, fault.key) for fault in faults] == [(path, "a1")] and reason in faults[0].reason
    with pytest.raises(Smirk3dError, match=rf"bad\.tar: a1: .*{reason}"):
        list(read_shard(path))


@pytest.mark.parametrize("end", [-1024, 0.7, 0.5, 100])
def test_a_truncated_archive_gives_its_beginning_and_a_fault(end: float, shard: Path, tmp_path: Path) -> None:
    content = shard.read_bytes()
    used = max(k for k in range(0, len(content), 512) if any(content[k : k + 512])) + 512
    stop = used if end == -1024 else int(end if end > 1 else end * used)
    (tmp_path / "cut.tar").write_bytes(content[:stop])
    faults: list[DataError] = []
    keys = [each.key for each in read_shard(tmp_path / "cut.tar", faults.append)]
    assert keys == ["a0", "a1", "a2"][: len(keys)] and (len(keys) == 3) == (end == -1024)
    assert any(fault.key == "" and "damaged after" in fault.reason for fault in faults)


def test_a_damaged_header_is_not_taken_for_the_end(shard: Path) -> None:
    content = bytearray(shard.read_bytes())
    place = content.index(b"a1.jpg")
    content[place : place + 100] = b"\xff" * 100
    shard.write_bytes(content)
    faults: list[DataError] = []
    assert [each.key for each in read_shard(shard, faults.append)] == ["a0", "a2"]
    assert [fault.key for fault in faults] == ["", "a1"] and "damaged after a0.npy" in faults[0].reason


def test_a_bad_side_file_costs_its_face(shard: Path, tmp_path: Path) -> None:
    members = _members(shard)
    bad = {name: members[name] for name in ("a0.jpg", "a0.json", "a0.npy")} | {"a0.contour.npy": b"\x93NUMPY"}
    _tar(tmp_path / "bad.tar", bad | members)
    faults: list[DataError] = []
    assert [each.key for each in read_shard(tmp_path / "bad.tar", faults.append)] == ["a1", "a2"]
    assert [fault.key for fault in faults] == ["a0"] and "its .contour.npy" in faults[0].reason


def _header_field(content: bytearray, name: bytes, place: int, value: bytes) -> None:
    """Change bytes of a member's header, and its checksum with them."""
    start = content.index(name + b"\0")
    content[start + place : start + place + len(value)] = value
    content[start + 148 : start + 156] = b" " * 8
    content[start + 148 : start + 155] = b"%06o\0" % sum(content[start : start + 512])


LYING_SIZES = {
    "beyond the end": b"77777777777",
    "over its successors": b"%011o" % 12_000,
    "too small": b"%011o" % 100,
    "below zero": b"\xff" * 12,
    "of terabytes": b"\x80" + b"\0" * 4 + b"\x7f" + b"\0" * 6,
}


@pytest.mark.parametrize("size", LYING_SIZES)
@pytest.mark.parametrize("suffix", ["jpg", "json", "npy"])
def test_a_header_that_lies_costs_one_face(size: str, suffix: str, shard: Path) -> None:
    content = bytearray(shard.read_bytes())
    _header_field(content, f"a1.{suffix}".encode(), 124, LYING_SIZES[size])
    shard.write_bytes(content)
    faults: list[DataError] = []
    assert [each.key for each in read_shard(shard, faults.append)] == ["a0", "a2"]
    assert {fault.key for fault in faults} - {""} == {"a1"} and sum(fault.lost for fault in faults) <= 3


@pytest.mark.parametrize("kind", [b"S", b"L", b"x", b"g", b"2", b"5", b"9"])
def test_a_member_of_another_kind_costs_one_face(kind: bytes, shard: Path) -> None:
    content = bytearray(shard.read_bytes())
    _header_field(content, b"a1.jpg", 156, kind)
    shard.write_bytes(content)
    faults: list[DataError] = []
    keys = [each.key for each in read_shard(shard, faults.append)]
    assert keys[0] == "a0" and keys[-1] == "a2" and any(fault.key == "a1" for fault in faults)


def test_zeros_in_the_middle_are_not_the_end(shard: Path) -> None:
    content = bytearray(shard.read_bytes())
    start = content.index(b"a1.jpg")
    content[start : start + 2048] = bytes(2048)
    shard.write_bytes(content)
    faults: list[DataError] = []
    assert [each.key for each in read_shard(shard, faults.append)] == ["a0", "a2"]
    assert any("damaged after a0.npy" in fault.reason for fault in faults)


@pytest.mark.parametrize("layout", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_long_and_foreign_names_are_read_in_both_layouts_of_today(layout: int, shard: Path, tmp_path: Path) -> None:
    key = "ordner/" + "gesicht-ä" * 20
    with tarfile.open(tmp_path / "long.tar", "w", format=layout) as archive:
        for name, content in _members(shard).items():
            info = tarfile.TarInfo(name.replace("a1", key))
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    assert [each.key for each in read_shard(tmp_path / "long.tar")] == ["a0", key, "a2"]


def test_what_a_damaged_region_costs_is_estimated_from_its_size(tmp_path: Path) -> None:
    write_shard(tmp_path / "many.tar", [record(f"a{k}", seed=k) for k in range(40)])
    content = bytearray((tmp_path / "many.tar").read_bytes())
    start, stop = content.index(b"a10.jpg\0"), content.index(b"a30.jpg\0")
    content[start:stop] = np.random.default_rng(0).bytes(stop - start)
    (tmp_path / "many.tar").write_bytes(content)
    faults: list[DataError] = []
    assert len(list(read_shard(tmp_path / "many.tar", faults.append))) == 20
    assert 18 <= sum(fault.lost for fault in faults) <= 21


def test_a_folder_with_a_table_of_landmarks(tmp_path: Path) -> None:
    points = np.stack([face_points((30, 20), 20, k) for k in range(2)])
    names = ["_neutral", *reversed([name for name in ARKIT_NAMES if name != "tongueOut"])]
    scores = np.tile(np.linspace(0, 1, 52), (2, 1)).astype(np.float16)
    np.savez(
        tmp_path / "landmarks.npz",
        keys=np.array(["x", "y"]),
        lm=np.concatenate([points, np.ones((2, 478, 1))], axis=2).astype(np.float16),
        blendshapes=scores,
        blendshape_names=np.array(names),
    )
    facts = json.dumps({"person": "Bo", "emotion": "fear"}).encode()
    _tar(tmp_path / "train-000000.tar", {"y.jpg": jpeg(60, 40), "y.json": facts, "z.jpg": jpeg(60, 40)})
    _tar(tmp_path / "val-000000.tar", {"x.jpg": jpeg(50, 40)})
    faults: list[DataError] = []
    (found,) = read_folder(tmp_path, "train", faults.append)
    assert (found.key, found.person, found.size_px) == ("y", "Bo", (60, 40))
    np.testing.assert_allclose(found.landmarks_px, points[1], atol=0.02)
    assert found.depth_px is not None and found.depth_px.tolist() == [1.0] * 478
    assert found.scores[ARKIT_NAMES.index("eyeBlinkLeft")] == 1 and found.scores[ARKIT_NAMES.index("tongueOut")] == 0
    assert [fault.key for fault in faults] == ["z"]
    assert [each.key for each in read_folder(tmp_path, "val")] == ["x"]


def test_own_folders_and_missing_ones(shard: Path, tmp_path: Path) -> None:
    write_shard(tmp_path / "train-000001.tar", [record("b0")])
    assert [each.key for each in read_folder(tmp_path, "train")] == ["a0", "a1", "a2", "b0"]
    with pytest.raises(Smirk3dError, match=r"no val-\*\.tar there; make them"):
        list(read_folder(tmp_path, "val"))
    with pytest.raises(Smirk3dError, match="unreadable"):
        list(read_shard(tmp_path / "none.tar"))
    (tmp_path / "landmarks.npz").write_bytes(b"no")
    with pytest.raises(Smirk3dError, match=r"landmarks\.npz: unreadable"):
        list(read_folder(tmp_path, "train"))


def test_a_picture_that_cannot_be_decoded_costs_its_face(tmp_path: Path) -> None:
    good = record("a0", seed=0)
    table = good.jpeg.index(b"\xff\xc4") + 4  # of Huffman codes: header and end stay sound
    damaged = good.jpeg[:table] + b"\xff" * 20 + good.jpeg[table + 20 :]
    write_shard(tmp_path / "train-0.tar", [good, replace(good, key="a1", jpeg=damaged), replace(good, key="a2")])
    faults: list[DataError] = []
    assert [each.key for each in read_shard(tmp_path / "train-0.tar", faults.append)] == ["a0", "a2"]
    (fault,) = faults
    assert fault.key == "a1" and "train-0.tar: a1: its .jpg cannot be decoded" in str(fault)


def _faults(path: Path) -> list[DataError]:
    faults: list[DataError] = []
    list(read_shard(path, faults.append))
    return faults


def test_the_faces_behind_the_end_of_a_shard_are_counted_by_the_other_shards(tmp_path: Path) -> None:
    paths = [tmp_path / f"train-{number}.tar" for number in range(3)]
    for path in paths:
        write_shard(path, [record(f"a{k}", seed=k) for k in range(40)])
    content = paths[0].read_bytes()
    for path in (paths[0], paths[2]):
        path.write_bytes(content[: content.index(b"a10.jpg\0")])
    assert 28 <= sum(fault.lost for fault in _faults(paths[0])) <= 32
    assert "by about" in str(_faults(paths[0])[-1])
    assert "nobody knows how many faces it had" in str(_faults(paths[2])[-1])  # the last one may have been smaller
