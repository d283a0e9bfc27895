"""The inputs that several measures share, made when they are first needed."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path

import torch

from smirk3d.authoring.load import load_head
from smirk3d.estimation.landmark_fit import Focal
from smirk3d.estimation.reconstructor import Reconstructor
from smirk3d.evaluation.encoder_predictions import FrozenEncoder
from smirk3d.evaluation.method_under_test import (
    DETECTOR,
    Checkpoint,
    DetectorScores,
    Method,
    MethodUnderTest,
    ReconstructionMethod,
    checkpoint_path,
)
from smirk3d.evaluation.neural_renderer_probe import train_renderer
from smirk3d.evaluation.options import EvaluationOptions
from smirk3d.evaluation.photos import PhotoFiles, PhotoSet
from smirk3d.evaluation.result import MeasureNotApplicableError
from smirk3d.head.model import HeadModel
from smirk3d.networks.neural_renderer import NeuralRenderer
from smirk3d.progress import Progress
from smirk3d.train.losses.perceptual import PerceptualFeatures, lite0_features

TRAIN_SPLIT = "train"
MAX_RENDERER_FACES = 2000
"""Faces that a fresh neural renderer is trained on."""
OpenProgress = Callable[[int], Progress]
"""Total number of faces -> display."""


class EvaluationData:
    """Options, networks and photos of an evaluation; a context manager, because methods hold detectors.

    Args:
        options: What is measured.
        open_progress: Makes a display for a number of faces.

    Attributes:
        options: As given.
        head: The head model.
        checkpoint: The networks, None where there are none.
        method: The method under test.

    Raises:
        Smirk3dError: A file cannot be used.
    """

    def __init__(self, options: EvaluationOptions, open_progress: OpenProgress) -> None:
        self.options, self._open_progress, self._stack = options, open_progress, ExitStack()
        path = checkpoint_path(options.checkpoint)
        self.head = options.head if isinstance(options.head, HeadModel) else load_head(options.head)
        self.checkpoint: Checkpoint | None = None
        name: Method = DETECTOR if options.checkpoint == DETECTOR else "fit"
        if path is not None:
            name = options.method
            self.checkpoint = Checkpoint.read(path, self.head)
        self.method = self.make_method(name)

    def __enter__(self) -> EvaluationData:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stack.close()

    @property
    def device(self) -> torch.device:
        """Where networks compute."""
        return self._reconstruction.device

    @cached_property
    def _reconstruction(self) -> ReconstructionMethod:
        if isinstance(self.method, ReconstructionMethod):
            return self.method
        return self._make_reconstruction("fit")

    def make_method(self, name: Method) -> MethodUnderTest:
        """Return a method with the networks and options of this evaluation; closed when the evaluation ends."""
        if name == "detector":
            return DetectorScores(self._make_reconstruction("fit"))
        return self._make_reconstruction(name)

    def _make_reconstruction(self, name: Method) -> ReconstructionMethod:
        assert name != "detector"
        options = self.options
        made = ReconstructionMethod(
            name, self.head, options.device, self.checkpoint, focal=options.focal, use_scores=options.use_scores
        )
        self._stack.callback(made.close)
        return made

    def methods(self, names: Sequence[Method]) -> list[MethodUnderTest]:
        """Return those of the named methods that can be compared: all with networks, else the one under test alone."""
        if self.checkpoint is None:
            return [self.method]
        return [self.method if name == self.method.method else self.make_method(name) for name in names]

    def reconstructor(self, focal: Focal | None = None) -> Reconstructor:
        """Return a reconstructor of several faces by the method under test; closed when the evaluation ends.

        Args:
            focal: Camera instead of that of the options.
        """
        options, name = self.options, self.method.method
        assert name != "detector"
        made = Reconstructor(
            self.head,
            name,
            options.device,
            focal=options.focal if focal is None else focal,
            use_scores=options.use_scores,
            weights=None if self.checkpoint is None else self.checkpoint.path,
        )
        self._stack.callback(made.close)
        return made

    def generator(self) -> torch.Generator:
        """Return a new generator on the CPU with the seed of the options."""
        return torch.Generator().manual_seed(self.options.seed)

    def progress(self, title: str, total: int) -> Progress:
        """Return a display for a number of faces, under a title."""
        display = self._open_progress(total)
        display.note(title)
        return display

    @property
    def folder(self) -> Path:
        """The folder of shards or annotations.

        Raises:
            MeasureNotApplicableError: There is none.
        """
        if self.options.data is None:
            raise MeasureNotApplicableError("needs photos; name a folder of shards with --data")
        return self.options.data

    @cached_property
    def photos(self) -> PhotoSet:
        """The faces of the test split."""
        return PhotoSet.read(self.folder, self.options.split, self.options.count)

    @cached_property
    def photo_files(self) -> PhotoFiles:
        """Photos without annotations."""
        assert self.options.photos is not None
        return PhotoFiles.read(self.options.photos, self.options.count, self.method.detect)

    @property
    def faults(self) -> tuple[str, ...]:
        """What could not be read of the test split and of the other photos."""
        split = tuple(map(str, self.photos.faults)) if "photos" in self.__dict__ else ()
        return split + (tuple(self.photo_files.faults) if "photo_files" in self.__dict__ else ())

    @cached_property
    def clip_folder(self) -> Path:
        """Folder for pictures and clips, which exists; discarded when the evaluation ends unless it is to be kept."""
        if self.options.keep is None:
            return Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        self.options.keep.mkdir(parents=True, exist_ok=True)
        return self.options.keep

    @cached_property
    def encoder(self) -> FrozenEncoder:
        """The encoder of the checkpoint.

        Raises:
            MeasureNotApplicableError: There is none.
        """
        if self.checkpoint is None:
            raise MeasureNotApplicableError("needs an encoder; the landmark fit and the detector have none")
        return FrozenEncoder.of(self.checkpoint, self.device)

    @cached_property
    def perceptual_features(self) -> PerceptualFeatures:
        """The network of the perceptual error."""
        return lite0_features().to(self.encoder.device)

    @cached_property
    def fresh_renderer(self) -> NeuralRenderer:
        """A neural renderer trained from scratch for the encoder, on the training split."""
        training, encoder = self.options.renderer, self.encoder
        photos = PhotoSet.read(self.folder, TRAIN_SPLIT, min(training.faces, MAX_RENDERER_FACES))
        with self.progress("reconstruction: training a neural renderer", training.faces) as display:
            return train_renderer(encoder, photos, self.perceptual_features, display, training, self.options.seed)
