"""Tables as programs and spreadsheets write them: encoding, delimiter and decimal comma follow from the file."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from smirk3d.bounded_io import open_plain, text_encoding

MAX_TEXT_BYTES = 1 << 29
"""Larger text files are refused before they are read."""
DELIMITERS = (",", ";", "\t", "|")


@dataclass(frozen=True)
class DelimitedText:
    """A table of texts.

    Attributes:
        header: Names of the columns, without spaces around them.
        rows: Line number and cells of each row that is not empty.
        decimal_comma: Whether a comma in a number may be its decimal point.
    """

    header: tuple[str, ...]
    rows: tuple[tuple[int, Sequence[str]], ...]
    decimal_comma: bool


def read_text(path: Path) -> str:
    """Return the text of a file: UTF-8 or UTF-16, with or without a byte order mark.

    Raises:
        OSError: It cannot be read.
        ValueError: It is too large, or in another encoding.
    """
    with open_plain(path) as file:
        content = file.read(MAX_TEXT_BYTES + 1)
    if len(content) > MAX_TEXT_BYTES:
        raise ValueError(f"it is larger than {MAX_TEXT_BYTES >> 20} MiB")
    try:
        return content.decode(text_encoding(content))
    except UnicodeDecodeError as error:
        raise ValueError(f"it is neither utf-8 nor utf-16 text ({error.reason}); save it as UTF-8") from error


def read_delimited(path: Path) -> DelimitedText:
    """Read a table; the delimiter is the one that occurs most often in the header.

    Raises:
        OSError: It cannot be read.
        ValueError: It is empty, too large, or in another encoding.
        csv.Error: A cell is too long.
    """
    text = read_text(path)
    first, _, rest = text.partition("\n")
    named = first.strip().strip('"').lower()
    if named.startswith("sep=") and len(named) == 5:  # the line by which Excel states its delimiter
        text, delimiter = rest, named[4]
    else:
        delimiter = max(DELIMITERS, key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    header = tuple(column.strip() for column in next(reader, []))
    if not header:
        raise ValueError("it is empty")
    rows = tuple((reader.line_num, [cell.strip() for cell in row]) for row in reader if any(row))
    return DelimitedText(header, rows, delimiter != ",")
