"""Predicted expressions against the ground truth, on pictures of a character: out-of-domain evaluation.

An encoder that learned from renders of the open head may have learned that head alone. A character with ARKit's morph
targets has another geometry, another texture, and another artist's shape of each blendshape. Blendshapes that do not
move the character are left out, and gaze where the nodes of its eyeballs are not named.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from smirk3d.assets import printable
from smirk3d.datasets.synthetic.scene_sampling import KIND_SHARES, Kind
from smirk3d.detection.detector import Detection
from smirk3d.evaluation.character_mesh import load_character_mesh
from smirk3d.evaluation.character_renderer import CharacterRenderer
from smirk3d.evaluation.data import EvaluationData
from smirk3d.evaluation.method_under_test import Method, MethodUnderTest
from smirk3d.evaluation.result import MeasureNotApplicableError, Result
from smirk3d.evaluation.synthetic_accuracy import EXPRESSION_FIGURES, measure_synthetic
from smirk3d.evaluation.synthetic_set import Detect, SyntheticTestSet
from smirk3d.progress import Progress

MAX_FACES = 480
COMPARED: tuple[Method, ...] = ("detector", "fit", "encoder", "refine")


class CharacterMeasure:
    """See `measure_synthetic`; networks are measured by all methods, beside the detector's scores."""

    name = "character"
    summary = "expression against the ground truth of another artist's rendered head"
    needs = frozenset({"character"})
    figures = EXPRESSION_FIGURES
    is_default = False

    def run(self, method: MethodUnderTest, data: EvaluationData) -> Iterator[Result]:
        """Yield one result a method, on at most `MAX_FACES` pictures."""
        options = data.options
        assert options.character is not None
        renderer = CharacterRenderer(load_character_mesh(options.character.path, options.character.eyes))
        count = min(options.count, MAX_FACES)
        with data.progress(f"{self.name}: pictures", count) as display:
            try:
                pictures = character_test_set(renderer, method.detect, display, count=count, seed=options.seed)
            except MeasureNotApplicableError as error:
                raise MeasureNotApplicableError(f"{printable(options.character.path)}: {error}") from error
        if options.keep is not None:
            pictures.save_sheet(data.clip_folder / "character.png", columns=8, rows=3)
        for each in data.methods(COMPARED):
            with data.progress(f"{self.name}: {each.method}", len(pictures)) as display:
                yield measure_synthetic(each, pictures, display, measure=self.name)


def character_test_set(
    renderer: CharacterRenderer, detect: Detect, display: Progress, *, count: int, seed: int
) -> SyntheticTestSet:
    """Render pictures of a character and detect its face.

    Args:
        renderer: Renders the character.
        detect: Finds faces.
        display: Counts the pictures.
        count: Pictures that are rendered.
        seed: Of everything random.

    Raises:
        MeasureNotApplicableError: A face is found in none of the pictures.
    """
    generator = torch.Generator().manual_seed(seed)
    cycle: list[Kind] = [kind for kind, share in KIND_SHARES for _ in range(share)]
    rows: list[tuple[np.ndarray, np.ndarray, Kind, np.ndarray, Detection]] = []
    for index in range(count):
        kind = cycle[index % len(cycle)]
        image, weights, rotmat = renderer.sample(kind, generator)
        pixels = np.ascontiguousarray((image.permute(1, 2, 0) * 255).round().byte().numpy())
        if found := detect(pixels):
            rows.append((pixels, weights.numpy(), kind, rotmat.numpy(), found[0]))
        display.advance()
    if not rows:
        raise MeasureNotApplicableError(f"no face was found in any of {count} pictures of the character")
    pixels, weights, kinds, rotmats, detections = zip(*rows)
    return SyntheticTestSet.of(pixels, weights, kinds, rotmats, detections, missed=count - len(rows))
