"""The index of archives against Python's own reader, and on damaged ones."""

from __future__ import annotations

import io
import tarfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smirk3d.scale.tar_index import archived_files

NAMES = st.text(
    st.characters(codec="utf-8", exclude_characters="\0/", exclude_categories=("Cs",)), min_size=1, max_size=200
)
FILES = st.lists(st.tuples(NAMES, st.binary(max_size=1500)), max_size=6)


def archive_of(files: list[tuple[str, bytes]], tar_format: int = tarfile.GNU_FORMAT) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tar_format) as archive:
        for name, content in files:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


@settings(deadline=None, max_examples=20)
@given(FILES, st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]))
def test_index_names_the_bytes_that_tarfile_reads(files: list[tuple[str, bytes]], tar_format: int) -> None:
    content = archive_of(files, tar_format)
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        wanted = [(info.name, archive.extractfile(info).read()) for info in archive if info.isreg()]
    found = [(each.name, content[each.offset :][: each.size]) for each in archived_files(io.BytesIO(content))]
    assert found == wanted


def test_folders_and_links_are_no_files() -> None:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, kind in (("folder", tarfile.DIRTYPE), ("link", tarfile.SYMTYPE), ("hard", tarfile.LNKTYPE)):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "elsewhere"
            archive.addfile(info)
    assert list(archived_files(file)) == []


@pytest.mark.parametrize("length", [100, 512, 1000, 1600])
def test_cut_archive_yields_what_is_whole(length: int) -> None:
    content = archive_of([("a.jpg", bytes(500)), ("b.jpg", bytes(500))])[:length]
    found = []
    with pytest.raises(ValueError, match=r"cut off|no header"):
        for each in archived_files(io.BytesIO(content)):
            found.append(each.name)
    assert found == ["a.jpg"] * (length >= 1012)


def test_size_that_is_a_lie_allocates_nothing() -> None:
    info = tarfile.TarInfo("a.jpg")
    info.size = 1 << 40
    with pytest.raises(ValueError, match="cut off"):
        list(archived_files(io.BytesIO(info.tobuf(tarfile.GNU_FORMAT) + bytes(1024))))
