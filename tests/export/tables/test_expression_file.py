"""Files of expressions: of this package, of other programs, and those that are refused."""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas
import pytest

from smirk3d.errors import Smirk3dError
from smirk3d.export.tables.expression_file import read_expressions, write_arkit, write_arrays
from smirk3d.export.tables.expressions_csv import TableWriter
from smirk3d.export.tables.features import feature_row, write_features
from smirk3d.face import Face
from smirk3d.head.arkit import ARKIT_NAMES

LIVE_LINK = tuple(name[0].upper() + name[1:] for name in ARKIT_NAMES)


def _weights(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0, 1, (count, 52)).astype(np.float32)


def _npz(folder: Path, **arrays: object) -> Path:
    path = folder / "some file ü.npz"
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return path


def _csv(folder: Path, header: list[str], *rows: list[object]) -> Path:
    path = folder / "table.csv"
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def _refusal(path: Path) -> str:
    """Return the message about a file that is refused."""
    with pytest.raises(Smirk3dError) as caught:
        read_expressions(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and "\n" not in message and "; give a .npz" in message
    return message


def test_one_frame_and_many(tmp_path: Path) -> None:
    one = read_expressions(_npz(tmp_path, expression=np.arange(50.0), jaw=np.ones(3)))
    assert one.frames == ("0",) and one.head == ""
    assert one.arrays["expression"].shape == (1, 50) and one.arrays["jaw"].shape == (1, 3)
    many = read_expressions(_npz(tmp_path, expression=np.ones((7, 50)), jaw=np.ones((1, 3)), shape=np.arange(100)))
    assert many.frames == tuple("0123456")
    assert {name: values.shape for name, values in many.arrays.items()} == {
        "expression": (7, 50),
        "jaw": (7, 3),
        "shape": (7, 100),
    }
    assert (many.arrays["shape"] == np.arange(100)).all()
    assert all(values.dtype == np.float32 for values in many.arrays.values())


@pytest.mark.parametrize(
    ("theirs", "ours", "size"),
    [
        ("exp", "expression", 50),
        ("expression_params", "expression", 10),
        ("betas", "shape", 300),
        ("shape_params", "shape", 9),
        ("jaw_pose", "jaw", 3),
        ("eyelid_params", "eyelids", 2),
        ("eye_pose", "eyes", 6),
    ],
)
def test_array_names_of_other_programs(theirs: str, ours: str, size: int, tmp_path: Path) -> None:
    values = np.random.default_rng(1).normal(size=(4, size)).astype(np.float32)
    read = read_expressions(_npz(tmp_path, **{theirs: values, "arkit_weights": _weights(4)}))
    assert np.array_equal(read.arrays[ours], values) and np.array_equal(read.arrays["arkit"], _weights(4))


def test_shape_of_each_frame(tmp_path: Path) -> None:
    shape = np.random.default_rng(2).normal(size=(3, 20)).astype(np.float32)
    read = read_expressions(_npz(tmp_path, expression=np.zeros((3, 50)), shape=shape))
    assert np.array_equal(read.arrays["shape"], shape)


@pytest.mark.parametrize("with_tongue", [True, False])
def test_arkit_names_in_another_order(with_tongue: bool, tmp_path: Path) -> None:
    names = [name for name in ARKIT_NAMES if with_tongue or name != "tongueOut"]
    order = np.random.default_rng(3).permutation(len(names))
    wanted = _weights(5)[:, : len(names)]
    shuffled = np.concatenate([np.full((5, 1), 0.5), wanted[:, order]], axis=1)
    shuffled_names = ["_neutral", *(names[k].upper() for k in order)]
    read = read_expressions(_npz(tmp_path, arkit=shuffled, arkit_names=shuffled_names)).arrays["arkit"]
    assert read.shape == (5, 52)
    assert np.array_equal(read[:, : len(names)], wanted)
    assert with_tongue or not read[:, 51].any()


def test_names_of_frames_and_of_the_head(tmp_path: Path) -> None:
    read = read_expressions(_npz(tmp_path, expression=np.ones((2, 5)), head="flame", frames=["a.png", "b.png"]))
    assert read.frames == ("a.png", "b.png") and read.head == "flame"
    # What others mean by these names is no name.
    other = read_expressions(_npz(tmp_path, expression=np.ones((2, 5)), head=np.ones(3), frames=np.ones((2, 8, 8, 3))))
    assert other.frames == ("0", "1") and other.head == ""
    assert "3 frames and has 2" in _refusal(_npz(tmp_path, expression=np.ones((2, 5)), frames=["a", "b", "c"]))


def test_archive_of_a_face(tmp_path: Path, make_face: Callable[..., Face]) -> None:
    face = make_face()
    read = read_expressions(face.save(tmp_path / "b_0.npz"))
    assert read.head == "open" and len(read.frames) == 1
    assert set(read.arrays) == {"expression", "jaw", "eyelids", "eyes", "shape", "arkit"}
    assert np.allclose(read.arrays["arkit"][0], list(face.arkit.values()))


def test_table_of_a_run(tmp_path: Path, make_face: Callable[..., Face]) -> None:
    faces = [make_face(seed=k) for k in range(3)]
    with TableWriter(tmp_path / "expressions.csv") as table:
        table.add_faces("a.png", faces[:2])
        table.add_failure("broken, sadly.png", "no face")
        table.add_faces("c.png", [faces[2]])
    read = read_expressions(tmp_path / "expressions.csv")
    assert read.frames == ("a.png", "a.png#1", "c.png")
    assert np.allclose(read.arrays["arkit"], [list(face.arkit.values()) for face in faces], atol=1e-5)
    assert set(read.arrays) == {"arkit"}


@pytest.mark.parametrize("suffix", ["csv", "npz"])
def test_features(suffix: str, tmp_path: Path, make_face: Callable[..., Face]) -> None:
    faces = [make_face(seed=k) for k in range(2)]
    path = tmp_path / f"features.{suffix}"
    write_features([feature_row("a.png", k, face) for k, face in enumerate(faces)], path)
    read = read_expressions(path)
    assert read.frames == ("a.png", "a.png#1")
    assert np.allclose(read.arrays["arkit"], [list(face.arkit.values()) for face in faces], atol=1e-5)


def test_live_link_face(tmp_path: Path) -> None:
    weights = _weights(3)
    order = list(LIVE_LINK)
    for left, right in (("JawLeft", "JawRight"), ("MouthLeft", "MouthRight")):
        k, j = order.index(left), order.index(right)
        order[k], order[j] = order[j], order[k]
    column = {name: weights[:, LIVE_LINK.index(name)] for name in order}
    header = ["Timecode", "BlendShapeCount", *order, "HeadYaw", "HeadPitch", "HeadRoll", "LeftEyeYaw"]
    rows = [[f"00:00:0{k}:59.{k}", 61, *(column[name][k] for name in order), -3.5, 0.2, 9, ""] for k in range(3)]
    read = read_expressions(_csv(tmp_path, header, *rows))
    assert read.frames == ("00:00:00:59.0", "00:00:01:59.1", "00:00:02:59.2")
    assert np.allclose(read.arrays["arkit"], weights)


def test_tables_with_bom_capital_suffix_and_blank_lines(tmp_path: Path) -> None:
    path = _csv(tmp_path, [*LIVE_LINK, "Frame"], [*_weights(1)[0], "x"])
    text = path.read_text(encoding="utf-8")
    upper = tmp_path / "T.CSV"
    upper.write_text("\ufeff" + text.replace("\r\n", "\n") + "\n\n", encoding="utf-8")
    assert np.allclose(read_expressions(upper).arrays["arkit"], _weights(1))
    assert read_expressions(upper).frames == ("x",)


def test_frames_of_tables_without_names(tmp_path: Path) -> None:
    weights = _weights(2)
    unnamed = read_expressions(_csv(tmp_path, list(ARKIT_NAMES), *weights.tolist()))
    assert unnamed.frames == ("0", "1")
    neutral = _csv(tmp_path, ["_neutral", *ARKIT_NAMES[:51]], *([0.3, *row[:51]] for row in weights.tolist()))
    assert read_expressions(neutral).frames == ("0", "1")
    assert not read_expressions(neutral).arrays["arkit"][:, 51].any()
    indexed = _csv(tmp_path, ["", "image", *ARKIT_NAMES], *([k, f"{k}.png", *row] for k, row in enumerate(weights)))
    assert read_expressions(indexed).frames == ("0.png", "1.png")
    own = _csv(tmp_path, ["who", *ARKIT_NAMES], *(["me", *row] for row in weights))
    assert read_expressions(own).frames == ("me", "me")


def test_weights_slightly_out_of_range_are_clipped(tmp_path: Path) -> None:
    weights = _weights(1)
    weights[0, :2] = -0.1, 1.3
    assert read_expressions(_npz(tmp_path, arkit=weights)).arrays["arkit"][0, :2].tolist() == [0, 1]


@pytest.mark.parametrize(
    ("arrays", "reason"),
    [
        ({"vertices": np.ones((5, 3))}, "neither 'expression' nor 'arkit'"),
        ({"jaw": np.ones(3)}, "neither 'expression' nor 'arkit'"),
        ({"expression": np.ones((2, 5)), "jaw": np.ones((3, 3))}, "'expression' has 2 frames, others have 3"),
        ({"expression": np.ones((2, 5)), "jaw": np.ones((2, 4))}, "'jaw' has the shape (2, 4), expected (frames, 3)"),
        ({"expression": np.ones((2, 5)), "jaw_pose": np.ones((2, 3, 3))}, "'jaw_pose' has the shape (2, 3, 3)"),
        ({"expression": np.ones((0, 5))}, "'expression' has the shape (0, 5)"),
        ({"expression": np.array([1.0, np.nan])}, "'expression' has entries that are no finite numbers"),
        ({"expression": np.array([1.0, 1e200])}, "'expression' has entries that are no finite numbers"),
        ({"expression": np.array("happy")}, "'expression' is no array of numbers"),
        ({"expression": np.array([1.0, None])}, "allow_pickle"),
        ({"expression": np.zeros(2, dtype=[("a", "f4")])}, "'expression' is no array of numbers"),
        ({"arkit": np.zeros((2, 51))}, "(2, 51), for 52 names"),
        ({"arkit": np.zeros((2, 52)), "arkit_names": ARKIT_NAMES[:51]}, "(2, 52), for 51 names"),
        ({"arkit": np.zeros((2, 2)), "arkit_names": ("a", "b")}, "names of its weights are not those of the 52 ARKit"),
        ({"arkit": np.full((2, 52), 50.0)}, "from 50 to 50, expected 0 to 1"),
        ({"arkit": np.full((2, 52), np.nan)}, "no finite numbers"),
        ({"features": np.zeros((2, 128))}, "names of its weights are not those of the 52 ARKit"),
    ],
)
def test_archives_that_are_refused(arrays: dict[str, np.ndarray], reason: str, tmp_path: Path) -> None:
    assert reason in _refusal(_npz(tmp_path, **arrays))


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([], "it is empty"),
        ([["frame", *ARKIT_NAMES]], "no rows with weights"),
        ([["frame", *ARKIT_NAMES], ["a", *[""] * 52]], "no rows with weights"),
        ([["image", "emotion"], ["a.png", "happy"]], "none of its columns is named as one of the 52 ARKit weights"),
        ([["frame", *ARKIT_NAMES], ["a", *[0.5] * 51, "x"]], "line 2: 'tongueOut' is 'x', no number"),
        ([["frame", *ARKIT_NAMES], ["a", *[0.5] * 51, "nan"]], "line 2: 'tongueOut' is 'nan', no number"),
        ([["frame", *ARKIT_NAMES], ["a", *[0.5] * 52], ["b", *[0.5] * 20]], "line 3: 'mouthPucker' is '', no number"),
        ([["frame", *ARKIT_NAMES], ["a", *[80] * 52]], "from 80 to 80"),
    ],
)
def test_tables_that_are_refused(rows: list[list[object]], reason: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)
    assert reason in _refusal(path)


