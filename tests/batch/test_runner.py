"""A run over many photos, with a reconstructor that needs no models."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from smirk3d.assets import atomic_path
from smirk3d.batch import prefetch, runner
from smirk3d.batch.runner import TABLE_NAME, BatchOptions, BatchSummary, run
from smirk3d.errors import NoFaceError, Smirk3dError, UsageError
from smirk3d.export import save
from smirk3d.export.tables.expressions_csv import read_table
from smirk3d.face import Face
from smirk3d.head.model import HeadModel
from smirk3d.head.registry import register
from smirk3d.media.images import Photo, read_image
from smirk3d.networks.neural_renderer import NeuralRenderer
from smirk3d.output_lock import locked_folder

FAST = BatchOptions(formats=("npz",), overlay=False)


@dataclass(frozen=True)
class FakeDetectedPhoto:
    photo: Photo
    detections: tuple[int, ...]


class FakeReconstructor:
    """Detects as many faces as the digit at the start of a file name, else one; `bug…` breaks the solver."""

    def __init__(self, face: Face):
        self.face = face
        self.batches: list[int] = []
        self.read: list[str] = []
        self.threads: set[str] = set()
        self.on_solve: Callable[[], None] = lambda: None

    def read_and_detect(self, path: Path) -> FakeDetectedPhoto:
        self.threads.add(threading.current_thread().name)
        self.read.append(path.name)
        photo = read_image(path)
        if path.name.startswith("0"):
            raise NoFaceError(f"{path}: no face found")
        if path.name.startswith("crash"):
            raise ZeroDivisionError("in the\ndetector")
        return FakeDetectedPhoto(photo, tuple(range(int(path.name[0]) if path.name[0].isdigit() else 1)))

    def solve(self, photos: Sequence[FakeDetectedPhoto]) -> list[list[Face]]:
        self.on_solve()
        if any(item.photo.path is not None and item.photo.path.name.startswith("bug") for item in photos):
            raise IndexError("in the solver")
        self.batches.append(len(photos))
        return [[self.face] * len(item.detections) for item in photos]

    def fit_identity(self, photos: Sequence[Path]) -> list[Face]:
        self.batches.append(len(photos))
        return [self.face for _ in photos]


@pytest.fixture
def fake(make_face: Callable[..., Face]) -> FakeReconstructor:
    return FakeReconstructor(make_face())


def _photos(folder: Path, *names: str, size: tuple[int, int] = (16, 12)) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, (90, 60, 50)).save(folder / name)
    return folder


def _status(out: Path) -> dict[str, list[str]]:
    """Map each image's file name to the states of its rows."""
    states: dict[str, list[str]] = {}
    for row in read_table(out / TABLE_NAME):
        states.setdefault(Path(row["image"]).name, []).append(row["status"])
    return states


def test_files_and_rows(tmp_path: Path, fake: FakeReconstructor) -> None:
    photos = _photos(tmp_path / "in", "a.png", "2b.png", "x/c.png")
    summary = run([str(photos)], tmp_path / "out", fake, FAST)
    assert summary == BatchSummary(done=3, failed=0, faces=4)
    found = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.*")}
    assert found == {TABLE_NAME, "a_0.npz", "2b_0.npz", "2b_1.npz", "x/c_0.npz"}
    rows = read_table(tmp_path / "out" / TABLE_NAME)
    assert [row["image"] for row in rows] == [str(photos / name) for name in ("2b.png", "2b.png", "a.png", "x/c.png")]
    assert [row["face"] for row in rows] == ["0", "1", "0", "0"]


def test_failures_are_rows(tmp_path: Path, fake: FakeReconstructor, capsys: pytest.CaptureFixture) -> None:
    photos = _photos(tmp_path / "in", "0none.png", "a.png", "bug.png", "crash.png", "z.png")
    (photos / "broken.png").write_bytes(b"no image")
    summary = run([str(photos), str(tmp_path / "missing.jpg")], tmp_path / "out", fake, FAST)
    assert summary == BatchSummary(done=2, failed=5, faces=2)
    states = _status(tmp_path / "out")
    assert states["a.png"] == states["z.png"] == ["ok"]
    assert states["crash.png"] == ["failed: internal error: ZeroDivisionError: in the detector"]
    assert states["bug.png"] == ["failed: internal error: IndexError: in the solver"]
    assert "no face" in states["0none.png"][0]
    assert "not an image" in states["broken.png"][0]
    assert "no such file" in states["missing.jpg"][0]
    lines = capsys.readouterr().err.splitlines()
    assert len([line for line in lines if line.startswith("smirk3d: ")]) == 5


