"""All measures, in the order in which they are taken: quick ones first."""

from __future__ import annotations

from smirk3d.assets import printable
from smirk3d.errors import UsageError
from smirk3d.evaluation.actions import ActionsMeasure
from smirk3d.evaluation.character_accuracy import CharacterMeasure
from smirk3d.evaluation.closed_lips import ClosedLipsMeasure
from smirk3d.evaluation.cycle import CycleMeasure
from smirk3d.evaluation.head_size import HeadSizeMeasure
from smirk3d.evaluation.identity_accuracy import IdentityAccuracyMeasure
from smirk3d.evaluation.identity_retrieval import IdentityRetrievalMeasure
from smirk3d.evaluation.landmark_accuracy import LandmarkFitMeasure
from smirk3d.evaluation.landmarks import LandmarkMeasure
from smirk3d.evaluation.measure import Measure
from smirk3d.evaluation.mirror import MirrorMeasure
from smirk3d.evaluation.needs import NEEDS
from smirk3d.evaluation.occlusion import OcclusionMeasure
from smirk3d.evaluation.out_of_domain_heads import OutOfDomainHeadsMeasure
from smirk3d.evaluation.photo_changes import PhotoChangesMeasure
from smirk3d.evaluation.probe import ProbeMeasure
from smirk3d.evaluation.probe_comparison import ProbeComparisonMeasure
from smirk3d.evaluation.reconstruction import ReconstructionMeasure
from smirk3d.evaluation.reenactment_accuracy import ReenactmentMeasure
from smirk3d.evaluation.retargeting_accuracy import RetargetingMeasure
from smirk3d.evaluation.synthetic_accuracy import PoseMeasure, SyntheticMeasure
from smirk3d.evaluation.temporal_stability import JitterMeasure
from smirk3d.evaluation.video_accuracy import VideoAccuracyMeasure
from smirk3d.evaluation.video_stability import VideoStabilityMeasure

MEASURES: tuple[Measure, ...] = (
    LandmarkMeasure(),
    MirrorMeasure(),
    JitterMeasure(),
    ProbeMeasure(),
    SyntheticMeasure(),
    ReconstructionMeasure(),
    CycleMeasure(),
    PoseMeasure(),
    LandmarkFitMeasure(),
    CharacterMeasure(),
    ProbeComparisonMeasure(),
    VideoAccuracyMeasure(),
    VideoStabilityMeasure(),
    RetargetingMeasure(),
    ActionsMeasure(),
    HeadSizeMeasure(),
    IdentityAccuracyMeasure(),
    IdentityRetrievalMeasure(),
    ClosedLipsMeasure(),
    OcclusionMeasure(),
    PhotoChangesMeasure(),
    OutOfDomainHeadsMeasure(),
    ReenactmentMeasure(),
)
"""Those that are not taken by default come last."""
_FLAGS_OF_NEED = {
    "data": "--data DATA",
    "annotations": "--data DATA",
    "faces": "--data DATA",
    "character": "--character HEAD.glb --eyes LEFT RIGHT",
    "head": "--head MODEL.pkl",
}


def measures_named(names: tuple[str, ...]) -> tuple[Measure, ...]:
    """Return the measures of some names in the order of the registry; the default ones where there are no names.

    Raises:
        UsageError: A name is unknown.
    """
    known = {measure.name for measure in MEASURES}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise UsageError(
            f"measure {printable(unknown[0])!r} is unknown; choose of {', '.join(each.name for each in MEASURES)}"
        )
    return tuple(measure for measure in MEASURES if (measure.name in names if names else measure.is_default))


def command_of(measure: Measure) -> str:
    """Return a command line that takes one measure."""
    checkpoint = "fit" if measure.needs & {"fit", "head"} else "packaged"
    flags = sorted({_FLAGS_OF_NEED[need] for need in measure.needs if need in _FLAGS_OF_NEED})
    return " ".join(["smirk3d evaluate", checkpoint, "--only", measure.name, *flags])


def measure_list() -> str:
    """Return what all measures are, what they need and print, and their commands, one paragraph each."""
    return "\n\n".join(_paragraph(measure) for measure in MEASURES)


def _paragraph(measure: Measure) -> str:
    figures = ", ".join(
        figure.name + (f" ({figure.better} is better)" if figure.better else "") for figure in measure.figures
    )
    lines = [f"{measure.name}: {measure.summary}"]
    lines += ["  only where named with --only"] if not measure.is_default else []
    needs = [need.label for name, need in NEEDS.items() if name in measure.needs]
    lines += [f"  needs: {'; '.join(needs)}"] if needs else []
    return "\n".join([*lines, f"  prints: {figures}", f"  command: {command_of(measure)}"])
