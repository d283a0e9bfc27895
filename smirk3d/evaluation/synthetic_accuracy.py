"""Predicted expressions and poses against the ground truth, on rendered heads."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from smirk3d.authoring.load import load_head
from smirk3d.evaluation.data import EvaluationData
from smirk3d.evaluation.method_under_test import Method, MethodUnderTest, ReconstructionMethod
from smirk3d.evaluation.result import Figure, MeasureNotApplicableError, Result, values_of
from smirk3d.evaluation.synthetic_set import BATCH, SyntheticTestSet, synthetic_test_set
from smirk3d.face import Face
from smirk3d.geometry.euler import angles_from_rotation
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.metrics.correlation import mean_of_known
from smirk3d.metrics.expression import ExpressionMetrics, expression_metrics
from smirk3d.progress import Progress

MAX_FACES = 300
COMPARED: tuple[Method, ...] = ("encoder", "refine", "fit")
EXPRESSION_FIGURES = (
    Figure("mean_correlation", better="higher"),
    Figure("mean_error", better="lower"),
    Figure("asymmetry_slope", better="higher"),
    Figure("smile_asymmetry_slope", better="higher"),
    Figure("neutral_mean", better="lower"),
    Figure("neutral_max", better="lower"),
)
POSE_FIGURES = (
    Figure("rotation_error_deg", "deg", "lower"),
    Figure("yaw_error_deg", "deg", "lower"),
    Figure("residual_percent", "%", "lower"),
)


class SyntheticMeasure:
    """See `measure_synthetic`; networks are measured by all three methods."""

    name = "synthetic"
    summary = "expression against the ground truth of rendered heads"
    needs = frozenset[str]()
    figures = EXPRESSION_FIGURES
    is_default = True

    def run(self, method: MethodUnderTest, data: EvaluationData) -> Iterator[Result]:
        """Yield one result a method."""
        pictures = rendered_heads(data)
        for each in data.methods(COMPARED):
            with data.progress(f"{self.name}: {each.method}", len(pictures)) as display:
                yield measure_synthetic(each, pictures, display)


class PoseMeasure:
    """See `measure_pose`."""

    name = "pose"
    summary = "head pose against the ground truth of rendered heads"
    needs = frozenset({"reconstruction"})
    figures = POSE_FIGURES
    is_default = False

    def run(self, method: MethodUnderTest, data: EvaluationData) -> Iterator[Result]:
        """Yield one result."""
        if not isinstance(method, ReconstructionMethod):
            raise MeasureNotApplicableError("needs reconstructed heads")
        pictures = rendered_heads(data)
        with data.progress(f"{self.name}: {method.method}", len(pictures)) as display:
            yield measure_pose(method, pictures, display)


def rendered_heads(data: EvaluationData) -> SyntheticTestSet:
    """Return the rendered heads of an evaluation, with a contact sheet of the first ones where files are kept."""
    count = min(data.options.count, MAX_FACES)
    with data.progress("rendered heads", count) as display:
        pictures = synthetic_test_set(load_head(), data.method.detect, display, count=count, seed=data.options.seed)
    if data.options.keep is not None:
        pictures.save_sheet(data.clip_folder / "synthetic.png")
    return pictures


def expression_result(
    measure: str, found: ExpressionMetrics, method: str, faces: int, left_out: int = 0, **columns: np.ndarray
) -> Result:
    """Return expression metrics as the result of a measure.

    Args:
        measure: Name of the measure.
        found: The metrics.
        method: Name of the method.
        faces: Number of faces.
        left_out: Number of faces that were not found.
        columns: Further columns (52,) by name.
    """
    numbers = {
        "mean_correlation": mean_of_known(found.correlation),
        "mean_error": float(found.error.mean()),
        "asymmetry_slope": found.asymmetry_slope,
        "smile_asymmetry_slope": found.smile_asymmetry_slope,
        "neutral_mean": found.neutral_mean,
        "neutral_max": found.neutral_max,
    }
    return Result(
        measure,
        method,
        faces,
        values_of(EXPRESSION_FIGURES, numbers),
        {"correlation": found.correlation, "error": found.error, "rms": found.rms, **columns},
        left_out=left_out,
        worst="low",
    )


def predict_all(method: MethodUnderTest, pictures: SyntheticTestSet, display: Progress) -> np.ndarray:
    """Predict the expressions of all pictures from the detections that come with them.

    Args:
        method: Method under test.
        pictures: N rendered heads.
        display: Counts the faces.

    Returns:
        (N, 52) ARKit weights.
    """
    found = []
    for start in range(0, len(pictures), BATCH):
        batch = pictures.face_observations(start, min(start + BATCH, len(pictures)))
        found.append(method.weights(batch))
        for _ in batch:
            display.advance()
    return np.concatenate(found)


def measure_synthetic(
    method: MethodUnderTest, pictures: SyntheticTestSet, display: Progress, measure: str = SyntheticMeasure.name
) -> Result:
    """Compare predicted expressions with the ground truth.

    Args:
        method: Method under test.
        pictures: Rendered heads.
        display: Counts the faces.
        measure: Name of the measure in the result.
    """
    weights = predict_all(method, pictures, display)
    found = expression_metrics(weights, pictures.expression, pictures.kind == "neutral", ARKIT_NAMES)
    return expression_result(measure, found, method.method, len(pictures), pictures.missed)


def measure_pose(method: ReconstructionMethod, pictures: SyntheticTestSet, display: Progress) -> Result:
    """Compare predicted rotations with the ground truth.

    Args:
        method: Method under test.
        pictures: Rendered heads.
        display: Counts the faces.
    """
    faces: list[Face] = []
    for start in range(0, len(pictures), BATCH):
        batch = pictures.face_observations(start, min(start + BATCH, len(pictures)))
        faces += method.faces(batch)
        for _ in batch:
            display.advance()
    pairs = [(face.rotation, truth) for face, truth in zip(faces, pictures.rotmat, strict=True)]
    numbers = {
        "rotation_error_deg": float(np.mean([rotation_error_deg(one, two) for one, two in pairs])),
        "yaw_error_deg": float(
            np.mean([abs(angles_from_rotation(one)[0] - angles_from_rotation(two)[0]) for one, two in pairs])
        ),
        "residual_percent": float(np.mean([face.residual_percent for face in faces])),
    }
    return Result("pose", method.method, len(faces), values_of(POSE_FIGURES, numbers), left_out=pictures.missed)


def rotation_error_deg(rotation: np.ndarray, truth: np.ndarray) -> float:
    """Return the geodesic distance of two rotations.

    The angle of R T' has the cosine (trace(R T') - 1) / 2; source: Huynh, "Metrics for 3D Rotations: Comparison and
    Analysis", J. Math. Imaging Vis. 35, 2009.

    Args:
        rotation: (3, 3) rotation matrix R.
        truth: (3, 3) rotation matrix T.

    Returns:
        Degrees in [0, 180].
    """
    cosine = (np.trace(rotation @ truth.T) - 1) / 2
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))
