"""Perturbed expressions: METHOD's numbers on FLAME's layout, possible faces on ARKit's."""

from dataclasses import replace

import pytest
import torch

from smirk3d.datasets.synthetic.expression_templates import template_tensor
from smirk3d.head.arkit import ARKIT_NAMES, GAZE_NAMES, resolve_antagonists
from smirk3d.head.spec import Param, ParamSpec
from smirk3d.params import FaceParams
from smirk3d.train.expression_augmentation import (
    GROUPS,
    PerturbConfig,
    from_templates,
    neutral,
    permute_expressions,
    perturb,
    with_noise,
)

COMMON = (Param("pose", 3), Param("camera", 3))
FLAME = ParamSpec((Param("shape", 8), Param("expression", 50), Param("eyelids", 2, 0.0, 1.0), Param("jaw", 3), *COMMON))
OPEN = ParamSpec((Param("shape", 8), Param("expression", 52, 0.0, 1.0), *COMMON))
STILL = PerturbConfig(
    small_noise=(0, 0),
    jaw_probability=0,
    eyelids=(0, 0),
    arkit_small_noise=(0, 0),
    arkit_gaze_probability=0,
    one_sided=0,
)
BLINKS = [ARKIT_NAMES.index(name) for name in ("eyeBlinkLeft", "eyeBlinkRight")]
MANY = 4000


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def faces(spec: ParamSpec, count: int = MANY, seed: int = 0) -> FaceParams:
    random = seeded(seed)
    fields = {p.name: torch.randn(count, p.size, generator=random) for p in spec.params}
    if spec is OPEN:
        active = torch.rand(count, 52, generator=random) < 0.2
        weights = resolve_antagonists(torch.rand(count, 52, generator=random) * active)
        weights[:, ARKIT_NAMES.index("mouthClose")] = 0
        fields["expression"] = weights
    else:
        fields["jaw"] = fields["jaw"].abs() * torch.tensor([0.1, 0.03, 0.03])
        fields["eyelids"] = torch.rand(count, 2, generator=random)
    return FaceParams(**fields)


def templates(spec: ParamSpec) -> FaceParams:
    if spec is OPEN:
        return FaceParams(expression=template_tensor())
    return FaceParams(expression=2 * torch.eye(50), jaw=torch.full((50, 3), 0.1))


def column(params: FaceParams, name: str) -> torch.Tensor:
    assert params.expression is not None
    return params.expression[:, ARKIT_NAMES.index(name)]


@pytest.mark.parametrize("spec", [FLAME, OPEN], ids=["flame", "open"])
@pytest.mark.parametrize("count", [1, 3, 34])
def test_every_face_gets_another_expression_and_keeps_the_rest(spec, count):
    start = faces(spec, count)
    found, group = perturb(start, spec, templates(spec), seeded())
    assert group.shape == (count,) and group.dtype == torch.int64
    sizes = torch.bincount(group, minlength=len(GROUPS))
    assert sizes.max() - sizes.min() <= 1
    assert (found.expression != start.expression).any(dim=1).all()
    for name in ("shape", "pose", "camera"):
        assert torch.equal(getattr(found, name), getattr(start, name)), name
    assert {name for name, _ in found.items()} == set(spec.names)


@pytest.mark.parametrize("spec", [FLAME, OPEN], ids=["flame", "open"])
def test_random_numbers_come_from_the_generator_and_groups_from_all_faces(spec):
    start = faces(spec, 20)
    (first, group), (second, _) = (perturb(start, spec, templates(spec), seeded(3)) for _ in range(2))
    for name, value in first.items():
        assert torch.equal(value, getattr(second, name))
    other, others = perturb(start, spec, templates(spec), seeded(4))
    assert not torch.equal(other.expression, first.expression) and not torch.equal(group, others)
    alone = torch.cat([perturb(faces(spec, 1), spec, templates(spec), seeded(s))[1] for s in range(60)])
    assert alone.unique().numel() == len(GROUPS)


@pytest.mark.parametrize("spec", [FLAME, OPEN], ids=["flame", "open"])
def test_results_are_in_range_off_the_graph_and_the_arguments_untouched(spec):
    start = faces(spec).to(torch.float64)
    start = FaceParams(**{name: value.requires_grad_() for name, value in start.items()})
    before = {name: value.clone() for name, value in start.items()}
    found, _ = perturb(start, spec, templates(spec), seeded())
    for name, value in found.items():
        assert not value.requires_grad and value.dtype == torch.float64
        assert torch.equal(before[name], getattr(start, name))
        assert value.min() >= spec[name].low and value.max() <= spec[name].high
    if spec is FLAME:
        assert found.jaw is not None and found.jaw[:, 0].min() >= 0 and found.jaw[:, 0].max() <= 0.5
        assert found.jaw[:, 1:].abs().max() <= 0.2


