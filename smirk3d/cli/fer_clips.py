"""What the commands of `smirk3d fer` do with clips: prediction, training, evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from smirk3d.assets import printable
from smirk3d.cli.console import print_message, print_result
from smirk3d.errors import UsageError

if TYPE_CHECKING:
    from smirk3d.estimation.reconstructor import Reconstructor
    from smirk3d.fer.clips.prediction_run import ClipOptions
    from smirk3d.fer.clips.tracked_clip import TrackedClip


def clips_of(name: str) -> list[Path]:
    """Return the clips in a folder: video files, and folders with images.

    Raises:
        UsageError: The folder is missing, or has no clips.
    """
    from smirk3d.fer.clips.datasets import is_clip

    folder = Path(name)
    if not folder.is_dir():
        raise UsageError(f"--clips {printable(name)}: is no folder")
    clips = [each for each in sorted(folder.rglob("*")) if is_clip(each)]
    if not clips:
        raise UsageError(f"--clips {printable(name)}: has no videos and no folders of frames")
    return clips


def predict_clip_table(
    paths: Sequence[Path],
    out_dir: Path,
    reconstructor: Reconstructor,
    options: ClipOptions,
    tracked: Mapping[Path, TrackedClip],
) -> bool:
    """Predict the emotions of clips, of which some are tracked already; return whether all of them could be read."""
    if options.expression is not None and options.weights is None:
        print_message(
            "clips.csv: is left out: the packaged clip network reads the packaged expression vectors; train one on "
            "yours (fer train, kind: clips, expression=FILE) and give it by --clip-weights"
        )
        return True
    from smirk3d.fer.clips.clips_csv import TABLE_NAME
    from smirk3d.fer.clips.prediction_run import predict_clips

    summary = predict_clips(paths, out_dir, reconstructor, options, tracked)
    counts = f"clips: {summary.done} done, {summary.failed} failed"
    counts += f", {summary.skipped} done before" if summary.skipped else ""
    print_result(f"{counts}; table: {out_dir / TABLE_NAME}")
    return not summary.failed


def evaluate_clips(weights: str | None, faces: str | None) -> int:
    """Print the measures of the clip network on synthetic clips, and of training with wrong labels."""
    from smirk3d.evaluation.clip_noise import noise_figures
    from smirk3d.evaluation.clip_recognition import ClipEvaluation, packaged_figures

    settings = ClipEvaluation(photos=None if faces is None else Path(faces))
    test = settings.test()
    for line in packaged_figures(None if weights is None else Path(weights), test):
        print_result(line)
    for line in noise_figures(test, settings, print_message):
        print_result(line)
    return 0
