"""What inputs name: lists, archives, stores, data sets."""

from __future__ import annotations

import importlib.util
import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from small_photos import BROKEN, photo_bytes

from smirk3d.batch.runner import plan_jobs
from smirk3d.errors import Smirk3dError, UsageError
from smirk3d.media.images import EncodedPhoto, read_image
from smirk3d.scale.inputs import list_jobs, with_lists
from smirk3d.scale.result_folder import ResultFolder


def write_archive(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def sizes(jobs: list) -> dict[str, tuple[int, int]]:
    return {job.name: read_image(job.source()).size for job in jobs}


def test_files_are_those_of_the_local_run(photos: Path) -> None:
    assert list_jobs([str(photos)]) == plan_jobs([str(photos)])


def test_list_is_replaced_by_its_lines(photos: Path, tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text(f"{photos}/p01.jpg\r\n\n{photos}/p00.jpg\n", encoding="utf-8")
    assert with_lists([str(path), "x.jpg"]) == (f"{photos}/p01.jpg", f"{photos}/p00.jpg", "x.jpg")
    assert [job.path.name for job in list_jobs([str(path)])] == ["p01.jpg", "p00.jpg"]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le"])
def test_lists_of_other_encodings(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text("a/é.jpg\r\nb.jpg\r\n", encoding=encoding, newline="")
    assert with_lists([str(path)]) == ("a/é.jpg", "b.jpg")


def test_a_picture_is_no_list(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes(bytes.fromhex("ffd8ffe000104a46494600") * 20)
    with pytest.raises(
        Smirk3dError, match=r"list\.txt: cannot be read as a list of inputs .*; write one a line, in UTF-8"
    ):
        with_lists([str(path)])


def test_archives_give_their_images_by_pattern(tmp_path: Path) -> None:
    write_archive(tmp_path / "a.tar", {"x/1.jpg": photo_bytes(10), "x/1.json": b"{}", "2.png": photo_bytes(11)})
    write_archive(tmp_path / "b.tar", {"1.jpg": photo_bytes(12)})
    found = sizes(list_jobs([f"{tmp_path}/*.tar"]))
    expected = {"a.tar/x/1.jpg": (10, 20), "a.tar/2.png": (11, 20), "b.tar/1.jpg": (12, 20)}
    assert found == {f"{tmp_path}/{name}": size for name, size in expected.items()}


def test_damage_of_an_archive_is_one_job_that_fails(tmp_path: Path) -> None:
    path = write_archive(tmp_path / "a.tar", {"1.jpg": photo_bytes(10), "2.jpg": photo_bytes(11)})
    path.write_bytes(path.read_bytes()[:1600])
    good, bad = list_jobs([str(path)])
    assert read_image(good.source()).size == (10, 20)
    with pytest.raises(Smirk3dError, match=r"a.tar: is damaged or unreadable \(.*copy it again"):
        bad.source()


def test_store_gives_objects_below_a_prefix_and_by_pattern(make_bucket: Callable[[dict[str, bytes]], str]) -> None:
    bucket = make_bucket(
        {
            "in/a b?#%41.jpg": photo_bytes(10),
            "in/deep/er/c.jpg": photo_bytes(11),
            "in/notes.txt": b"text",
            "other/d.jpg": photo_bytes(12),
        }
    )
    below = {f"{bucket}/in/a b?#%41.jpg": (10, 20), f"{bucket}/in/deep/er/c.jpg": (11, 20)}
    assert sizes(list_jobs([f"{bucket}/in"])) == sizes(list_jobs([f"{bucket}/in/"])) == below
    assert list(sizes(list_jobs([f"{bucket}/*/*.jpg"]))) == [f"{bucket}/in/a b?#%41.jpg", f"{bucket}/other/d.jpg"]
    assert list(sizes(list_jobs([f"{bucket}/**/c.jpg"]))) == [f"{bucket}/in/deep/er/c.jpg"]
    assert list(sizes(list_jobs([f"{bucket}/other/d.jpg"]))) == [f"{bucket}/other/d.jpg"]
    assert len(list_jobs([bucket])) == 3


def test_archives_in_a_store(make_bucket: Callable[[dict[str, bytes]], str], tmp_path: Path) -> None:
    content = write_archive(tmp_path / "a.tar", {"1.jpg": photo_bytes(10), "2.jpg": BROKEN}).read_bytes()
    bucket = make_bucket({"shards/a.tar": content})
    first, second = list_jobs([f"{bucket}/shards/*.tar"])
    assert (first.name, read_image(first.source()).size) == (f"{bucket}/shards/a.tar/1.jpg", (10, 20))
    with pytest.raises(Smirk3dError, match=rf"cannot read {second.name}: not an image"):
        read_image(second.source())


def test_nothing_to_read_is_wrong_usage(tmp_path: Path, make_bucket: Callable[[dict[str, bytes]], str]) -> None:
    bucket = make_bucket({"notes.txt": b"text"})
    for item in (str(tmp_path), f"{bucket}/missing", f"{bucket}/*.tar", f"{tmp_path}/*.tar"):
        with pytest.raises(UsageError, match="no images in"):
            list_jobs([item])
    with pytest.raises(UsageError, match="names no bucket"):
        list_jobs(["s3://"])


def test_missing_bucket_is_one_line(s3_environment: str) -> None:
    with pytest.raises(UsageError, match="no images in s3://no-such-bucket/in"):
        list_jobs(["s3://no-such-bucket/in"])
    with pytest.raises(Smirk3dError, match=r"cannot write s3://no-such-bucket/out/x") as caught:
        ResultFolder("s3://no-such-bucket/out").write("x", b"x")
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(importlib.util.find_spec("datasets") is not None, reason="the package is there")
def test_data_set_needs_its_package() -> None:
    with pytest.raises(Smirk3dError, match=r"hf:beans: needs the package datasets; pip install datasets"):
        list_jobs(["hf:beans"])


def test_data_set_on_disk_gives_its_images(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    images = [{"bytes": photo_bytes(10 + k), "path": None} for k in range(3)]
    rows = datasets.Dataset.from_dict({"label": [0, 1, 2], "picture": images})
    rows.cast_column("picture", datasets.Image()).save_to_disk(str(tmp_path / "set"))
    assert sizes(list_jobs([f"hf:{tmp_path}/set"])) == {f"hf:{tmp_path}/set/{k}": (10 + k, 20) for k in range(3)}
    rows.remove_columns("picture").save_to_disk(str(tmp_path / "labels"))
    with pytest.raises(UsageError, match="has no column of images"):
        list_jobs([f"hf:{tmp_path}/labels"])


def test_encoded_photo_names_itself_in_errors() -> None:
    for content, reason in ((b"", "the file is empty"), (BROKEN, "not an image")):
        with pytest.raises(Smirk3dError, match=rf"cannot read s3://b/x\.jpg: {reason}"):
            read_image(EncodedPhoto("s3://b/x.jpg", content))
