"""Tensors of other projects' checkpoints are read exactly, and nothing in the files is executed."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from published_files import Callback
from torch import nn
from torch._utils import _rebuild_tensor_v2

from smirk3d.errors import Smirk3dError
from smirk3d.networks.torch_file import fill, is_torch_file, read_arrays, read_own_state, read_parts

REMEDY = "get another"


class Dangerous:
    """Removes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (os.remove, (str(self.path),), {"x": 1}, iter([1]), iter([("k", 2)]))


def _state() -> dict[str, torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    pool = torch.randn(3, 8, generator=random)
    return {
        "weight": nn.Parameter(torch.randn(4, 5, generator=random)),
        "turned": pool.T,
        "part": pool[1:, 2:5],
        "half": torch.randn(6, generator=random).half(),
        "count": torch.tensor(3),
        "flags": torch.tensor([True, False]),
    }


@pytest.fixture(params=["archive", "legacy"])
def save(request, tmp_path):
    def write(content: object) -> Path:
        path = tmp_path / "other.tar"
        torch.save(content, path, _use_new_zipfile_serialization=request.param == "archive")
        return path

    return write


def test_tensors_equal_those_that_torch_reads(save):
    path = save({"net": _state(), "other": {"bias": torch.ones(2)}, "epoch": 3, "mixed": {"a": torch.ones(1), "b": 1}})
    assert is_torch_file(path)
    found, known = read_parts(path, ("other", "net", "missing", "epoch", "mixed"), REMEDY), _state()
    assert set(found) == {"net", "other"} and set(found["net"]) == set(known)
    for name, tensor in found["net"].items():
        assert tensor.dtype == known[name].dtype and tensor.equal(known[name].detach()), name
    theirs = torch.load(path, weights_only=True)["net"]
    assert all(tensor.equal(theirs[name]) for name, tensor in found["net"].items())


def test_a_training_checkpoint_with_other_objects_is_read(save):
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    adam = torch.optim.Adam(network.parameters())
    settings = {"hyper_parameters": Callback(), "callbacks": {Callback: Callback()}, "device": torch.device("cpu")}
    path = save({"state_dict": network.state_dict(), "opt": adam.state_dict(), **settings})
    with pytest.raises(pickle.UnpicklingError):  # more than torch's own careful reader takes
        torch.load(path, weights_only=True)
    state = read_parts(path, ("state_dict",), REMEDY)["state_dict"]
    assert all(tensor.equal(network.state_dict()[name]) for name, tensor in state.items()) and len(state) == 7


def test_nothing_in_a_file_is_executed(save, tmp_path):
    victim = tmp_path / "victim"
    victim.touch()
    path = save({"net": {"a": torch.ones(2)}, "settings": Dangerous(victim)})
    assert read_parts(path, ("net",), REMEDY)["net"]["a"].equal(torch.ones(2)) and victim.exists()
    assert read_parts(save({"net": Dangerous(victim)}), ("net",), REMEDY) == {} and victim.exists()


def test_damaged_files_give_one_line_with_name_and_remedy(save, tmp_path):
    content = save({"net": {"a": torch.arange(5000.0)}}).read_bytes()
    path = tmp_path / "bad.tar"
    for damaged in (content[:2000], content[: len(content) // 2], content[:40], b"", b"no"):
        path.write_bytes(damaged)
        with pytest.raises(Smirk3dError, match=r"^[^\n]*bad\.tar: is no sound file[^\n]*; get another$"):
            read_parts(path, ("net",), REMEDY)
    with pytest.raises(Smirk3dError, match=r"nowhere\.tar: No such file.*; get another"):
        read_parts(tmp_path / "nowhere.tar", ("net",), REMEDY)
    with pytest.raises(Smirk3dError, match="no dictionary"):
        read_parts(save([torch.ones(2)]), ("net",), REMEDY)
    assert not is_torch_file(tmp_path / "nowhere.tar") and not is_torch_file(path)


def test_a_tensor_cannot_reach_outside_its_storage(save):
    class Outside:
        def __reduce__(self):
            numbers = torch.ones(3).untyped_storage()
            storage = torch.storage.TypedStorage(wrap_storage=numbers, dtype=torch.float32, _internal=True)
            return (_rebuild_tensor_v2, (storage, 0, (100,), (1,), False, {}))

    with pytest.raises(Smirk3dError, match="no sound file"):
        read_parts(save({"net": {"a": Outside()}}), ("net",), REMEDY)


def test_fill_loads_all_tensors_or_none():
    with torch.device("meta"):
        network = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    state = {f"{name}": torch.full(tensor.shape, 2.0) for name, tensor in network.state_dict().items()}
    assert fill(network, {**state, "x": torch.ones(1)}) == "x is unknown"
    assert fill(network, {**state, "0.bias": torch.ones(2)}) == "0.bias is (2,), not (3,)"
    without = {name: tensor for name, tensor in state.items() if not name.startswith("1.running")}
    assert fill(network, without) == "1.running_mean is missing and 1 more"
    assert network[0].weight.is_meta
    state.pop("1.num_batches_tracked")  # as in old files
    assert fill(network, {name: tensor.half() for name, tensor in state.items()}) == ""
    assert network.eval()(torch.ones(1, 2)).dtype == torch.float32


def test_own_states_are_read_without_executing_anything(save, tmp_path):
    path = save({name: tensor.detach() for name, tensor in _state().items()})
    torch.testing.assert_close(read_own_state(path), {k: t.detach() for k, t in _state().items()}, rtol=0, atol=0)
    (tmp_path / "kept").touch()
    for content in ([1], {"a": Dangerous(tmp_path / "kept")}):
        with pytest.raises(Smirk3dError, match="holds no state dict; delete it"):
            read_own_state(save(content))
        assert (tmp_path / "kept").exists()
    path.write_bytes(b"PK")
    with pytest.raises(Smirk3dError, match=r"cannot be read .*run the recipe"):
        read_own_state(path)


@pytest.mark.parametrize("group", ["flame", "missing"])
def test_arrays_and_tensors_by_name(save, group):
    inner = {"a": np.arange(6.0).reshape(2, 3), "b": torch.ones(2, dtype=torch.float16), "c": "text"}
    arrays, others = read_arrays(save({"flame": inner, "camera": np.ones(2), "n": 3}), 1 << 20, group)
    if group == "missing":
        assert set(arrays) == {"camera"} and others == []
        return
    np.testing.assert_array_equal(arrays["a"], inner["a"])
    np.testing.assert_array_equal(arrays["b"], np.ones(2, np.float32))
    assert set(arrays) == {"a", "b"} and others == ["camera", "n"]


def test_an_array_that_states_a_huge_size_is_refused_before_it_is_made(tmp_path):
    class Huge:
        def __reduce__(self):
            return np.zeros(1).__reduce__()[0], (np.ndarray, (1 << 40,), b"b")

    torch.save({"a": Huge(), "b": np.ones(2)}, tmp_path / "huge.frame")
    arrays, _ = read_arrays(tmp_path / "huge.frame", 1 << 20)
    assert sum(array.nbytes for array in arrays.values()) < 100
