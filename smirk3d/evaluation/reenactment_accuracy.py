"""Reenacted photos of rendered people against the true pictures, and the expressions that are read in them."""

from __future__ import annotations

from collections.abc import Iterator

from smirk3d.errors import NoFaceError, Smirk3dError
from smirk3d.evaluation.data import EvaluationData
from smirk3d.evaluation.method_under_test import MethodUnderTest, ReconstructionMethod
from smirk3d.evaluation.picture_metrics import PictureMetrics
from smirk3d.evaluation.reenactment_figures import FIGURES, EngineTally, reenactment_result
from smirk3d.evaluation.reenactment_people import people_in_place, turned_people
from smirk3d.evaluation.reenactment_run import PersonAtWork, TurnedAtWork
from smirk3d.evaluation.result import MeasureNotApplicableError, Result
from smirk3d.networks.neural_renderer import NeuralRenderer
from smirk3d.progress import Progress
from smirk3d.reenactment.engine import ENGINES
from smirk3d.train.losses.perceptual import lite0_features

MAX_PEOPLE = 40
RENDERER = "neural renderer"


class ReenactmentMeasure:
    """See `reenactment_result`; --count is the number of people."""

    name = "reenactment"
    summary = "photos of rendered people moved to strong expressions, against the true pictures and the copied photo"
    needs = frozenset({"reconstruction"})
    figures = FIGURES
    is_default = False

    def run(self, method: MethodUnderTest, data: EvaluationData) -> Iterator[Result]:
        """Yield one result for each engine, and one for the neural renderer where there is one."""
        if not isinstance(method, ReconstructionMethod):
            raise MeasureNotApplicableError("needs reconstructed heads")
        renderer = None if data.checkpoint is None else data.checkpoint.generator
        tallies = {name: EngineTally() for name in (*ENGINES, *([RENDERER] if renderer is not None else []))}
        count = min(data.options.count, MAX_PEOPLE)
        with data.progress(self.name, 2 * count) as display:
            metrics = _picture_metrics(display)
            _measure_in_place(method, data, count, renderer, metrics, tallies, display)
            _measure_turned(method, data, count, metrics, tallies, display)
        for name, tally in tallies.items():
            label = method.method if name == ENGINES[0] else f"{method.method}, {name}"
            yield reenactment_result(label, tally)


def _picture_metrics(display: Progress) -> PictureMetrics:
    try:
        return PictureMetrics(lite0_features())
    except Smirk3dError as error:
        display.note(f"no feature distances and identities: {error}")
        return PictureMetrics(None)


def _measure_in_place(
    method: ReconstructionMethod,
    data: EvaluationData,
    count: int,
    renderer: NeuralRenderer | None,
    metrics: PictureMetrics,
    tallies: dict[str, EngineTally],
    display: Progress,
) -> None:
    """Move neutral photos to strong expressions, and to those that are read in pictures of the person before."""
    reconstructor, before = data.reconstructor(), None
    for number, person in enumerate(people_in_place(data.head, count, data.options.seed)):
        try:
            work = PersonAtWork.prepare(person, number, reconstructor, method, metrics)
        except NoFaceError:
            for tally in tallies.values():
                tally.missed += len(person.moved)
            continue
        for name in ENGINES:
            work.measure_engine(name, tallies[name], before)
        if renderer is not None:
            work.measure_renderer(renderer, tallies[RENDERER])
        before = work
        display.advance()


def _measure_turned(
    method: ReconstructionMethod,
    data: EvaluationData,
    count: int,
    metrics: PictureMetrics,
    tallies: dict[str, EngineTally],
    display: Progress,
) -> None:
    """Turn photos that show one side of the face, from one photo and from several."""
    reconstructor = data.reconstructor()
    for person in turned_people(data.head, count, data.options.seed):
        try:
            work = TurnedAtWork.prepare(person, reconstructor, method, metrics)
        except NoFaceError:
            continue
        for name in ENGINES:
            work.measure_engine(name, tallies[name])
        display.advance()
