"""Deprecated values are replaced, with a note to the user."""

from __future__ import annotations

import pytest

from smirk3d.cli.deprecated import current_value, current_values

NOTE = "smirk3d: {} is deprecated and works for one more release; use {}\n"


def test_deprecated_value_is_replaced_with_a_note(capsys: pytest.CaptureFixture) -> None:
    assert current_value("CHECKPOINT", "shipped", {"shipped": "packaged"}) == "packaged"
    captured = capsys.readouterr()
    assert captured.err == NOTE.format("CHECKPOINT shipped", "packaged")
    assert captured.out == ""


def test_current_value_stays_without_a_note(capsys: pytest.CaptureFixture) -> None:
    assert current_value("CHECKPOINT", "shipped.pt", {"shipped": "packaged"}) == "shipped.pt"
    assert capsys.readouterr().err == ""


def test_each_deprecated_value_of_a_list_is_replaced(capsys: pytest.CaptureFixture) -> None:
    assert current_values("--only", ("mirror", "truth"), {"truth": "synthetic"}) == ("mirror", "synthetic")
    assert capsys.readouterr().err == NOTE.format("--only truth", "synthetic")
