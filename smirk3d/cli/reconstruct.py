"""`smirk3d reconstruct`: meshes, arrays, overlays and one table from images."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import arg
from tyro.constructors import PrimitiveConstructorSpec

from smirk3d.cli.console import print_result
from smirk3d.cli.options import EstimationCommand
from smirk3d.cli.scale import ScaleFlags, check_shard_folder
from smirk3d.errors import UsageError
from smirk3d.export.save import FORMATS
from smirk3d.networks.packaged import packaged_neural_renderer

if TYPE_CHECKING:
    from smirk3d.batch.runner import BatchSummary
    from smirk3d.networks.neural_renderer import NeuralRenderer

_FORMAT_NAMES = tuple(suffix.removeprefix(".") for suffix in FORMATS)
_TEXTURED = ("glb", "gltf")


def _parse_formats(values: list[str]) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name.strip().lower().removeprefix(".") for name in values[0].split(",")))
    if unknown := [name for name in names if name not in _FORMAT_NAMES]:
        raise ValueError(f"unknown format {', '.join(map(repr, unknown))}; choose from {','.join(_FORMAT_NAMES)}")
    return names


_FORMAT_LIST = PrimitiveConstructorSpec(
    nargs=1,
    metavar="LIST",
    instance_from_str=_parse_formats,
    is_instance=lambda value: isinstance(value, tuple),
    str_from_instance=lambda value: [",".join(value)],
)


@dataclass(frozen=True, kw_only=True)
class Reconstruct(EstimationCommand, ScaleFlags):
    """Reconstruct the heads in images: meshes, arrays, overlays and one table."""

    out: Annotated[str, arg(metavar="DIR|s3://…")]
    """Folder for the results; created where missing. With --ray, or inputs in archives or stores, the results are the
    table alone, as Parquet shards."""
    format: Annotated[tuple[str, ...], _FORMAT_LIST] = ("glb", "npz")
    """Formats of the files of each face, separated by commas: glb, gltf, obj, ply, npz, json."""
    texture: bool = False
    """Use the image as the texture of the skin (glb and gltf)."""
    no_overlay: bool = False
    """Do not write the overlay images."""
    neural_render: bool = False
    """Also render each face from its mesh and a few pixels of the image, with a neural renderer (see --weights)."""
    resume: bool = False
    """Continue an earlier run into the same folder; failed images are tried again."""
    identity: Literal["separate", "shared"] = "separate"
    """separate: one identity for each face; shared: all images show one person, whose identity is fitted jointly."""

    def run(self) -> int:
        """Reconstruct all inputs; return 1 where some failed."""
        if self.texture and not set(self.format) & set(_TEXTURED):
            raise UsageError("--texture: only glb and gltf hold a texture; add one of them to --format")
        if self.neural_render and self._renderer_file is None:
            raise UsageError("--neural-render: needs a checkpoint with a neural renderer; name it with --weights")
        if self.writes_shards(self.inputs, self.out):
            return self._run_sharded()
        from smirk3d.batch.runner import BatchOptions, plan_jobs, run
        from smirk3d.scale.inputs import with_lists

        out_dir, inputs = Path(self.out), with_lists(self.inputs)
        plan_jobs(inputs, out_dir)  # before seconds are spent on loading models
        options = BatchOptions(
            formats=self.format,
            overlay=not self.no_overlay,
            texture=self.texture,
            resume=self.resume,
            shared_identity=self.identity == "shared",
            neural_renderer=self._neural_renderer(),
        )
        with closing(self.reconstructor()) as reconstructor:
            summary = run(inputs, out_dir, reconstructor, options)
        print_result(_summary_line(summary, out_dir))
        return 1 if summary.failed else 0

    def _run_sharded(self) -> int:
        """Write the table alone, as Parquet shards."""
        for flag, is_set in (
            ("--texture", self.texture),
            ("--neural-render", self.neural_render),
            ("--identity shared", self.identity == "shared"),
            ("--format", self.format != Reconstruct.format),
        ):
            if is_set:
                raise UsageError(f"{flag}: writes files of each face, and shards hold the table alone; leave it out")
        from smirk3d.scale.inputs import list_jobs
        from smirk3d.scale.tables import expressions_task

        check_shard_folder(self.out, ())
        task = expressions_task(self.reconstructor, self.shard_settings())
        return self.write_shards(list_jobs(self.inputs), task, self.out, self.resume)

    @property
    def _renderer_file(self) -> str | Path | None:
        """The checkpoint of the neural renderer; the packaged one is for the open head only."""
        packaged = packaged_neural_renderer() if self.head == "open" else None
        return packaged if self.weights is None else self.weights

    def _neural_renderer(self) -> NeuralRenderer | None:
        if not self.neural_render or self._renderer_file is None:
            return None
        from smirk3d.networks.neural_renderer import NeuralRenderer

        return NeuralRenderer.from_checkpoint(self._renderer_file).for_inference()


def _summary_line(summary: BatchSummary, out_dir: Path) -> str:
    from smirk3d.batch.runner import TABLE_NAME

    counts = [f"{summary.done} done", f"{summary.failed} failed"]
    counts += [f"{summary.skipped} done before"] if summary.skipped else []
    return f"images: {', '.join(counts)}; faces: {summary.faces}; table: {out_dir / TABLE_NAME}"
