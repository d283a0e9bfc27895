from __future__ import annotations

import csv
from dataclasses import replace

import numpy as np
import pytest

from smirk3d.errors import Smirk3dError
from smirk3d.export.tables.expressions_csv import TABLE_COLUMNS, TableWriter, read_table
from smirk3d.face import Visibility
from smirk3d.head.arkit import ARKIT_NAMES


@pytest.fixture(scope="module")
def face(make_face):
    return replace(make_face(seed=4), visibility=Visibility(0.125, 1.0, 0.5, 0.75))


def test_columns():
    head = "image,face,status,confidence,method,yaw,pitch,roll,r00,r01,r02,r10,r11,r12,r20,r21,r22,x0,y0,x1,y1"
    assert ",".join(TABLE_COLUMNS[:21]) == head
    assert TABLE_COLUMNS[21:73] == ARKIT_NAMES
    assert TABLE_COLUMNS[73:77] == ("lm68_x0", "lm68_y0", "lm68_x1", "lm68_y1")
    assert TABLE_COLUMNS[-5] == "lm68_y67" and len(TABLE_COLUMNS) == 73 + 136 + 4
    assert TABLE_COLUMNS[-4:] == ("visibility_eyes", "visibility_mouth", "visibility_left", "visibility_right")


def test_values_round_trip(face, tmp_path):
    path = tmp_path / "expressions.csv"
    with TableWriter(path) as table:
        table.add_faces("a/b.jpg", [face])
        table.add_failure("c.jpg", 'no "face",\nnone')
    good, bad = read_table(path)
    assert (good["image"], good["face"], good["status"], good["method"]) == ("a/b.jpg", "0", "ok", "fit")
    rotation = [float(good[f"r{i}{j}"]) for i in range(3) for j in range(3)]
    np.testing.assert_allclose(np.reshape(rotation, (3, 3)), face.rotation, atol=1e-6)
    assert float(good["yaw"]) == pytest.approx(face.angles_deg[0], abs=1e-3)
    np.testing.assert_allclose([float(good[n]) for n in ARKIT_NAMES], list(face.arkit.values()), atol=1e-5)
    np.testing.assert_allclose(
        [[float(good[f"lm68_{axis}{k}"]) for axis in "xy"] for k in range(68)],
        face.landmarks("ibug68"),
        atol=0.006,
    )
    shares = [float(good[f"visibility_{name}"]) for name in ("eyes", "mouth", "left", "right")]
    assert Visibility(*shares) == face.visibility
    assert bad["status"] == 'failed: no "face", none'
    assert not any(bad[name] for name in TABLE_COLUMNS if name not in ("image", "status"))


def test_every_row_is_on_disk_before_the_table_is_closed(face, tmp_path):
    path = tmp_path / "expressions.csv"
    with TableWriter(path) as table:
        assert path.read_text() == ",".join(TABLE_COLUMNS) + "\n"
        table.add_faces("a.jpg", [face])
        assert path.read_bytes().endswith(b"\n")
        assert len(read_table(path)) == 1


def test_pandas_reads_the_table(face, tmp_path):
    pandas = pytest.importorskip("pandas")
    path = tmp_path / "expressions.csv"
    with TableWriter(path) as table:
        table.add_faces('comma, quote" and\nnewline.jpg', [face, face])
        table.add_failure("c.jpg", "unreadable")
    frame = pandas.read_csv(path)
    assert frame["image"][0] == 'comma, quote" and\nnewline.jpg'
    assert frame["yaw"].notna().tolist() == [True, True, False]


def test_resume_keeps_good_rows_and_retries_failures(face, tmp_path):
    path = tmp_path / "expressions.csv"
    with TableWriter(path) as table:
        table.add_faces("new\nline.jpg", [face])
        table.add_failure("bad.jpg", "dark")
        table.add_faces("b.jpg", [face])
    with TableWriter(path, resume=True) as table:
        assert table.done == {"new\nline.jpg", "b.jpg"}
        assert table.is_done("b.jpg") and not table.is_done("bad.jpg")
        table.add_faces("bad.jpg", [face])
    assert [row["image"] for row in read_table(path)] == ["new\nline.jpg", "b.jpg", "bad.jpg"]


@pytest.mark.parametrize("kept", [0, 1, 5, -1, -40])
def test_resume_drops_an_incomplete_line(face, tmp_path, kept):
    path = tmp_path / "expressions.csv"
    with TableWriter(path) as table:
        table.add_faces("a.jpg", [face])
        whole = path.read_bytes()
        table.add_faces('quoted "b",\n.jpg', [face])
    row = path.read_bytes()[len(whole) :]
    path.write_bytes(whole + row[:kept])
    with TableWriter(path, resume=True) as table:
        assert table.done == {"a.jpg"}
    assert path.read_bytes() == whole


def test_resume_without_a_table_and_after_an_incomplete_header(tmp_path):
    path = tmp_path / "expressions.csv"
    for content in (None, b"", b"image,face"):
        if content is not None:
            path.write_bytes(content)
        with TableWriter(path, resume=True) as table:
            assert not table.done
        assert path.read_text() == ",".join(TABLE_COLUMNS) + "\n"


@pytest.mark.parametrize("content", [b"image,face\n1,2\n", b"\xff\xfe\n"])
def test_resume_refuses_another_table(tmp_path, content):
    path = tmp_path / "expressions.csv"
    path.write_bytes(content)
    with pytest.raises(Smirk3dError, match=r"expressions\.csv") as error:
        TableWriter(path, resume=True)
    assert "\n" not in str(error.value)
    assert path.read_bytes() == content


def test_resume_refuses_rows_of_another_width(tmp_path):
    path = tmp_path / "expressions.csv"
    path.write_text(",".join(TABLE_COLUMNS) + "\na.jpg,0,ok\n")
    with pytest.raises(Smirk3dError, match="row 2 has 3 cells"):
        TableWriter(path, resume=True)


def test_names_that_are_not_utf8(face, tmp_path):
    name = b"caf\xe9.jpg".decode("utf-8", "surrogateescape")
    path = tmp_path / "expressions.csv"
    with TableWriter(path) as table:
        table.add_faces(name, [face])
    with open(path, encoding="utf-8", newline="") as file:
        assert list(csv.reader(file))[1][0] == "caf\\udce9.jpg"
    with TableWriter(path, resume=True) as table:
        assert table.is_done(name)


def test_the_table_must_be_open(face, tmp_path):
    with pytest.raises(ValueError, match="context manager"):
        TableWriter(tmp_path / "t.csv").add_faces("a.jpg", [face])


def test_missing_folder_is_a_one_line_error(tmp_path):
    with pytest.raises(Smirk3dError, match="folder"):
        TableWriter(tmp_path / "none/t.csv")
