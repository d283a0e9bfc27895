"""Commands that are killed at random moments and run again give what runs give that are left alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "kill_and_resume.py"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["reconstruct", "features", "video", "prepare", "train"])
def test_a_rerun_equals_a_run_that_was_left_alone(name: str) -> None:
    words = [sys.executable, str(SCRIPT), "--only", name, "--kills", "3", "--seed", "1"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
