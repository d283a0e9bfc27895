"""Layouts of the table of `smirk3d fer predict`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

from smirk3d.fer.emotion_record import EmotionRecord
from smirk3d.fer.emotions_csv import CLIP_EMOTION_COLUMNS, EMOTION_COLUMNS, record_cells
from smirk3d.fer.fex_layout import fex_cells, fex_columns

LayoutName = Literal["smirk3d", "fex"]


@dataclass(frozen=True)
class TableLayout:
    """Columns of a table, and how a face fills them.

    Attributes:
        columns: Their names in order; one of them is status.
        name_column: The one with the names of the images.
        cells: Returns the cells of a face in the order of the columns.
        needs_faces: Whether the records must have heads.
    """

    columns: tuple[str, ...]
    name_column: str
    cells: Callable[[EmotionRecord], list[str]]
    needs_faces: bool = False


def table_layout(name: LayoutName, *, with_videos: bool) -> TableLayout:
    """Return a layout.

    Args:
        name: "smirk3d": the package's own; "fex": that of py-feat.
        with_videos: Whether there are videos among the inputs.
    """
    if name == "fex":
        cells = partial(fex_cells, with_videos=with_videos)
        return TableLayout(fex_columns(with_videos=with_videos), "input", cells, needs_faces=True)
    columns = CLIP_EMOTION_COLUMNS if with_videos else EMOTION_COLUMNS
    return TableLayout(columns, "image", partial(record_cells, with_frames=with_videos))
