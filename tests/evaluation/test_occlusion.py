"""The measure of occlusion: its figures follow from what is found."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.data import astronaut

from smirk3d import Reconstructor
from smirk3d.estimation.estimator import FaceObservation
from smirk3d.evaluation.occlusion import FIGURES, measure_occlusion
from smirk3d.evaluation.registry import measures_named
from smirk3d.evaluation.result import MeasureNotApplicableError
from smirk3d.head.model import HeadModel
from smirk3d.media.images import Photo


def test_hidden_regions_of_one_face(open_head: HeadModel) -> None:
    with Reconstructor(open_head, "fit", max_faces=1) as reconstructor:
        photo = Photo(astronaut()[:300, 60:360].copy())
        known = FaceObservation(photo, reconstructor.detect(photo.pixels)[0])
        result = measure_occlusion(reconstructor, [known] * 6, seed=0)
        figures = result.figures
        assert set(figures) == {figure.name for figure in FIGURES}
        assert result.method == "fit" and 1 <= result.faces <= 6 and result.left_out == 6 - result.faces
        assert figures["false_alarms_eyes_percent"] == figures["false_alarms_mouth_percent"] == 0
        assert figures["auroc_mouth"] == 1 and figures["auroc_eyes"] == 1
        assert figures["hidden_weight_after"] < 0.3 * figures["hidden_weight_before"]
        assert figures["clean_change_median"] <= figures["clean_change_p99"] < 0.01
        blank = FaceObservation(Photo(np.zeros_like(photo.pixels)), known.detection)
        with pytest.raises(MeasureNotApplicableError, match="no face was found behind an occluder"):
            measure_occlusion(reconstructor, [blank], seed=0)


def test_it_is_taken_where_it_is_named() -> None:
    (measure,) = measures_named(("occlusion",))
    assert not measure.is_default and measure not in measures_named(())
