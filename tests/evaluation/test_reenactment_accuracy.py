from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest

from smirk3d.estimation.reconstructor import Reconstructor
from smirk3d.evaluation.method_under_test import ReconstructionMethod
from smirk3d.evaluation.reenactment_accuracy import (
    PersonInPlace,
    ReenactedPicture,
    people_in_place,
    reenacted_pictures,
    reenactment_result,
)
from smirk3d.head.model import HeadModel
from smirk3d.reenactment.reenactor import Reenactor


@pytest.fixture(scope="module")
def person(open_head: HeadModel) -> PersonInPlace:
    return next(people_in_place(open_head, 1, 3))


def test_pictures_of_a_person_differ_in_the_face_alone(person: PersonInPlace) -> None:
    for moved in person.moved.values():
        changed = (moved != person.calm).any(axis=2)
        assert 0.001 < changed.mean() < 0.3 and not changed[:10].any()


def test_reenactment_comes_nearer_to_the_truth_than_the_photo(open_head: HeadModel, person: PersonInPlace) -> None:
    with Reconstructor(open_head, "fit", max_faces=1) as reconstructor:
        reenactor = Reenactor(person.calm, reconstructor)
    method = ReconstructionMethod("fit", open_head)
    pictures = reenacted_pictures(reenactor, person, method, 0)
    method.close()
    assert [each.name for each in pictures] == [f"0_{name}" for name in person.moved]
    figures = reenactment_result("fit", pictures, 0).figures
    assert figures["psnr_db"] > figures["copied_psnr_db"] + 0.4
    assert figures["face_psnr_db"] < figures["psnr_db"]


def test_figures_of_known_errors() -> None:
    random = np.random.default_rng(0)
    driven = random.uniform(0, 1, (8, 52))
    pictures = [
        ReenactedPicture(str(k), (0.01, 0.1, 0.001, 1.0), weights, 0.5 * weights, random.uniform(0, 1, 52))
        for k, weights in enumerate(driven)
    ]
    figures = cast(Any, reenactment_result("fit", pictures, 2)).figures
    assert np.allclose([figures[name] for name in ("psnr_db", "copied_psnr_db")], [20, 10])
    assert np.allclose([figures[name] for name in ("face_psnr_db", "copied_face_psnr_db")], [30, 0])
    assert np.isclose(figures["correlation"], 1) and figures["truth_correlation"] < 0.5
