"""Which network a configuration of `smirk3d fer train` is about."""

from __future__ import annotations

from pathlib import Path

import pytest

from smirk3d.errors import Smirk3dError
from smirk3d.train.recipe_kind import recipe_kind

RECIPES = Path(__file__).parents[2] / "configs" / "recipes"
KINDS = ("expression_vector", "occlusion")


def test_the_packaged_recipes_are_told_apart() -> None:
    assert recipe_kind(RECIPES / "fer_vector.yaml", KINDS, KINDS[0]) == "expression_vector"
    assert recipe_kind(RECIPES / "fer_occlusion.yaml", KINDS, KINDS[0]) == "occlusion"


@pytest.mark.parametrize("text", ["kind: eyes", "kind: [1, 2]", "kind:\n  a: 1"])
def test_another_kind_is_refused(tmp_path: Path, text: str) -> None:
    (path := tmp_path / "recipe.yaml").write_text(text)
    with pytest.raises(Smirk3dError, match=r"recipe\.yaml: kind must be one of expression_vector, occlusion"):
        recipe_kind(path, KINDS, KINDS[0])


@pytest.mark.parametrize("text", ["", "[1]", "a: [", "steps: 3"])
def test_a_file_without_a_kind_has_the_default(tmp_path: Path, text: str) -> None:
    (path := tmp_path / "recipe.yaml").write_text(text)
    assert recipe_kind(path, KINDS, KINDS[0]) == "expression_vector"
    assert recipe_kind(tmp_path / "nowhere.yaml", KINDS, KINDS[0]) == "expression_vector"
