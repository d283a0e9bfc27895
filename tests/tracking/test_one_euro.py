"""The 1 € filter: little jitter at rest, little lag in motion."""

import numpy as np

from smirk3d.tracking.one_euro import OneEuroConfig, OneEuroFilter


def run(values: np.ndarray, config: OneEuroConfig, fps: float = 30.0) -> np.ndarray:
    filter_ = OneEuroFilter(config)
    return np.stack([filter_(value, k / fps) for k, value in enumerate(values)])


def test_jitter_is_halved_at_rest_and_a_step_passes() -> None:
    random = np.random.default_rng(0)
    config = OneEuroConfig(min_cutoff_hz=1.0, beta=5.0)
    still = 0.3 + 0.01 * random.standard_normal((300, 1))
    assert run(still, config)[50:].std() < 0.5 * still.std()
    step = np.repeat([[0.0], [1.0]], 30, axis=0)
    slow = run(step, OneEuroConfig(min_cutoff_hz=1.0, beta=0.0))
    assert run(step, config)[33] > 0.8 > slow[33]


def test_without_speed_term_it_is_an_exponential_mean() -> None:
    config, fps = OneEuroConfig(min_cutoff_hz=2.0, beta=0.0), 30.0
    values = np.random.default_rng(1).random((20, 3))
    factor = 1 / (1 + fps / (2 * np.pi * 2.0))
    expected = [values[0]]
    for value in values[1:]:
        expected.append(factor * value + (1 - factor) * expected[-1])
    np.testing.assert_allclose(run(values, config, fps), expected)


def test_filter_restarts_where_time_does_not_advance() -> None:
    filter_ = OneEuroFilter()
    filter_(np.zeros(1), 1.0)
    np.testing.assert_array_equal(filter_(np.ones(1), 1.0), [1.0])
