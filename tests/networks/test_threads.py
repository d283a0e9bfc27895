"""The rule for threads."""

from __future__ import annotations

import pytest
import torch

from smirk3d.networks import threads
from smirk3d.networks.threads import FEW_FACES, network_threads, shared_torch_threads, torch_threads_for


@pytest.mark.parametrize(("cores", "wanted"), [(1, 1), (2, 1), (8, 7)])
def test_a_core_is_left_to_the_detection(cores: int, wanted: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "core_count", lambda: cores)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert network_threads() == wanted


@pytest.mark.parametrize(("value", "wanted"), [("3", 3), ("0", 1), ("many", 1), ("", 1)])
def test_the_number_of_the_user_counts(value: str, wanted: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "core_count", lambda: 2)
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    assert network_threads() == wanted


def test_torch_has_its_threads_back_after_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.get_num_threads()
    monkeypatch.setattr(threads, "core_count", lambda: 2)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    try:
        torch.set_num_threads(2)
        with pytest.raises(ValueError, match="inside"), shared_torch_threads() as count:
            assert (count, torch.get_num_threads()) == (2, 1)
            raise ValueError("inside")
        assert torch.get_num_threads() == 2
        torch.set_num_threads(1)
        monkeypatch.setattr(threads, "core_count", lambda: 8)
        with shared_torch_threads() as count:
            assert (count, torch.get_num_threads()) == (1, 1)
        torch.set_num_threads(8)
        with shared_torch_threads() as count:
            assert (count, torch.get_num_threads()) == (2, 3)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(("n_faces", "wanted"), [(1, 1), (FEW_FACES, 1), (FEW_FACES + 1, 2)])
def test_few_faces_have_one_thread(n_faces: int, wanted: int) -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        with pytest.raises(ValueError, match="inside"), torch_threads_for(n_faces):
            assert torch.get_num_threads() == wanted
            raise ValueError("inside")
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
