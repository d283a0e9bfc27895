"""Deprecated flags and values are replaced, with a note to the user."""

from __future__ import annotations

import pytest

from smirk3d.cli.deprecated import current_flags, current_value, current_values

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


@pytest.mark.parametrize(
    ("arguments", "expected", "flag"),
    [
        (["evaluate", "--old-name", "3"], ["evaluate", "--new-name", "3"], "--old-name"),
        (["evaluate", "--old-name=--old-name"], ["evaluate", "--new-name=--old-name"], "--old-name"),
        (["evaluate", "--old_name"], ["evaluate", "--new-name"], "--old_name"),
    ],
)
def test_deprecated_flag_is_replaced_with_a_note(
    arguments: list[str], expected: list[str], flag: str, capsys: pytest.CaptureFixture
) -> None:
    assert current_flags(arguments, {"--old-name": "--new-name"}) == expected
    assert capsys.readouterr().err == NOTE.format(flag, "--new-name")


@pytest.mark.parametrize("argument", ["--old", "--old-names", "old-name", "--new-name"])
def test_other_arguments_stay(argument: str, capsys: pytest.CaptureFixture) -> None:
    assert current_flags([argument], {"--old-name": "--new-name"}) == [argument]
    assert capsys.readouterr().err == ""


def test_arguments_after_two_hyphens_are_no_flags() -> None:
    assert current_flags(["--", "--old-name"], {"--old-name": "--new-name"}) == ["--", "--old-name"]
