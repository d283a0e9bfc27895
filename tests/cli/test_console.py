"""Streams that are closed or full, and signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from smirk3d.cli import main as main_module
from smirk3d.cli.main import EXIT_INTERRUPTED, main
from smirk3d.cli.signals import termination_as_interrupt

_INFO = f"{sys.executable} -m smirk3d.cli.main --version"


def _shell(command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.skipif(sys.platform == "win32", reason="a POSIX shell")
def test_closed_streams_are_no_failure() -> None:
    for redirection in (">&-", "2>&-", ">&- 2>&- <&-"):
        done = _shell(f"{_INFO} {redirection}")
        assert done.returncode == 0 and done.stderr == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_place_for_the_output_is_one_line() -> None:
    done = _shell(f"{_INFO} > /dev/full")
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "smirk3d: cannot write to standard output: No space left on device; redirect it elsewhere"
    ]


def test_characters_that_the_terminal_lacks_are_escaped() -> None:
    code = "from smirk3d.cli.console import *; open_standard_streams(); print_result('4×4')"
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout == "4\\xd74\n"


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_sigterm_ends_a_command_as_ctrl_c_does(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    def wait(command: object) -> int:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(10)
        return 0

    monkeypatch.setattr(main_module, "_run", wait)
    assert main(["doctor"]) == EXIT_INTERRUPTED
    assert capsys.readouterr().err.splitlines() == ["smirk3d: interrupted"]
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_a_handler_of_the_caller_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with termination_as_interrupt():
            assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, before)
