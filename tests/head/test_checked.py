"""Arrays of files are validated, and errors name the file and the entry."""

from pathlib import Path

import numpy as np
import pytest
import torch

from smirk3d.errors import Smirk3dError
from smirk3d.head.checked import checked_array, checked_floats, checked_integers

PATH = Path("model.pkl")


@pytest.mark.parametrize("value", ["text", None, [[1, 2], [3]], {"a": 1}])
def test_other_values_are_no_arrays(value):
    with pytest.raises(Smirk3dError, match=r"model\.pkl: 'f' is no array of numbers"):
        checked_array(PATH, "f", value)


def test_integral_floats_are_indices():
    found = checked_integers(PATH, "f", np.array([[0.0, 2.0], [1.0, 1.0]]), 3)
    assert found.dtype == torch.int64 and found.tolist() == [[0, 2], [1, 1]]


@pytest.mark.parametrize("value", [[], [-1, 0], [0, 3], [0.0, np.nan]])
def test_indices_out_of_range_are_errors(value):
    with pytest.raises(Smirk3dError, match=r"model\.pkl: 'f' is not within 0 and 2"):
        checked_integers(PATH, "f", np.array(value), 3)


def test_fractional_indices_are_errors():
    with pytest.raises(Smirk3dError, match="'f' is not of whole numbers"):
        checked_integers(PATH, "f", np.array([0.5]), 3)


def test_numbers_become_contiguous_float32():
    found = checked_floats(PATH, "v", np.arange(6.0).reshape(3, 2).T, (2, None))
    assert found.dtype == torch.float32 and found.is_contiguous() and found.tolist() == [[0, 2, 4], [1, 3, 5]]


@pytest.mark.parametrize("shape", [(2, 3), (3, 2), (2,), (0, 2)])
def test_other_shapes_are_errors(shape):
    with pytest.raises(Smirk3dError, match=r"model\.pkl: 'v' is .*, expected \(any, 4\)"):
        checked_floats(PATH, "v", np.zeros(shape), (None, 4))


@pytest.mark.parametrize("value", [np.inf, np.nan, 1e300])
def test_numbers_that_are_not_finite_in_float32_are_errors(value):
    with np.errstate(over="ignore"), pytest.raises(Smirk3dError, match="'v' has values that are not finite"):
        checked_floats(PATH, "v", np.array([value]), (1,))
