"""A head survives its file bit by bit, and other files are refused."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from same import assert_same

from smirk3d.errors import Smirk3dError
from smirk3d.head.pack import load_pack, read_header, save_pack


def test_round_trip_of_the_open_head(tmp_path, open_head):
    save_pack(open_head.data, tmp_path / "head.pack")
    assert_same(load_pack(tmp_path / "head.pack"), open_head.data)


def test_round_trip_of_a_head_with_joints(tmp_path, tiny_data):
    # Views of larger tensors, too, which the format does not store by itself.
    data = replace(tiny_data, shapedirs=tiny_data.shapedirs.permute(2, 0, 1).contiguous().permute(1, 2, 0))
    assert not data.shapedirs.is_contiguous()
    save_pack(data, tmp_path / "new" / "head.pack")
    loaded = load_pack(tmp_path / "new" / "head.pack")
    assert_same(loaded, data)
    assert loaded.jaw_readout is None and loaded.eyelids_after_skinning is True


def test_a_head_without_landmarks_has_none(tmp_path, tiny_data):
    save_pack(replace(tiny_data, landmarks={}), tmp_path / "head.pack")
    assert load_pack(tmp_path / "head.pack").landmarks == {}


def test_the_header_can_be_read_alone(tmp_path, tiny_data):
    save_pack(tiny_data, tmp_path / "head.pack")
    header = read_header(tmp_path / "head.pack")
    assert header["name"] == "tiny" and header["meta"] == {"source": "random numbers"}
    assert header["expression_names"] == ["one", "two", "three"]


def test_writing_leaves_one_file_and_replaces_the_old_one(tmp_path, tiny_data):
    path = tmp_path / "head.pack"
    path.write_bytes(b"old")
    save_pack(tiny_data, path)
    assert load_pack(path).name == "tiny"
    assert list(tmp_path.iterdir()) == [path]


def garbage(path: Path) -> None:
    path.write_bytes(b"\x80\x02cposix\nsystem\n." * 9)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def other_safetensors(path: Path) -> None:
    save_file({"a": torch.zeros(1)}, path)


def later_version(path: Path) -> None:
    save_file({"a": torch.zeros(1)}, path, metadata={"smirk3d_head": "999", "head": "{}"})


def missing(path: Path) -> None:
    path.unlink(missing_ok=True)


@pytest.mark.parametrize("make", [garbage, empty, other_safetensors, later_version, missing])
@pytest.mark.parametrize("read", [read_header, load_pack])
def test_other_files_are_refused_in_one_line_with_name_and_remedy(tmp_path, make, read):
    path = tmp_path / "what.pack"
    make(path)
    with pytest.raises(Smirk3dError) as error:
        read(path)
    message = str(error.value)
    assert "what.pack" in message and "smirk3d head build" in message and "\n" not in message


def test_a_truncated_file_is_refused(tmp_path, tiny_data):
    path = tmp_path / "head.pack"
    save_pack(tiny_data, path)
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(Smirk3dError, match=r"head\.pack"):
        load_pack(path)


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("name", 3, "'name' is no text"),
        ("expression_names", [["a"]], "'expression_names' is no list of texts"),
        ("expression_names", "ab", "'expression_names' is no list of texts"),
        ("expression_low", "0", "'expression_low' is no number"),
        ("expression_high", float("nan"), "'expression_high' is no number"),
        ("eyelids_after_skinning", 1, "'eyelids_after_skinning' is no boolean"),
        ("meta", {"licence": ["MIT"]}, "'meta' is no table of texts"),
    ],
)
def test_a_header_of_other_types_is_refused(tmp_path, tiny_data, field, value, reason):
    path = tmp_path / "a.pack"
    save_pack(tiny_data, path)
    with safe_open(path, framework="pt") as file:
        metadata, tensors = file.metadata(), {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    metadata["head"] = json.dumps(json.loads(metadata["head"]) | {field: value})
    save_file(tensors, path, metadata)
    with pytest.raises(Smirk3dError, match=rf"a\.pack: its header describes no head \({reason}\)"):
        load_pack(path)
