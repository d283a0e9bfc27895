from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest

from smirk3d.estimation.reconstructor import Reconstructor
from smirk3d.evaluation.method_under_test import ReconstructionMethod
from smirk3d.evaluation.picture_metrics import FaceSquare, PictureMetrics, PictureScores, identity_ratio
from smirk3d.evaluation.reenactment_figures import (
    FIGURES,
    EngineTally,
    ReenactedPicture,
    TurnedPicture,
    reenactment_result,
)
from smirk3d.evaluation.reenactment_people import PersonInPlace, TurnedPerson, people_in_place, turned_people
from smirk3d.evaluation.reenactment_run import PersonAtWork, TurnedAtWork
from smirk3d.head.model import HeadModel
from smirk3d.train.losses.perceptual import lite0_features


@pytest.fixture(scope="module")
def person(open_head: HeadModel) -> PersonInPlace:
    return next(people_in_place(open_head, 1, 3))


@pytest.fixture(scope="module")
def turned(open_head: HeadModel) -> TurnedPerson:
    return next(turned_people(open_head, 1, 3))


def test_pictures_of_a_person_differ_in_the_face_alone(person: PersonInPlace) -> None:
    for moved in person.moved.values():
        changed = (moved != person.neutral).any(axis=2)
        assert 0.001 < changed.mean() < 0.3 and not changed[:10].any()


def test_a_turned_person_keeps_the_background_and_has_other_photos(turned: TurnedPerson) -> None:
    photo, *further = turned.photos
    for moved in turned.moved.values():
        assert np.array_equal(moved[:6], photo[:6]) and (moved != photo).any(axis=2).mean() > 0.05
    assert len(further) == 3 and all((each[:6] != photo[:6]).any() for each in further)


def test_reenactment_comes_nearer_to_the_truth_than_the_photo(
    open_head: HeadModel, person: PersonInPlace, turned: TurnedPerson
) -> None:
    method, metrics, tally = ReconstructionMethod("fit", open_head), PictureMetrics(lite0_features()), EngineTally()
    with Reconstructor(open_head, "fit", max_faces=1) as reconstructor:
        work = PersonAtWork.prepare(person, 0, reconstructor, method, metrics)
        turned_work = TurnedAtWork.prepare(turned, reconstructor, method, metrics)
    work.measure_engine("mesh", tally, before=work)
    turned_work.measure_engine("mesh", tally)
    method.close()
    assert [each.name for each in tally.pictures] == [f"0_{name}" for name in person.moved]
    figures = reenactment_result("fit", tally).figures
    assert set(figures) == {figure.name for figure in FIGURES}
    assert figures["psnr_db"] > figures["copied_psnr_db"] + 0.4
    assert figures["face_psnr_db"] < figures["psnr_db"]
    assert figures["ssim"] > figures["copied_ssim"]
    assert figures["feature_distance"] < figures["copied_feature_distance"]
    assert figures["turned_psnr_db"] > figures["turned_copied_psnr_db"] + 1
    assert 0 < figures["flicker"] < 3 and figures["pose_off_deg"] < 8 and figures["truth_pose_off_deg"] < 8


def _scores(error: float, face_error: float = 0.1) -> PictureScores:
    return PictureScores(error, face_error, 0.9, 0.2)


def test_figures_of_known_errors() -> None:
    random = np.random.default_rng(0)
    driven = random.uniform(0, 1, (8, 52))
    tally = EngineTally(missed=2, flickers=[0.5, 1.5])
    for k, weights in enumerate(driven):
        identities = random.normal(size=(3, 16))
        identities[1] = identities[2]
        scores = _scores(0.01, 0.001), _scores(0.1, 1.0)
        other = random.uniform(0, 1, 52)
        tally.pictures.append(ReenactedPicture(str(k), *scores, weights, 0.5 * weights, other, identities))
        tally.crossed.append((weights, 1 - weights))
        tally.turned.append(
            TurnedPicture(_scores(1, 0.01), _scores(1, 0.001), _scores(1, 0.1), [2.0, np.nan][k % 2], 1.5)
        )
    result = reenactment_result("fit", tally)
    figures = cast(Any, result).figures
    assert result.left_out == 2
    assert np.allclose([figures[name] for name in ("psnr_db", "copied_psnr_db")], [20, 10])
    assert np.allclose([figures[name] for name in ("face_psnr_db", "copied_face_psnr_db")], [30, 0])
    assert np.isclose(figures["correlation"], 1) and figures["truth_correlation"] < 0.5
    assert np.isclose(figures["cross_correlation"], -1) and figures["flicker"] == 1
    assert np.allclose([figures[f"{name}_psnr_db"] for name in ("turned", "several", "turned_copied")], [20, 30, 10])
    assert (
        np.isclose(figures["identity_ratio"], 1)
        and figures["pose_off_deg"] == 2
        and figures["truth_pose_off_deg"] == 1.5
    )


def test_identity_is_what_people_do_not_share() -> None:
    random = np.random.default_rng(1)
    shared, own = 10 * random.normal(size=32), random.normal(size=(20, 32))
    sources, others = shared + own, shared + own + 0.5 * random.normal(size=own.shape)
    assert identity_ratio(sources, sources, others) > 1
    strangers = shared + random.normal(size=own.shape)
    assert abs(identity_ratio(sources, strangers, others)) < 0.3


def test_pictures_are_compared_around_the_face(person: PersonInPlace) -> None:
    metrics, square = PictureMetrics(None), FaceSquare(slice(100, 200), slice(120, 220))
    made = person.neutral.copy()
    made[:20] = 255 - made[:20]
    scores = metrics.scores(made, person.neutral, square)
    assert scores.error > 0.001 and scores.face_error == 0 and scores.similarity == 1 and np.isnan(scores.distance)
