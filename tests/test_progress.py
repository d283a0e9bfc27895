"""Progress displays of long runs."""

from __future__ import annotations

import io
from typing import Any, TextIO

import pytest

from smirk3d.progress import BarProgress, LineProgress, frame_progress, progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class ClosedPipe(io.StringIO):
    def write(self, text: str) -> int:
        raise BrokenPipeError


@pytest.mark.parametrize(("stream", "kind"), [(io.StringIO(), LineProgress), (Terminal(), BarProgress)])
def test_display_suits_the_stream(stream: TextIO, kind: type) -> None:
    assert isinstance(progress(3, stream), kind)


def test_a_line_every_fifty_images() -> None:
    stream = io.StringIO()
    with LineProgress(120, stream) as display:
        for _ in range(120):
            display.advance()
    lines = stream.getvalue().splitlines()
    assert [line.split(" ")[0] for line in lines] == ["50/120", "100/120"]


def test_a_line_every_ten_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    stream, now_s = io.StringIO(), 0.0
    monkeypatch.setattr("time.monotonic", lambda: now_s)
    display = LineProgress(10, stream)
    for now_s in (4.0, 8.0, 12.0, 16.0):  # noqa: B007 (read by the clock)
        display.advance()
    assert stream.getvalue() == "3/10 images, 0.2 a second, 28 s left\n"


def test_a_closed_pipe_is_ignored() -> None:
    LineProgress(1, ClosedPipe()).note("text")


def test_notes_are_one_printable_line() -> None:
    stream = io.StringIO()
    LineProgress(1, stream).note("a\nb \x1b[31m \udcff")
    assert stream.getvalue() == "a\\nb \\x1b[31m \\udcff\n"


def test_bar_shows_notes_as_they_are() -> None:
    stream = Terminal()
    with BarProgress(2, stream) as display:
        display.advance()
        display.note("smirk3d: [bold]photo[/bold].jpg: no face")
        display.advance()
    assert "[bold]photo[/bold].jpg: no face" in stream.getvalue()


@pytest.mark.parametrize("total", [0, 3])
@pytest.mark.parametrize("kind", [LineProgress, BarProgress])
def test_more_frames_than_the_total(kind: Any, total: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("smirk3d.progress.LINE_EVERY_IMAGES", 1)
    stream = Terminal() if kind is BarProgress else io.StringIO()
    with kind(total, stream, "frames") as display:
        for _ in range(5):
            display.advance()
    text = stream.getvalue()
    if kind is BarProgress:
        assert ("5/?" if total == 0 else "5/5") in text and "frames/s" in text and "5/3" not in text
    else:
        lines = text.splitlines()
        assert [line.split(" ")[0] for line in lines] == [f"{k}/{total}" if k <= total else f"{k}" for k in range(1, 6)]
        assert ["left" in line for line in lines] == [k <= total for k in range(1, 6)] and "-" not in text


def test_frame_progress_counts_frames(capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("smirk3d.progress.LINE_EVERY_IMAGES", 1)
    with frame_progress(0) as display:
        display.advance()
    assert capsys.readouterr().err.startswith("1 frames, ")
