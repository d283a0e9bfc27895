"""What is in the journal of a run that ended early, and how another run goes on with it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from smirk3d.errors import Smirk3dError
from smirk3d.export.tables.feature_journal import FeatureJournal
from smirk3d.export.tables.features import FeatureRow

NAMES = ("a", "b", "c")


def _rows(image: str, count: int, seed: int = 0, names: tuple[str, ...] = NAMES) -> list[FeatureRow]:
    values = np.random.default_rng(seed).normal(size=(count, len(names))).astype(np.float32) / 3
    return [FeatureRow(f"{image}#{k}" if k else image, names, values[k]) for k in range(count)]


def _fill(path: Path) -> dict[str, list[FeatureRow]]:
    written = {name: _rows(name, 1 + k, k) for k, name in enumerate(("x.jpg", 'line\n"break",\r.jpg', "z.jpg"))}
    with FeatureJournal(path) as journal:
        for name, rows in written.items():
            journal.add(name, rows)
    return written


def _assert_same(found: list[FeatureRow], expected: list[FeatureRow]) -> None:
    assert [row.key for row in found] == [row.key for row in expected]
    for one, other in zip(found, expected, strict=True):
        assert one.names == other.names and one.values.tobytes() == other.values.tobytes()


def test_rows_come_back_bit_for_bit_in_any_order(tmp_path: Path) -> None:
    written = _fill(tmp_path / "f.npz")
    with FeatureJournal(tmp_path / "f.npz", resume=True) as journal:
        assert journal.done == written.keys()
        order = ["z.jpg", "unknown.jpg", "x.jpg"]
        _assert_same(list(journal.rows(order)), [*written["z.jpg"], *written["x.jpg"]])
        journal.add("new.jpg", _rows("new.jpg", 2, 9))
        _assert_same(list(journal.rows(["new.jpg"])), _rows("new.jpg", 2, 9))
        journal.remove()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("lost", [1, 20, 60, 10**6])
def test_an_image_of_which_rows_were_cut_off_is_done_again(lost: int, tmp_path: Path) -> None:
    written = _fill(tmp_path / "f.csv")
    path = tmp_path / "f.csv.part"
    path.write_bytes(path.read_bytes()[:-lost])
    with FeatureJournal(tmp_path / "f.csv", resume=True) as journal:
        kept = {name: written[name] for name in written if name in journal.done}
        assert "z.jpg" not in kept and len(kept) == (2 if lost < 100 else 0)
        journal.add("z.jpg", written["z.jpg"])
        rows = [row for name in (*kept, "z.jpg") for row in written[name]]
        _assert_same(list(journal.rows([*kept, "z.jpg"])), rows)


def test_without_resume_it_begins_anew(tmp_path: Path) -> None:
    _fill(tmp_path / "f.csv")
    with FeatureJournal(tmp_path / "f.csv") as journal:
        assert not journal.done
    assert not list(tmp_path.iterdir())  # nothing in it, no file


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    _fill(tmp_path / "f.csv")
    with (
        FeatureJournal(tmp_path / "f.csv", resume=True) as journal,
        pytest.raises(Smirk3dError, match=r"f\.csv\.part: has features of another head"),
    ):
        journal.add("other.jpg", _rows("other.jpg", 1, names=("a", "b")))
    (tmp_path / "f.csv.part").write_text("my,own\n1,2\n")
    with pytest.raises(Smirk3dError, match=r"f\.csv\.part: cannot be continued .*; remove it"):
        FeatureJournal(tmp_path / "f.csv", resume=True)
    (tmp_path / "g.csv.part").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Smirk3dError, match="symbolic link"):
        FeatureJournal(tmp_path / "g.csv")