@pytest.mark.parametrize("spec", [FLAME, OPEN], ids=["flame", "open"])
def test_missing_fields_are_zeros(spec):
    start = FaceParams(shape=torch.ones(8, 8))
    zeros = start.replace(
        **{p.name: torch.zeros(8, p.size) for p in spec.params if p.name in ("expression", "jaw", "eyelids")}
    )
    found, _ = perturb(start, spec, templates(spec), seeded())
    expected, _ = perturb(zeros, spec, templates(spec), seeded())
    for name, value in expected.items():
        assert torch.equal(value, getattr(found, name))
    assert found.pose is None


def test_flame_noise_strikes_half_of_the_coefficients_and_stays_below_four():
    start = faces(FLAME)
    found = with_noise(start, FLAME, seeded(), STILL)
    change = found.expression - start.expression
    struck = change != 0
    assert struck.float().mean() == pytest.approx(0.5, abs=0.01)
    assert (struck.float().mean(dim=1) - 0.5).abs().max() < 0.35
    assert found.expression.abs().max() == 4.0
    # E[U(1,3)^2] = 13/3; where clamping plays no part.
    free = with_noise(start, FLAME, seeded(), replace(STILL, limit=99.0)).expression - start.expression
    assert free[struck].std().item() == pytest.approx((13 / 3) ** 0.5, rel=0.02)
    per_face = free.square().sum(dim=1) / struck.sum(dim=1)
    assert 2.3 < per_face.std() < 3.1  # 2.7 for one strength a face, 1.5 were it drawn for each coefficient
    assert torch.equal(found.jaw, start.jaw) and torch.equal(found.eyelids, start.eyelids)


def test_exchanged_expressions_are_those_of_the_group_scaled():
    start = faces(FLAME, 400)
    found = permute_expressions(start, FLAME, seeded(), STILL)
    unit = torch.nn.functional.normalize
    similarity = unit(found.expression, dim=1) @ unit(start.expression, dim=1).T
    best, source = similarity.max(dim=1)
    assert best.min() > 0.9999 and source.unique().numel() == 400 and (source == torch.arange(400)).sum() < 10
    factor = found.expression.norm(dim=1) / start.expression[source].norm(dim=1)
    assert 0.25 <= factor.min() < 0.3 and 1.45 < factor.max() <= 1.5
    assert torch.equal(found.jaw, start.jaw)


def test_flame_templates_bring_their_jaw():
    start = faces(FLAME)
    found = from_templates(start, FLAME, templates(FLAME), seeded(), STILL)
    factor, which = (found.expression / 2).max(dim=1)
    torch.testing.assert_close(found.expression, 2 * factor[:, None] * torch.eye(50)[which])
    torch.testing.assert_close(found.jaw, 0.1 * factor[:, None].expand(-1, 3))
    assert which.unique().numel() == 50 and 0.25 <= factor.min() < 0.27 and 1.48 < factor.max() <= 1.5
    assert torch.equal(found.eyelids, start.eyelids)  # these templates say nothing of them


def test_flame_neutral_is_neutral_but_for_the_eyelids():
    found = neutral(faces(FLAME), FLAME, seeded(), replace(STILL, jaw_probability=1.0))
    assert not found.expression.any() and not found.jaw.any()
    assert found.eyelids.mean().item() == pytest.approx(0.5, abs=0.02) and found.eyelids.std() > 0.25
    assert not torch.equal(found.eyelids[:, 0], found.eyelids[:, 1])


def test_little_noise_jaw_and_eyelids_have_methods_numbers():
    start = FaceParams(
        expression=torch.zeros(MANY, 50), jaw=torch.full((MANY, 3), 0.25), eyelids=torch.full((MANY, 2), 0.5)
    )
    start = start.replace(jaw=torch.tensor([0.25, 0.0, 0.0]).expand(MANY, 3))
    found = permute_expressions(start, FLAME, seeded())
    assert found.expression.std(dim=1).min() < 0.01 and 0.19 < found.expression.std(dim=1).max() < 0.27
    moved = found.jaw != start.jaw
    assert moved.any(dim=1).float().mean() == pytest.approx(0.5, abs=0.03)
    assert found.jaw[moved[:, 1], 1].std() == pytest.approx(0.02, rel=0.1)
    inside = moved[:, 0] & (found.jaw[:, 0] > 0) & (found.jaw[:, 0] < 0.5)
    assert inside.sum() / moved[:, 0].sum() == pytest.approx(0.789, abs=0.03)  # P(|N(0, 0.2)| < 0.25)
    change = found.eyelids - 0.5
    assert change.abs().max() <= 0.25 and change.std() == pytest.approx(0.5 / 12**0.5, rel=0.05)


def test_arkit_faces_stay_possible():
    found, group = perturb(faces(OPEN), OPEN, templates(OPEN), seeded())
    weights = found.expression
    torch.testing.assert_close(resolve_antagonists(weights), weights, atol=0, rtol=0)
    assert (column(found, "mouthClose") <= column(found, "jawOpen")).all()
    active = (weights > 0.02).float().sum(dim=1)
    assert active.mean() < 13 and 10 < active[group == GROUPS.index("noise")].mean() < 17
    assert active[group == GROUPS.index("neutral")].mean() < 5


