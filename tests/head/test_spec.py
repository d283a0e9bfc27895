"""Names, sizes and ranges of parameters."""

import pytest
import torch

from smirk3d.head.spec import Param, ParamSpec
from smirk3d.params import FaceParams

SPEC = ParamSpec((Param("shape", 4), Param("expression", 3, 0.0, 1.0), Param("pose", 3)))


def test_zeros_have_the_batch_shape_and_dtype():
    zeros = SPEC.zeros(2, 5, dtype=torch.float64)
    assert [name for name, _ in zeros.items()] == ["shape", "expression", "pose"]
    for name, value in zeros.items():
        assert value.shape == (2, 5, SPEC[name].size) and value.dtype == torch.float64 and not value.any()
    assert zeros.jaw is None


def test_clamping_keeps_what_is_inside_and_moves_what_is_not():
    params = FaceParams(shape=torch.tensor([-9.0, 0, 0, 9]), expression=torch.tensor([-0.5, 0.25, 1.5]))
    limited = SPEC.clamp(params)
    assert params.shape is not None and limited.shape is not None and limited.shape.equal(params.shape)
    assert limited.expression is not None and limited.expression.tolist() == [0.0, 0.25, 1.0]
    assert limited.pose is None
    again = SPEC.clamp(limited)
    assert again.expression is not None and again.expression.equal(limited.expression)
    assert params.expression is not None and params.expression[0] == -0.5  # the argument is left alone


def test_an_unknown_parameter_is_refused_by_name():
    with pytest.raises(KeyError, match="no parameter 'eyelids'; it has shape, expression, pose"):
        SPEC["eyelids"]
    with pytest.raises(KeyError, match="eyelids"):
        SPEC.clamp(FaceParams(eyelids=torch.zeros(2)))


def test_estimated_parameters_of_each_head(open_head, tiny_data):
    # The open head's jaw and lids are expressions; FLAME's are parameters of their own.
    assert open_head.spec.names == ("shape", "expression", "pose", "camera")
    assert (open_head.spec["expression"].low, open_head.spec["expression"].high) == (0.0, 1.0)
    spec = tiny_data.spec(n_shape=2, n_expression=1)
    assert spec.names == ("shape", "expression", "eyelids", "jaw", "pose", "camera")
    assert (spec["shape"].size, spec["expression"].size) == (2, 1)
    assert (spec["eyelids"].low, spec["eyelids"].high) == (0.0, 1.0)
    assert spec["shape"].low == float("-inf")
