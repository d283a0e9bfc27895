"""SIGTERM ends a command; the second one is ignored while files are closed, but not for ever."""

from __future__ import annotations

import os
import signal

import pytest

from smirk3d.cli import signals
from smirk3d.cli.signals import termination_as_interrupt

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM to send")


def _terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def test_the_first_signal_interrupts_and_others_do_not_while_files_are_closed() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with termination_as_interrupt():
        with pytest.raises(KeyboardInterrupt):
            _terminate()
        _terminate()
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_signal_that_was_lost_can_be_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = [100.0]
    monkeypatch.setattr(signals.time, "monotonic", lambda: now_s[0])
    with termination_as_interrupt():
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                _terminate()
            now_s[0] += signals.GRACE_S + 1