def test_arkit_noise_strikes_half_and_leaves_gaze_and_tongue():
    start = faces(OPEN)
    found = with_noise(start, OPEN, seeded(), STILL)
    changed = found.expression != start.expression
    for name in (*GAZE_NAMES, "tongueOut"):
        assert torch.equal(column(found, name), column(start, name)), name
    # Where a weight was on, half are struck; where it was off, half times the active share.
    on = start.expression[:, ARKIT_NAMES.index("cheekPuff")] > 0
    struck = changed[:, ARKIT_NAMES.index("cheekPuff")]
    assert struck[on].float().mean() == pytest.approx(0.5, abs=0.06)
    assert struck[~on].float().mean() == pytest.approx(0.5 * STILL.arkit_active, abs=0.03)
    assert column(found, "cheekPuff").max() > 0.9


def test_arkit_templates_are_clamped_and_scaled():
    found = from_templates(faces(OPEN), OPEN, templates(OPEN), seeded(), STILL).expression
    unit = torch.nn.functional.normalize
    similarity = (unit(found, dim=1) @ unit(template_tensor(), dim=1).T).max(dim=1).values
    assert similarity.min() > 0.9 and found.max() == 1.0
    assert found.max(dim=1).values.min() < 0.25


def test_arkit_neutral_blinks_at_random():
    found = neutral(faces(OPEN), OPEN, seeded(), replace(STILL, jaw_probability=1.0)).expression
    rest = [k for k in range(52) if k not in BLINKS]
    assert not found[:, rest].any()
    assert found[:, BLINKS].mean().item() == pytest.approx(0.5, abs=0.02)


def test_arkit_lids_and_jaw_move_a_little_in_all_groups():
    start = FaceParams(expression=torch.zeros(MANY, 52))
    start.expression[:, [*BLINKS, ARKIT_NAMES.index("jawOpen")]] = 0.5
    found = permute_expressions(
        start, OPEN, seeded(), replace(STILL, scale=(1, 1), jaw_probability=0.5, eyelids=(-0.25, 0.25))
    )
    lids = found.expression[:, BLINKS] - 0.5
    assert lids.abs().max() <= 0.25 and lids.std() == pytest.approx(0.5 / 12**0.5, rel=0.05)
    assert (column(found, "jawOpen") != 0.5).float().mean() == pytest.approx(0.5, abs=0.03)


def test_some_arkit_faces_lose_one_side_but_not_their_gaze():
    start = FaceParams(expression=resolve_antagonists(torch.rand(MANY, 52, generator=seeded()) * 0.5 + 0.1))
    found = permute_expressions(start, OPEN, seeded(), replace(STILL, one_sided=0.3))
    lost_left, lost_right = column(found, "mouthSmileLeft") == 0, column(found, "mouthSmileRight") == 0
    assert (lost_left | lost_right).float().mean() == pytest.approx(0.3, abs=0.03)
    assert not (lost_left & lost_right).any() and 0.4 < lost_left.sum() / (lost_left | lost_right).sum() < 0.6
    for name in ("browDownLeft", "eyeBlinkLeft", "noseSneerLeft", "cheekSquintLeft"):
        assert torch.equal(column(found, name) == 0, lost_left), name
    kept = [ARKIT_NAMES.index(n) for n in (*GAZE_NAMES, "mouthLeft", "mouthRight", "jawLeft", "jawOpen", "cheekPuff")]
    before = (start.expression[:, kept] > 0).float().mean(dim=0)
    torch.testing.assert_close((found.expression[:, kept] > 0).float().mean(dim=0), before)


def test_some_eyes_look_elsewhere_both_the_same_way():
    start = faces(OPEN)
    found = from_templates(start, OPEN, templates(OPEN), seeded(), replace(STILL, arkit_gaze_probability=0.4))
    gaze = [ARKIT_NAMES.index(name) for name in GAZE_NAMES]
    moved = (found.expression[:, gaze] != start.expression[:, gaze]).any(dim=1)
    looks = found.expression[(found.expression[:, gaze] > 0).sum(dim=1) == 4]
    assert len(looks) / MANY == pytest.approx(0.4, abs=0.03) and moved.any()
    for one, other in (
        ("OutLeft", "InRight"),
        ("InLeft", "OutRight"),
        ("UpLeft", "UpRight"),
        ("DownLeft", "DownRight"),
    ):
        both = [looks[:, ARKIT_NAMES.index(f"eyeLook{side}")] for side in (one, other)]
        assert (
            torch.equal(*both) and both[0].max() > 0.9 and (both[0] > 0).float().mean() == pytest.approx(0.5, abs=0.05)
        )


def test_weights_in_a_range_that_are_not_arkits_are_refused():
    other = ParamSpec((Param("expression", 10, 0.0, 1.0),))
    with pytest.raises(ValueError, match=r"10 expressions in .* are not the 52 ARKit weights"):
        perturb(FaceParams(expression=torch.zeros(4, 10)), other, FaceParams(expression=torch.zeros(2, 10)), seeded())
