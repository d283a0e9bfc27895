"""The commands with archives as inputs, and the flags of runs on a cluster."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from skimage.data import astronaut

from smirk3d.cli.main import main


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a face, a picture without one and a broken file, and the same in an archive beside it."""
    root = tmp_path_factory.mktemp("inputs")
    photos = root / "photos"
    photos.mkdir()
    Image.fromarray(astronaut()[:300, 60:360]).save(photos / "a.png")
    Image.fromarray(np.zeros((50, 50, 3), np.uint8)).save(photos / "b.png")
    (photos / "c.jpg").write_bytes(b"no image")
    with tarfile.open(root / "photos.tar", "w") as archive:
        for path in sorted(photos.iterdir()):
            info = tarfile.TarInfo(path.name)
            info.size = path.stat().st_size
            archive.addfile(info, io.BytesIO(path.read_bytes()))
    return root


@pytest.fixture
def run(inputs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> Callable[[str], str]:
    """Return a function that runs a command in the folder of the inputs and returns its last line."""
    monkeypatch.chdir(inputs)

    def command(words: str) -> str:
        assert main(words.split()) in (0, 1, 2)
        captured = capsys.readouterr()
        return (captured.out or captured.err).splitlines()[0]

    return command


def same_names(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table of photos in an archive with the names of those in the folder."""
    return table.replace("photos.tar/", "photos/", regex=True).sort_values(table.columns[0], ignore_index=True)


@pytest.mark.parametrize(
    ("command", "table"), [("reconstruct --no-overlay", "expressions.csv"), ("fer predict", "emotions.csv")]
)
def test_archive_has_the_rows_of_the_folder(
    command: str, table: str, run: Callable[[str], str], tmp_path: Path
) -> None:
    run(f"{command} photos --out {tmp_path}/local")
    line = run(f"{command} photos.tar --out {tmp_path}/shards")
    assert line == f"images: 1 done, 2 failed; faces: 1; shards: {tmp_path}/shards"
    wanted = pd.read_csv(tmp_path / "local" / table)
    found = same_names(pd.read_parquet(tmp_path / "shards"))
    pd.testing.assert_frame_equal(found, wanted, check_dtype=False, check_exact=True)


def test_features_of_an_archive_and_of_a_list(run: Callable[[str], str], inputs: Path, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("photos\n", encoding="utf-8")
    run(f"features {tmp_path}/list.txt --out {tmp_path}/local.parquet --method fit")
    run(f"features photos.tar --out {tmp_path}/shards --method fit")
    found = same_names(pd.read_parquet(tmp_path / "shards"))
    pd.testing.assert_frame_equal(found, pd.read_parquet(tmp_path / "local.parquet"), check_exact=True)
    (path,) = (tmp_path / "shards").glob("_failed-*.parquet")
    failures = pd.read_parquet(path)
    assert list(failures["image"]) == ["photos.tar/b.png", "photos.tar/c.jpg"]
    assert failures["status"].str.startswith("failed: ").all()
    line = run(f"features photos.tar --out {tmp_path}/shards --method fit --resume")
    assert line == f"images: 0 done, 2 failed, 1 done before; faces: 0; shards: {tmp_path}/shards"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("features photos --out x.csv --ray", "--out x.csv: shards are written to a folder"),
        ("features photos --out x.csv --workers 2", "--workers: is for --ray"),
        ("features photos --out x.csv --shard-size 2", "--shard-size: is for shards"),
        ("features photos --out x --ray --workers 0", "--workers 0: must be 1 or more"),
        ("reconstruct photos --out x --texture --ray", "--texture: writes files of each face"),
        ("reconstruct photos --out x --identity shared --ray", "--identity shared: writes files of each face"),
        ("reconstruct photos --out x --format obj --ray", "--format: writes files of each face"),
        ("features nothing.tar --out x", "no images in nothing.tar"),
        ("features hf: --out x", "hf:"),
    ],
)
def test_wrong_usage_is_one_line(words: str, message: str, run: Callable[[str], str]) -> None:
    assert message in run(words)
