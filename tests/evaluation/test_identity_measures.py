"""Measures of identity: on exact shapes they are perfect, and what they report is what they say."""

from pathlib import Path

import numpy as np
import pytest
import torch

from smirk3d.datasets.synthetic.rendered_people import EXPRESSIONS, RenderedPhoto, expression_weights, resting_weights
from smirk3d.errors import Smirk3dError
from smirk3d.evaluation.head_size import size_numbers
from smirk3d.evaluation.identity_accuracy import _by_person, identity_result
from smirk3d.evaluation.identity_retrieval import photo_pairs, retrieval_result
from smirk3d.evaluation.neutral_meshes import face_errors_mm, head_heights_mm, lip_heights, neutral_vertices
from smirk3d.head.arkit import ARKIT_MIRROR


@pytest.fixture
def shapes(open_head) -> np.ndarray:
    return torch.randn(6, open_head.n_shape, generator=torch.Generator().manual_seed(0)).numpy()


def test_heights_and_errors_do_not_depend_on_where_a_head_is(open_head, shapes) -> None:
    heads = neutral_vertices(open_head, shapes)
    moved = 1.0 * heads + heads.new_tensor([0.1, -0.2, 0.3])
    np.testing.assert_allclose(head_heights_mm(open_head, moved), head_heights_mm(open_head, heads), atol=1e-2)
    np.testing.assert_allclose(lip_heights(open_head, 1.3 * heads), lip_heights(open_head, heads), rtol=1e-4)
    assert face_errors_mm(open_head, 1.2 * moved, heads).max() < 0.01  # size is not observable
    np.testing.assert_allclose(head_heights_mm(open_head, 2 * heads), 2 * head_heights_mm(open_head, heads), rtol=1e-5)


def test_sizes_of_heads(open_head, shapes) -> None:
    found = size_numbers("random", open_head, shapes)
    heights = head_heights_mm(open_head, neutral_vertices(open_head, shapes))
    assert found["random_max_height_mm"] == pytest.approx(heights.max(), rel=1e-6)
    assert found["random_in_range_percent"] == pytest.approx(100 * np.mean((heights >= 190) & (heights <= 260)))
    assert found["random_max_abs_shape"] == pytest.approx(np.abs(shapes).max())


def test_the_same_shape_is_found_first_and_others_later(open_head, shapes) -> None:
    exact = retrieval_result("fit", open_head, shapes, shapes).figures
    assert exact == {"rank_1_percent": 100, "rank_5_percent": 100, "median_rank": 1}
    wrong = retrieval_result("fit", open_head, shapes, shapes[[1, 2, 3, 4, 5, 0]]).figures
    assert wrong["rank_1_percent"] == 0 and wrong["median_rank"] > 1


def photo(person: int, expression: str, shape: np.ndarray) -> RenderedPhoto:
    return RenderedPhoto(person, expression, shape, np.zeros(52, np.float32), np.zeros((1, 1, 3), np.uint8))


def test_true_identities_have_no_error_and_the_mean_head_that_of_the_mean_head(open_head, shapes) -> None:
    photos = [photo(k // 2, "neutral" if k % 2 == 0 else "roaring", shapes[k // 2]) for k in range(6)]
    truth = np.stack([each.shape for each in photos])
    exact = identity_result("fit", open_head, photos, truth, truth, 0).figures
    for name in ("face_error_mm", "coefficient_error", "lip_height_spread", "joint_lip_height_error"):
        assert exact[name] == pytest.approx(0, abs=1e-4)
    mean = identity_result("fit", open_head, photos, np.zeros_like(truth), truth, 0).figures
    assert mean["face_error_mm"] == pytest.approx(mean["mean_head_error_mm"], rel=1e-3) and mean["face_error_mm"] > 1


def test_photos_are_grouped_by_person() -> None:
    photos = [photo(k // len(EXPRESSIONS), "neutral", np.zeros(1)) for k in range(2 * len(EXPRESSIONS))]
    assert [[each.person for each in person] for person in _by_person(iter(photos))] == [[0] * 6, [1] * 6]


def test_expressions_and_resting_faces_are_symmetric_weights() -> None:
    resting = resting_weights(0.3, torch.Generator().manual_seed(1))
    for weights in (*map(expression_weights, EXPRESSIONS), resting):
        assert weights.min() >= 0 and weights.max() <= 1 and weights.equal(weights[list(ARKIT_MIRROR)])
    assert 0 < resting.max() <= 0.3


def test_pairs_of_photos_are_of_one_person_of_the_split(tmp_path: Path) -> None:
    rows = [
        f"{name}_{k},{split},{name}" for name, split in (("a", "val"), ("b", "val"), ("c", "train")) for k in range(3)
    ]
    (tmp_path / "labels.csv").write_text("\n".join(["key,split,person", *rows, "d_0,val,d", ""]))
    pairs = photo_pairs(tmp_path, "val", seed=1)
    assert sorted(first[0] + second[0] for first, second in pairs) == ["aa", "bb"]
    assert all(first != second for first, second in pairs) and pairs == photo_pairs(tmp_path, "val", seed=1)


def test_a_table_without_persons_is_refused(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("key,split\na,val\n")
    with pytest.raises(Smirk3dError, match="person"):
        photo_pairs(tmp_path, "val", seed=1)
