"""Options of a reconstructor are checked when it is made."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from smirk3d import Reconstructor
from smirk3d.errors import InvalidOptionError, UsageError
from smirk3d.head.model import HeadModel


@pytest.mark.parametrize(
    ("options", "choices"),
    [
        ({"method": "smirk"}, "choose auto, fit, encoder or refine"),
        ({"method": None}, "choose auto, fit, encoder or refine"),
        ({"method": "Fit"}, "choose auto, fit, encoder or refine"),
        ({"engine": "tensorrt"}, "choose torch or onnx"),
        ({"engine": 1}, "choose torch or onnx"),
        ({"device": "tpu"}, "choose auto, cpu or cuda"),
        ({"device": torch.device("meta")}, "choose auto, cpu or cuda"),
        ({"device": 0}, "auto, cpu or cuda"),
        ({"max_faces": 0}, "a whole number from 1, or None"),
        ({"max_faces": -3}, "a whole number from 1, or None"),
        ({"max_faces": 2.5}, "a whole number from 1, or None"),
        ({"max_faces": True}, "a whole number from 1, or None"),
        ({"max_faces": "2"}, "a whole number from 1, or None"),
        ({"focal": "persp"}, "'auto', 'orthographic' or a positive number"),
        ({"focal": True}, "'auto', 'orthographic' or a positive number"),
        ({"focal": None}, "'auto', 'orthographic' or a positive number"),
        ({"focal": float("nan")}, "'auto', 'orthographic' or a positive number"),
        ({"focal": float("inf")}, "'auto', 'orthographic' or a positive number"),
        ({"focal": -1}, "'auto', 'orthographic' or a positive number"),
        ({"use_scores": "no"}, "True or False"),
        ({"head": 5}, "'open', a path or a head model"),
        ({"weights": 3}, "a path or None"),
    ],
)
def test_a_wrong_choice_is_an_error_that_lists_the_choices(options: dict[str, Any], choices: str) -> None:
    (option,) = options
    with pytest.raises(InvalidOptionError, match=f"{option}.*{choices}") as error:
        Reconstructor(**options)
    assert isinstance(error.value, ValueError) and isinstance(error.value, UsageError)


def test_an_engine_without_an_encoder_is_refused(open_head: HeadModel) -> None:
    with pytest.raises(UsageError, match=r"'onnx' runs an encoder.*another method"):
        Reconstructor(open_head, "fit", engine="onnx")


def test_a_device_may_be_an_object(open_head: HeadModel) -> None:
    with Reconstructor(open_head, "fit", torch.device("cpu")) as reconstructor:
        assert reconstructor.estimator.head is open_head
