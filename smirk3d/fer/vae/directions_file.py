"""Attribute vectors of the user's own tables: learned from labelled photos, kept in a small file."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from smirk3d.assets import atomic_path, printable
from smirk3d.bounded_io import one_line, open_plain_text, read_npz
from smirk3d.errors import Smirk3dError
from smirk3d.fer.labelled_features import KEY_COLUMNS
from smirk3d.fer.table_error import unreadable_table
from smirk3d.fer.vae.attributes import attribute_directions, check_attributes
from smirk3d.fer.vae.network import N_LATENT

MAX_ATTRIBUTES = 256


def read_attributes(path: Path) -> tuple[tuple[str, ...], dict[str, np.ndarray]]:
    """Read a table of attributes: a column key, image or path, and numbers, 0 and 1 for no and yes.

    Returns:
        K names, and the values (K,) float64 by key; NaN where a cell is empty.

    Raises:
        Smirk3dError: The file is no such table.
    """
    try:
        with open_plain_text(path) as file:
            reader = csv.DictReader(file)
            columns = list(reader.fieldnames or ())
            key = next((name for name in KEY_COLUMNS if name in columns), None)
            if key is None:
                raise Smirk3dError(f"{printable(path)}: lacks a column with keys; name it {' or '.join(KEY_COLUMNS)}")
            names = tuple(name for name in columns if name not in KEY_COLUMNS)
            if not 0 < len(names) <= MAX_ATTRIBUTES:
                raise Smirk3dError(f"{printable(path)}: must have 1 to {MAX_ATTRIBUTES} columns of attributes")
            return names, {
                row[key]: _numbers(row, names, f"{printable(path)}: {printable(row[key])}") for row in reader
            }
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise unreadable_table(path, error) from error


def _numbers(row: dict[str, str | None], names: tuple[str, ...], where: str) -> np.ndarray:
    values = np.full(len(names), np.nan)
    for k, name in enumerate(names):
        text = row[name] or ""
        if text.strip():
            try:
                values[k] = float(text)
            except ValueError:
                values[k] = np.inf
            if not np.isfinite(values[k]):
                raise Smirk3dError(
                    f"{where}: {printable(name)} is {printable(text)}; give numbers, 0 and 1 for no and yes, or leave "
                    "the cell empty"
                )
    return values


def learned_directions(
    codes: Mapping[str, np.ndarray], names: Sequence[str], values: Mapping[str, np.ndarray], table: Path
) -> tuple[dict[str, np.ndarray], int]:
    """Return the attribute vectors of faces in a table, and the number of faces that have all attributes.

    Args:
        codes: (128,) by key.
        names: K attributes.
        values: (K,) by key, or by file name where no key is in `codes`; NaN where unknown.
        table: The table, for messages.

    Raises:
        Smirk3dError: Too few faces with and without an attribute are in the table.
    """
    if not codes.keys() & values.keys():
        values = {Path(key).name: row for key, row in values.items()}
        codes = {Path(key).name: code for key, code in codes.items()}
    known = [key for key in codes if key in values and np.isfinite(values[key]).all()]
    table_values = np.array([values[key] for key in known]).reshape(len(known), len(names))
    try:
        check_attributes(names, table_values)
    except Smirk3dError as error:
        raise Smirk3dError(f"{printable(table)}: {error}") from error
    vectors = attribute_directions(np.stack([codes[key] for key in known]).astype(np.float64), table_values)
    return dict(zip(names, vectors)), len(known)


def save_directions(path: Path, directions: dict[str, np.ndarray]) -> None:
    """Write attribute vectors (128,) by name as .npz."""
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez(
            file,
            names=np.array(list(directions)),
            directions=np.stack(list(directions.values())).astype(np.float32),
        )


def load_directions(path: Path) -> dict[str, np.ndarray]:
    """Read attribute vectors by name.

    Raises:
        Smirk3dError: The file holds none.
    """
    try:
        arrays = read_npz(path, ("names", "directions"))
        names, vectors = [str(name) for name in arrays["names"].ravel()], arrays["directions"]
        if vectors.shape != (len(names), N_LATENT) or not np.isfinite(vectors.astype(np.float64)).all():
            raise ValueError(f"{len(names)} names and numbers of shape {vectors.shape}")
    except (OSError, ValueError, KeyError) as error:
        raise Smirk3dError(
            f"{printable(path)}: holds no attribute vectors ({one_line(error)}); make it with fer vae attributes"
        ) from error
    return dict(zip(names, vectors.astype(np.float64)))
