"""Damaged and hostile inputs of every kind: no traceback, no abort, no hang, no bomb, and messages name the file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "scripts" / "mutated_inputs.py"


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, SCRIPT, *arguments], capture_output=True, text=True, check=False)


def test_a_quick_sample() -> None:
    result = _run("--count", "24", "--quick")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "inputs: 2" in result.stdout and "faults: 0" in result.stdout


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_a_thousand_inputs(seed: int) -> None:
    result = _run("--count", "1000", "--seed", str(seed))
    assert result.returncode == 0, result.stdout + result.stderr
