"""Whether heads have human sizes: of random identities, of fits to photos, and of a clip."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from smirk3d.evaluation.clips import FPS, talking_motion, write_talking_clip
from smirk3d.evaluation.data import EvaluationData
from smirk3d.evaluation.method_under_test import MethodUnderTest, ReconstructionMethod
from smirk3d.evaluation.neutral_meshes import head_heights_mm, neutral_vertices
from smirk3d.evaluation.result import Figure, MeasureNotApplicableError, Result, values_of
from smirk3d.evaluation.tracked_clips import track_clip
from smirk3d.head.model import HeadModel

RANGE_MM = (190.0, 260.0)
"""Heights of human heads from the chin to the vertex."""
RANDOM_HEADS, BATCH = 1000, 100
FIGURES = (
    *(Figure(f"{source}_in_range_percent", "%", "higher") for source in ("random", "photo", "clip")),
    *(
        Figure(f"{source}_{end}_mm", "mm")
        for source in ("random", "photo", "clip")
        for end in ("min_height", "max_height")
    ),
    *(Figure(f"{source}_max_abs_shape", better="lower") for source in ("photo", "clip")),
)


class HeadSizeMeasure:
    """See `size_numbers`; --people, --seconds and --seed apply to the clips."""

    name = "head-size"
    summary = "share of random, fitted and tracked heads with a height of 190 to 260 mm; largest shape coefficients"
    needs = frozenset({"data", "reconstruction"})
    figures = FIGURES
    is_default = False

    def run(self, method: MethodUnderTest, data: EvaluationData) -> Iterator[Result]:
        """Yield one result."""
        if not isinstance(method, ReconstructionMethod):
            raise MeasureNotApplicableError("needs reconstructed heads")
        head, photos, clips = data.head, data.photos, data.options.clips
        shapes: list[np.ndarray] = []
        with data.progress(self.name, len(photos)) as display:
            for batch in photos.batches():
                shapes += [face.shape for face in method.faces(batch)]
                for _ in batch:
                    display.advance()
        tracked: list[np.ndarray] = []
        motion, reconstructor = talking_motion(round(clips.seconds * FPS)), data.reconstructor()
        with data.progress(f"{self.name}: clips", clips.people) as display:
            for number in range(clips.people):
                path = data.clip_folder / f"talking_{number}.mp4"
                write_talking_clip(path, motion, data.options.seed + number)
                tracked.append(track_clip(data, path, reconstructor).shape)
                display.advance()
        random = torch.randn(RANDOM_HEADS, head.n_shape, generator=data.generator()).numpy()
        numbers = size_numbers("random", head, random) | size_numbers("photo", head, np.stack(shapes))
        numbers |= size_numbers("clip", head, np.stack(tracked))
        ordered = {figure.name: numbers[figure.name] for figure in FIGURES}
        yield Result(self.name, method.method, len(shapes), values_of(FIGURES, ordered))


def size_numbers(source: str, head: HeadModel, shapes: np.ndarray) -> dict[str, float]:
    """Return the figures of heads with identity coefficients (N, S).

    Args:
        source: Start of their names.
        head: The head model.
        shapes: (N, S).
    """
    starts = range(0, len(shapes), BATCH)
    heights = np.concatenate(
        [head_heights_mm(head, neutral_vertices(head, shapes[start : start + BATCH])) for start in starts]
    )
    low, high = RANGE_MM
    return {
        f"{source}_in_range_percent": 100 * float(((heights >= low) & (heights <= high)).mean()),
        f"{source}_min_height_mm": float(heights.min()),
        f"{source}_max_height_mm": float(heights.max()),
        f"{source}_max_abs_shape": float(np.abs(shapes).max()),
    }