def test_failed_export_fails_only_its_image(tmp_path: Path, fake: FakeReconstructor) -> None:
    photos = _photos(tmp_path / "in", "2a.png", "b.png")
    (tmp_path / "out" / "2a_1.npz").mkdir(parents=True)
    assert run([str(photos)], tmp_path / "out", fake, FAST) == BatchSummary(done=1, failed=1, faces=1)
    states = _status(tmp_path / "out")
    assert states["b.png"] == ["ok"]
    assert len(states["2a.png"]) == 1
    assert "2a_1.npz" in states["2a.png"][0]


def test_resume_does_the_remaining_images(tmp_path: Path, fake: FakeReconstructor) -> None:
    photos = _photos(tmp_path / "in", "a.png", "b.png")
    (photos / "c.png").write_bytes(b"no image")
    run([str(photos)], tmp_path / "out", fake, FAST)
    _photos(photos, "c.png", "d.png")
    fake.read.clear()
    summary = run([str(photos)], tmp_path / "out", fake, BatchOptions(("npz",), overlay=False, resume=True))
    assert summary == BatchSummary(done=2, failed=0, faces=2, skipped=2)
    assert fake.read == ["a.png", "b.png", "c.png", "d.png"]  # a batch is solved as a whole
    assert _status(tmp_path / "out") == {name: ["ok"] for name in ("a.png", "b.png", "c.png", "d.png")}
    again = run([str(photos)], tmp_path / "out", fake, BatchOptions(("npz",), overlay=False, resume=True))
    assert again == BatchSummary(skipped=4)


def test_name_that_is_not_utf8(tmp_path: Path, fake: FakeReconstructor) -> None:
    photos = _photos(tmp_path / "in", "a.png")
    try:
        (photos / "a.png").rename(photos / "\udcff.png")
    except OSError:
        pytest.skip("the file system takes only UTF-8")
    resumed = BatchOptions(("npz",), overlay=False, resume=True)
    assert run([str(photos)], tmp_path / "out", fake, FAST).done == 1
    assert run([str(photos)], tmp_path / "out", fake, resumed) == BatchSummary(skipped=1)


@pytest.mark.parametrize(("solvers", "read"), [(1, [32, 40, 40]), (2, [40, 40, 40])])
def test_batches_are_bounded_and_read_ahead(
    tmp_path: Path, fake: FakeReconstructor, solvers: int, read: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prefetch, "shared_torch_threads", lambda: nullcontext(solvers))
    photos = _photos(tmp_path / "in", *(f"a{k:02}.png" for k in range(40)))
    n_read: list[int] = []

    def record() -> None:
        time.sleep(0.1)
        n_read.append(len(fake.read))

    fake.on_solve = record
    assert run([str(photos)], tmp_path / "out", fake, FAST).done == 40
    assert fake.batches == [16, 16, 8]
    assert n_read == read, "one batch ahead, no more"
    assert threading.current_thread().name not in fake.threads


def test_large_photos_make_small_batches(
    tmp_path: Path, fake: FakeReconstructor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prefetch, "BATCH_PIXELS", 3 * 16 * 12)
    photos = _photos(tmp_path / "in", *(f"a{k}.png" for k in range(7)))
    run([str(photos)], tmp_path / "out", fake, FAST)
    assert fake.batches == [3, 3, 1]


def test_interrupted_run_can_be_resumed(tmp_path: Path, fake: FakeReconstructor) -> None:
    photos = _photos(tmp_path / "in", *(f"a{k:02}.png" for k in range(40)))

    def interrupt() -> None:
        if len(fake.batches) == 1:
            raise KeyboardInterrupt

    fake.on_solve = interrupt
    with pytest.raises(KeyboardInterrupt):
        run([str(photos)], tmp_path / "out", fake, FAST)
    n_done = len(read_table(tmp_path / "out" / TABLE_NAME))
    assert n_done <= 16
    assert len(list((tmp_path / "out").glob("*.npz"))) == n_done
    assert not list((tmp_path / "out").glob(".*"))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("smirk3d")]
    fake.on_solve = lambda: None
    summary = run([str(photos)], tmp_path / "out", fake, BatchOptions(("npz",), overlay=False, resume=True))
    assert (summary.skipped, summary.done) == (n_done, 40 - n_done)


