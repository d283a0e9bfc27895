"""Small parts of the video pipeline: running ahead, records on disk, the person's own range."""

import threading

import numpy as np
import pytest

from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.tracking.neutral_calibration import neutral_calibrated
from smirk3d.tracking.prefetch import prefetch
from smirk3d.tracking.record_buffer import RecordBuffer

BLINK = ARKIT_NAMES.index("eyeBlinkLeft")
SMILE = ARKIT_NAMES.index("mouthSmileLeft")


def test_ahead_keeps_the_order_and_works_in_another_thread() -> None:
    threads = set()

    def source():
        for k in range(50):
            threads.add(threading.get_ident())
            yield k

    assert list(prefetch(source(), 3)) == list(range(50))
    assert len(threads) == 1 and threading.get_ident() not in threads


def test_ahead_gives_what_there_was_before_an_error() -> None:
    def source():
        yield 1
        yield 2
        raise ValueError("broken")

    taken = prefetch(source())
    assert [next(taken), next(taken)] == [1, 2]
    with pytest.raises(ValueError, match="broken"):
        next(taken)


def test_ahead_is_never_far_ahead_and_closes_its_source() -> None:
    made, closed = [], threading.Event()

    def source():
        try:
            for k in range(1000):
                made.append(k)
                yield k
        finally:
            closed.set()

    items = prefetch(source(), 4)
    assert next(items) == 0
    items.close()
    assert closed.is_set() and len(made) <= 6


def test_a_spool_gives_back_what_it_took() -> None:
    kind = np.dtype([("frame", "i8"), ("points", "f4", (3, 2))])
    rows = np.zeros(200, dtype=kind)
    rows["frame"], rows["points"] = np.arange(200), np.random.default_rng(0).random((200, 3, 2))
    with RecordBuffer(kind) as spool:
        assert len(spool.read()) == 0
        for part in np.split(rows, 40):
            spool.append(part)
        assert len(spool) == 200
        np.testing.assert_array_equal(np.array(spool.read()), rows)
        spool.append(rows[:1])
        assert len(spool.read()) == 201


def test_calibration_puts_weights_on_the_persons_own_range() -> None:
    weights = np.zeros((200, 52))
    weights[:, SMILE] = 0.15
    weights[150:170, SMILE] = 0.9
    weights[:, BLINK] = 0.1
    for k in range(20, 200, 40):
        weights[k - 1 : k + 2, BLINK] = (0.4, 0.7, 0.4)
    assert neutral_calibrated(weights, "none") is weights
    neutral, whole = neutral_calibrated(weights, "neutral"), neutral_calibrated(weights, "range")
    assert np.allclose(neutral[:100, SMILE], 0) and 0.85 < neutral[160, SMILE] <= 0.9
    assert np.allclose(whole[20::40, BLINK], 1) and whole[10, BLINK] == 0
    np.testing.assert_array_equal(whole[:, SMILE], neutral[:, SMILE])
    assert neutral.min() >= 0 and whole.max() <= 1


def test_eyes_that_never_close_are_not_stretched() -> None:
    weights = np.zeros((100, 52))
    weights[:, BLINK] = 0.1 + 0.1 * np.sin(np.arange(100))
    assert neutral_calibrated(weights, "range")[:, BLINK].max() < 0.25
    assert len(neutral_calibrated(np.zeros((0, 52)), "range")) == 0
