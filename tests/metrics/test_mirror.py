"""The difference between photos and their mirror images."""

import numpy as np

from smirk3d.metrics.mirror import mirror_difference

MIRROR = (1, 0, 2)


def test_a_mirrored_prediction_differs_by_nothing():
    own = np.random.default_rng(0).uniform(size=(5, 3))
    assert mirror_difference(own, own[:, list(MIRROR)], MIRROR).max() == 0


def test_the_difference_belongs_to_the_side_of_the_photo():
    own = np.random.default_rng(0).uniform(size=(5, 3))
    other = own[:, list(MIRROR)].copy()
    other[:, 1] += 0.25
    assert np.allclose(mirror_difference(own, other, MIRROR), [0.25, 0, 0])