def test_full_disk_ends_the_run_with_its_reason(
    tmp_path: Path, fake: FakeReconstructor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise Smirk3dError("cannot write expressions.csv: No space left on device")

    monkeypatch.setattr("smirk3d.export.tables.expressions_csv.TableWriter._append", refuse)
    with pytest.raises(Smirk3dError, match="No space left"):
        run([str(_photos(tmp_path / "in", "a.png"))], tmp_path / "out", fake, FAST)


def test_a_disk_that_fills_ends_the_run_before_more_is_computed(
    tmp_path: Path, fake: FakeReconstructor, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos, original = _photos(tmp_path / "in", *(f"a{k:02}.png" for k in range(60))), save.save_face

    def fill(face: Face, path: Path, **options: Any) -> Path:
        if path.name.startswith("a03"):
            with atomic_path(path):
                raise OSError(28, "No space left on device")
        return original(face, path, **options)

    with monkeypatch.context() as patch:
        patch.setattr("smirk3d.export.save_face", fill)
        with pytest.raises(Smirk3dError, match=r"a03_0\.npz: No space left .*; then go on with --resume"):
            run([str(photos)], tmp_path / "out", fake, FAST)
    assert sum(fake.batches) < 60 and set(_status(tmp_path / "out")) == {"a00.png", "a01.png", "a02.png"}
    assert run([str(photos)], tmp_path / "out", fake, replace(FAST, resume=True)).skipped == 3
    assert list(_status(tmp_path / "out")) == [f"a{k:02}.png" for k in range(60)]


def test_a_resumed_table_is_in_the_order_of_the_photos(tmp_path: Path, fake: FakeReconstructor) -> None:
    photos = _photos(tmp_path / "in", "a.png", "b.png", "2c.png", "d.png")
    (photos / "b.png").write_bytes(b"no image")
    run([str(photos)], tmp_path / "whole", fake, FAST)
    run([str(photos)], tmp_path / "out", fake, FAST)
    table = tmp_path / "out" / TABLE_NAME
    table.write_bytes(table.read_bytes()[:-30])  # a kill in the middle of the last row
    run([str(photos)], tmp_path / "out", fake, replace(FAST, resume=True))
    assert table.read_bytes() == (tmp_path / "whole" / TABLE_NAME).read_bytes()


def test_a_row_that_was_cut_off_takes_the_others_of_its_photo_along(tmp_path: Path, fake: FakeReconstructor) -> None:
    photos = _photos(tmp_path / "in", "2c.png", "3d.png")
    run([str(photos)], tmp_path / "out", fake, FAST)
    table = tmp_path / "out" / TABLE_NAME
    whole = table.read_bytes()
    for lost in (30, len(whole.splitlines(keepends=True)[-1]) - 1):
        table.write_bytes(whole[:-lost])
        assert run([str(photos)], tmp_path / "out", fake, replace(FAST, resume=True)) == BatchSummary(1, 0, 3, 1)
        assert table.read_bytes() == whole


@pytest.mark.parametrize("inputs", [[], ["empty"], ["empty", "empty2"]])
def test_nothing_to_do_is_wrong_usage(tmp_path: Path, fake: FakeReconstructor, inputs: list[str]) -> None:
    for name in inputs:
        (tmp_path / name).mkdir()
    with pytest.raises(UsageError, match="no images"):
        run([str(tmp_path / name) for name in inputs], tmp_path / "out", fake, FAST)
    assert not (tmp_path / "out").exists()


def test_shared_identity(tmp_path: Path, fake: FakeReconstructor) -> None:
    photos = _photos(tmp_path / "in", "a.png", "0none.png", "c.png")
    options = BatchOptions(("npz",), overlay=False, shared_identity=True)
    assert run([str(photos)], tmp_path / "out", fake, options) == BatchSummary(done=2, failed=1, faces=2)
    assert fake.batches == [2]


def test_failure_of_a_shared_identity_fails_all_images(
    tmp_path: Path, fake: FakeReconstructor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: object) -> list[Face]:
        raise Smirk3dError("too few photos")

    monkeypatch.setattr(fake, "fit_identity", refuse)
    options = BatchOptions(("npz",), overlay=False, shared_identity=True)
    photos = _photos(tmp_path / "in", "a.png", "b.png")
    assert run([str(photos)], tmp_path / "out", fake, options).failed == 2
    assert _status(tmp_path / "out")["a.png"] == ["failed: too few photos"]


def test_overlays_and_textures(tmp_path: Path, fake: FakeReconstructor) -> None:
    photos = _photos(tmp_path / "in", "2a.png", size=fake.face.image_size)
    options = BatchOptions(("glb", "obj"), texture=True)
    assert run([str(photos)], tmp_path / "out", fake, options) == BatchSummary(done=1, faces=2)
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"2a_0.glb", "2a_1.glb", "2a_0.obj", "2a_1.obj", "2a_overlay.png"} <= names
    with Image.open(tmp_path / "out" / "2a_overlay.png") as image:
        assert image.size[0] > image.size[1] > 1


def test_neural_renders(tmp_path: Path, fake: FakeReconstructor, open_head: HeadModel) -> None:
    fake.face = replace(fake.face, head_id=register(open_head))
    photos = _photos(tmp_path / "in", "2a.png", "x/b.png", size=fake.face.image_size)
    options = BatchOptions((), neural_renderer=NeuralRenderer(4))
    assert run([str(photos)], tmp_path / "out", fake, options) == BatchSummary(done=2, faces=3)
    names = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.png")}
    assert names == {"2a_0_neural.png", "2a_1_neural.png", "2a_overlay.png", "x/b_0_neural.png", "x/b_overlay.png"}
    with Image.open(tmp_path / "out" / "2a_0_neural.png") as image:
        assert image.size == (4 * 224, 224)


def test_failed_neural_render_fails_its_image(tmp_path: Path, fake: FakeReconstructor) -> None:
    photos = _photos(tmp_path / "in", "a.png", size=(20, 30))
    options = BatchOptions(("npz",), neural_renderer=NeuralRenderer(4))
    assert run([str(photos)], tmp_path / "out", fake, options) == BatchSummary(failed=1)
    assert "size" in _status(tmp_path / "out")["a.png"][0]


@pytest.mark.parametrize("resume", [False, True])
def test_images_of_an_earlier_run_are_no_inputs(
    tmp_path: Path, fake: FakeReconstructor, open_head: HeadModel, resume: bool
) -> None:
    fake.face = replace(fake.face, head_id=register(open_head))
    photos = _photos(tmp_path / "album", "a.png", "b_neural.png", size=fake.face.image_size)
    out = photos / "out"
    options = BatchOptions(("npz",), neural_renderer=NeuralRenderer(4))
    run([str(photos / "a.png")], out, fake, options)
    assert (out / "a_0_neural.png").is_file() and (out / "a_overlay.png").is_file()
    fake.read.clear()
    run([str(photos / "a.png"), str(photos)], out, fake, replace(options, resume=resume))
    # Outside the output folder the name does not matter; a batch that was begun is solved as a whole.
    assert fake.read == ["a.png", "b_neural.png"]


def test_formats_with_texture_can_be_saved() -> None:
    assert {f".{name}" for name in runner._TEXTURED_FORMATS} <= set(save.FORMATS)


def test_notes_of_reading_are_shown(tmp_path: Path, fake: FakeReconstructor, capsys: pytest.CaptureFixture) -> None:
    photos = tmp_path / "in"
    photos.mkdir()
    frames = [Image.new("RGB", (16, 12), color) for color in ((200, 0, 0), (0, 0, 200))]
    frames[0].save(photos / "moving.gif", save_all=True, append_images=frames[1:])
    assert run([str(photos)], tmp_path / "out", fake, FAST).done == 1
    assert "moving.gif: first of several frames" in capsys.readouterr().err


@pytest.mark.parametrize(
    "changes", [{"vertices": np.nan}, {"shape": np.inf}, {"arkit": np.nan}, {"confidence": np.nan}]
)
def test_numbers_that_are_not_finite_are_a_failure(
    tmp_path: Path, fake: FakeReconstructor, changes: dict[str, float]
) -> None:
    ((name, value),) = changes.items()
    old = getattr(fake.face, name)
    broken = dict.fromkeys(old, value) if name == "arkit" else np.full_like(old, value)
    fake.face = replace(fake.face, **{name: float(value) if name == "confidence" else broken})
    photos, out = _photos(tmp_path / "in", "a.png", "b.png"), tmp_path / "out"
    assert run([str(photos)], out, fake, FAST) == BatchSummary(failed=2)
    assert all("not finite" in status for states in _status(out).values() for status in states)
    assert {path.name for path in out.iterdir()} == {TABLE_NAME}


def test_resume_recognises_a_file_under_other_names(
    tmp_path: Path, fake: FakeReconstructor, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos, out = _photos(tmp_path / "in", "a.png", "b.png"), tmp_path / "out"
    (tmp_path / "link").symlink_to(photos)
    monkeypatch.chdir(tmp_path)
    run(["in/a.png"], out, fake, FAST)
    resumed = replace(FAST, resume=True)
    for name in ("./in/a.png", str(photos / "a.png"), "link/a.png"):
        assert run([name], out, fake, resumed) == BatchSummary(skipped=1)
    assert run(["link"], out, fake, resumed) == BatchSummary(done=1, faces=1, skipped=1)
    assert len(read_table(out / TABLE_NAME)) == 2


def test_links_in_the_folder_are_not_written_through(tmp_path: Path, fake: FakeReconstructor) -> None:
    photos, out, secret = _photos(tmp_path / "in", "a.png", "b.png", "x/c.png"), tmp_path / "out", tmp_path / "secret"
    secret.write_text("kept")
    out.mkdir()
    (out / "a_0.npz").symlink_to(secret)
    (out / "x").symlink_to(tmp_path)
    assert run([str(photos)], out, fake, FAST) == BatchSummary(done=1, failed=2, faces=1)
    assert secret.read_text() == "kept" and not (tmp_path / "c_0.npz").exists()
    assert _status(out)["b.png"] == ["ok"] and "symbolic link" in _status(out)["a.png"][0]
    (out / TABLE_NAME).unlink()
    (out / TABLE_NAME).symlink_to(secret)
    with pytest.raises(Smirk3dError, match=rf"{TABLE_NAME}: is a symbolic link"):
        run([str(photos)], out, fake, FAST)
    assert secret.read_text() == "kept"


def test_two_runs_do_not_share_a_folder(tmp_path: Path, fake: FakeReconstructor) -> None:
    photos, out = _photos(tmp_path / "in", "a.png"), tmp_path / "out"
    with (
        locked_folder(out),
        pytest.raises(Smirk3dError, match=r"another process of smirk3d writes there.*another --out"),
    ):
        run([str(photos)], out, fake, FAST)
    assert run([str(photos)], out, fake, FAST).done == 1
    left = out / ".ffffffff00000000ffffffffffffffff.npz"
    left.write_bytes(b"")
    os.utime(left, (0, 0))
    run([str(photos)], out, fake, replace(FAST, resume=True))
    assert not left.exists()


def test_a_resumed_run_solves_interrupted_batches_as_a_whole(tmp_path: Path, fake: FakeReconstructor) -> None:
    photos, out = _photos(tmp_path / "in", *(f"a{k:02}.png" for k in range(15, 50)), "0none.png"), tmp_path / "out"
    run([str(photos)], out, fake, FAST)
    assert fake.batches == [15, 16, 4]  # 0none.png has no face
    whole = (out / TABLE_NAME).read_bytes()
    lines = whole.splitlines(keepends=True)
    resumed = replace(FAST, resume=True)
    for n_rows, expected in ((36, [4]), (20, [16, 4]), (18, [16, 4]), (17, [16, 4]), (10, [15, 16, 4]), (37, [])):
        (out / TABLE_NAME).write_bytes(b"".join(lines[:n_rows]))
        fake.batches.clear()
        summary = run([str(photos)], out, fake, resumed)
        assert fake.batches == expected
        assert summary == BatchSummary(done=37 - n_rows, failed=1, faces=37 - n_rows, skipped=n_rows - 2)
        assert sorted((out / TABLE_NAME).read_bytes().splitlines(keepends=True)) == sorted(lines)


def test_a_resumed_run_fits_a_shared_identity_to_all_photos(tmp_path: Path, fake: FakeReconstructor) -> None:
    photos, out = _photos(tmp_path / "in", "a.png", "b.png", "c.png"), tmp_path / "out"
    options = replace(FAST, shared_identity=True)
    run([str(photos)], out, fake, options)
    lines = (out / TABLE_NAME).read_bytes().splitlines(keepends=True)
    (out / TABLE_NAME).write_bytes(b"".join(lines[:2]))
    assert run([str(photos)], out, fake, replace(options, resume=True)) == BatchSummary(done=2, faces=2, skipped=1)
    assert run([str(photos)], out, fake, replace(options, resume=True)) == BatchSummary(skipped=3)
    assert fake.batches == [3, 3]