def test_files_of_other_kinds_are_refused(tmp_path: Path) -> None:
    array, text, empty = tmp_path / "a.npy", tmp_path / "a.npz", tmp_path / "e.npz"
    np.save(array, np.ones(50))
    text.write_text("expression: 1, 2, 3", encoding="utf-8")
    empty.touch()
    assert "single array" in _refusal(array)
    assert "it is no .npz" in _refusal(text)
    assert "it is empty" in _refusal(empty)
    assert "No such file" in _refusal(tmp_path / "missing.npz")
    assert "No such file" in _refusal(tmp_path / "missing.csv")
    assert "it is a folder" in _refusal(tmp_path)
    latin = tmp_path / "excel.csv"
    latin.write_text("frame,jawOpen\nGähnen,1", encoding="cp1252")
    assert "utf-8" in _refusal(latin)
    long = tmp_path / "long.csv"
    long.write_text("x" * 200_000, encoding="utf-8")
    assert "field larger" in _refusal(long)


def test_damaged_archives_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    write_arrays(path, {"expression": np.random.default_rng(0).normal(size=(40, 50))})
    whole = path.read_bytes()
    for cut in (10, len(whole) // 2, len(whole) - 30):
        path.write_bytes(whole[:cut])
        _refusal(path)
    middle = len(whole) // 2
    path.write_bytes(whole[:middle] + bytes(64) + whole[middle + 64 :])
    _refusal(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("expression.npy", b"\x93NUMPY\x01\x00 nonsense")
    _refusal(path)
    with zipfile.ZipFile(path, "w") as archive:
        header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (4000000000000, 50), }"
        archive.writestr("expression.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    _refusal(path)


@pytest.mark.parametrize("suffix", ["csv", "npz", "CSV"])
def test_written_files_are_read(suffix: str, tmp_path: Path) -> None:
    path, weights, residual = tmp_path / f"out ü.{suffix}", _weights(3), np.array([0.5, 0.25, 1.0], dtype=np.float32)
    frames = ("a, b.png", 'say "x"', "头")
    write_arkit(path, frames, {"arkit": weights, "residual_mm": residual})
    read = read_expressions(path)
    assert read.frames == frames
    assert np.allclose(read.arrays["arkit"], weights, atol=1e-5)
    assert [each.name for each in tmp_path.iterdir()] == [path.name]
    if suffix == "npz":
        with np.load(path, allow_pickle=False) as saved:
            assert set(saved) == {"arkit", "residual_mm", "frames", "arkit_names"}
            assert saved["arkit_names"].tolist() == list(ARKIT_NAMES)
            assert np.array_equal(saved["residual_mm"], residual)
    else:
        table = pandas.read_csv(path)
        assert list(table.columns) == ["frame", *ARKIT_NAMES, "residual_mm"]
        assert table["frame"].tolist() == list(frames)
        assert np.allclose(table[list(ARKIT_NAMES)].to_numpy(), weights, atol=1e-5)
        assert table["residual_mm"].tolist() == residual.tolist()


def test_failed_writing_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(Smirk3dError, match=r"x\.txt: must end in one of \.csv \.npz"):
        write_arkit(tmp_path / "x.txt", ("a",), {"arkit": _weights(1)})
    with pytest.raises(Smirk3dError, match="folder does not exist"):
        write_arkit(tmp_path / "nowhere" / "x.csv", ("a",), {"arkit": _weights(1)})
    with pytest.raises(ValueError, match="zip"):
        write_arkit(tmp_path / "x.csv", ("a", "b"), {"arkit": _weights(1)})
    assert not list(tmp_path.iterdir())
