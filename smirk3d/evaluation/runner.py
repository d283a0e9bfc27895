"""All measures of one checkpoint, or of the landmark fit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import torch

from smirk3d.assets import printable
from smirk3d.authoring.load import load_head
from smirk3d.errors import UsageError
from smirk3d.evaluation.cycle import measure_cycle
from smirk3d.evaluation.encoder_predictions import FrozenEncoder
from smirk3d.evaluation.landmarks import measure_landmarks
from smirk3d.evaluation.method_under_test import Checkpoint, Method, MethodUnderTest, checkpoint_path
from smirk3d.evaluation.mirror import measure_mirror
from smirk3d.evaluation.neural_renderer_probe import RendererTraining, train_renderer
from smirk3d.evaluation.photos import PhotoSet
from smirk3d.evaluation.probe import measure_probe, probe_faces
from smirk3d.evaluation.reconstruction import measure_reconstruction
from smirk3d.evaluation.report import MeasureNotApplicableError, Report, Result
from smirk3d.evaluation.synthetic_accuracy import measure_truth
from smirk3d.evaluation.synthetic_set import synthetic_test_set
from smirk3d.evaluation.temporal_stability import JitterPerturbation, measure_jitter
from smirk3d.head.model import HeadModel
from smirk3d.networks.neural_renderer import NeuralRenderer
from smirk3d.progress import Progress
from smirk3d.train.losses.perceptual import PerceptualFeatures, lite0_features

MEASURES = ("landmarks", "mirror", "jitter", "probe", "truth", "reconstruction", "cycle")
"""In the order in which they are taken: quick ones first."""
TRAIN_SPLIT = "train"
MOST_IN_CLIPS, MOST_RENDERED, MOST_PAINTED, MOST_OF_AN_EMOTION = 100, 300, 300, 300
"""Faces of the slow measures where the caller does not ask for fewer."""
MOST_TO_LEARN_FROM = 2000
"""Faces that a fresh renderer learns from."""

ShowProgress = Callable[[int], Progress]
"""Total number of faces to a display."""


@dataclass(frozen=True)
class EvaluationOptions:
    """What is measured.

    Attributes:
        checkpoint: Path of a file of networks, "shipped" or "fit". data: Folder of shards; None for none.
        split: Of the folder, the one to judge by. only: Names of measures; empty for all that apply.
        count: Most faces of a measure, and of each emotion. method: What stands behind a checkpoint. device, head: As
            for `Reconstructor`. renderer: How a fresh neural renderer is trained. seed: Of everything random; the
            rendered heads of training sets must have another one.
    """

    checkpoint: str
    data: Path | None = None
    split: str = "val"
    only: tuple[str, ...] = ()
    count: int = 2000
    method: Literal["encoder", "refine"] = "encoder"
    device: str = "auto"
    head: str | Path | HeadModel = "open"
    renderer: RendererTraining = field(default_factory=RendererTraining)
    seed: int = 7

    def __post_init__(self) -> None:
        unknown = [name for name in self.only if name not in MEASURES]
        if unknown:
            raise UsageError(f"measure {printable(unknown[0])!r} is unknown; choose of {', '.join(MEASURES)}")
        if self.count < 1:
            raise UsageError(f"count {self.count} must be 1 or more")


def evaluate(options: EvaluationOptions, show: ShowProgress) -> Report:
    """Take all measures that are asked for, or that apply.

    Raises:
        Smirk3dError: A file cannot be used, or a measure that was asked for by name does not apply.
    """
    results: list[Result] = []
    skipped: dict[str, str] = {}
    with ExitStack() as stack:
        work = _Work(options, show, stack)
        about = work.about()
        for name in [name for name in MEASURES if not options.only or name in options.only]:
            try:
                results += getattr(work, f"measure_{name}")()
            except MeasureNotApplicableError as error:
                if options.only:
                    raise UsageError(f"{name}: {error}") from error
                skipped[name] = str(error)
        return Report(about, results, skipped, work.faults)


class _Work:
    """What several measures share, made when first needed."""

    def __init__(self, options: EvaluationOptions, show: ShowProgress, stack: ExitStack) -> None:
        self.options, self.show, self.stack = options, show, stack
        self.path = checkpoint_path(options.checkpoint)
        head = options.head if isinstance(options.head, HeadModel) else load_head(options.head)
        self.head = head
        self.checkpoint: Checkpoint | None = None
        method: Method = "fit"
        if self.path is not None:
            method = options.method
            self.checkpoint = Checkpoint.read(self.path, head)
        self.subject = self._subject(method)

    def about(self) -> dict[str, str | int | None]:
        """Return what is measured, for the report."""
        from smirk3d import __version__

        options = self.options
        return {
            "smirk3d": __version__,
            "checkpoint": options.checkpoint,
            "method": self.subject.method,
            "head": self.head.data.name,
            "data": None if options.data is None else str(options.data),
            "split": options.split,
            "count": options.count,
            "seed": options.seed,
            "renderer_steps": options.renderer.steps,
            "renderer_width": options.renderer.width,
        }

    @property
    def faults(self) -> tuple[str, ...]:
        """What could not be read of the split."""
        return tuple(map(str, self._photos.faults)) if "_photos" in self.__dict__ else ()

    def measure_landmarks(self) -> Iterator[Result]:
        photos = self._photos
        with self._progress("landmarks", len(photos)) as display:
            yield measure_landmarks(self.subject, photos, display)

    def measure_mirror(self) -> Iterator[Result]:
        photos = self._photos
        with self._progress("mirror", len(photos)) as display:
            yield measure_mirror(self.subject, photos, display)

    def measure_jitter(self) -> Iterator[Result]:
        photos = self._photos.first(MOST_IN_CLIPS)
        with self._progress("jitter", len(photos)) as display:
            yield measure_jitter(self.subject, photos, display, self._generator(), JitterPerturbation())

    def measure_probe(self) -> Iterator[Result]:
        most, splits = min(self.options.count, MOST_OF_AN_EMOTION), (TRAIN_SPLIT, self.options.split)
        faces = probe_faces(self._folder, splits, most)
        with self._progress("probe", len(faces)) as display:
            yield measure_probe(self.subject, faces, display)

    def measure_truth(self) -> Iterator[Result]:
        count = min(self.options.count, MOST_RENDERED)
        with self._progress("truth: pictures", count) as display:
            pictures = synthetic_test_set(
                load_head(), self.subject.detect, display, count=count, seed=self.options.seed
            )
        methods: tuple[Method, ...] = ("fit",) if self.path is None else ("encoder", "refine", "fit")
        for method in methods:
            subject = self.subject if method == self.subject.method else self._subject(method)
            with self._progress(f"truth: {method}", len(pictures)) as display:
                yield measure_truth(subject, pictures, display)

    def measure_reconstruction(self) -> Iterator[Result]:
        renderer, photos = self._fresh_renderer, self._painted_photos
        with self._progress("reconstruction", len(photos)) as display:
            yield measure_reconstruction(self._eye, renderer, photos, self._features, display, self._generator())

    def measure_cycle(self) -> Iterator[Result]:
        own = self._networks.generator
        renderer = self._fresh_renderer if own is None else own.for_inference().to(self.subject.device)
        eye, photos = self._eye, self._painted_photos
        if own is not None:
            eye = replace(eye, size_px=own.size_px)
        with self._progress("cycle", len(photos)) as display:
            yield measure_cycle(eye, renderer, photos, display, self._generator())

    @property
    def _folder(self) -> Path:
        if self.options.data is None:
            raise MeasureNotApplicableError("needs photos; name a folder of shards with --data")
        return self.options.data

    @cached_property
    def _photos(self) -> PhotoSet:
        return PhotoSet.read(self._folder, self.options.split, self.options.count)

    @property
    def _painted_photos(self) -> PhotoSet:
        return self._photos.first(MOST_PAINTED)

    @property
    def _networks(self) -> Checkpoint:
        if self.checkpoint is None:
            raise MeasureNotApplicableError("needs an encoder; the landmark fit has none")
        return self.checkpoint

    @cached_property
    def _eye(self) -> FrozenEncoder:
        return FrozenEncoder.of(self._networks, self.subject.device)

    @cached_property
    def _features(self) -> PerceptualFeatures:
        return lite0_features().to(self._eye.device)

    @cached_property
    def _fresh_renderer(self) -> NeuralRenderer:
        """Train the renderer of the reconstruction, which also stands in where a checkpoint has none."""
        training, eye = self.options.renderer, self._eye
        photos = PhotoSet.read(self._folder, TRAIN_SPLIT, min(training.faces, MOST_TO_LEARN_FROM))
        with self._progress("reconstruction: training a neural renderer", training.faces) as display:
            return train_renderer(eye, photos, self._features, display, training, self.options.seed)

    def _generator(self) -> torch.Generator:
        return torch.Generator().manual_seed(self.options.seed)

    def _subject(self, method: Method) -> MethodUnderTest:
        subject = MethodUnderTest(method, self.head, self.options.device, self.checkpoint)
        self.stack.callback(subject.close)
        return subject

    def _progress(self, what: str, total: int) -> Progress:
        display = self.show(total)
        display.note(what)
        return display
