"""glTF files as JSON and one buffer: reading of .glb and .gltf, and writing of .glb, without interpretation."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import unquote

from smirk3d.assets import printable
from smirk3d.errors import Smirk3dError
from smirk3d.export.gltf.resources import RefusedFile, Resources

Json = dict[str, Any]
_MAGIC, _JSON_CHUNK, _BINARY_CHUNK = b"glTF", b"JSON", b"BIN\0"
_IMAGE_TYPES = {
    b"\x89PNG": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"RIFF": "image/webp",
    b"\xabKTX 20": "image/ktx2",
}
MAX_JSON_BYTES = 1 << 28
"""Size of the JSON, with buffers that it contains."""
MAX_JSON_ITEMS = 4_000_000
"""Number of values in the JSON; each takes up to 200 bytes of memory."""
_ALIGNMENT = 8
"""Alignment of buffer views in bytes; glTF requires 4, some of its extensions 8."""


@contextmanager
def errors_naming(path: Path) -> Iterator[None]:
    """Turn any error about a file into one that names it."""
    name = printable(path)
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise Smirk3dError(f"{name}: cannot be read ({reason}); name a .glb or .gltf file") from error
    except Smirk3dError:
        raise
    except ValueError as error:
        raise Smirk3dError(f"{name}: {printable(str(error))}") from error
    except MemoryError as error:
        raise Smirk3dError(f"{name}: does not fit into the memory; reduce its meshes and textures") from error
    except Exception as error:  # the file is not ours: whatever its values provoke is its damage
        raise Smirk3dError(
            f"{name}: is damaged ({type(error).__name__}: {printable(str(error))[:200]}); export it again as glTF 2.0"
        ) from error


def parse_gltf(content: bytes) -> tuple[Json, bytes, tuple[tuple[bytes, bytes], ...]]:
    """Return the JSON of a .glb or .gltf file, its binary chunk and the further chunks (type, contents).

    Source: glTF 2.0 specification, section 4, Binary glTF.
    """
    chunks = _chunks(content) if content.startswith(_MAGIC) else [(_JSON_CHUNK, content)]
    try:
        document = _parse_json(dict(chunks[:1])[_JSON_CHUNK])
    except RefusedFile:
        raise
    except (KeyError, ValueError, RecursionError) as error:
        raise ValueError("is no glTF file, or a damaged one; export the character as .glb (glTF 2.0)") from error
    version = str(document["asset"]["version"]) if isinstance(document, dict) and "asset" in document else "unknown"
    if not version.startswith("2."):
        raise ValueError(f"its glTF version is {version}; export it as glTF 2.0")
    has_blob = len(chunks) > 1 and chunks[1][0] == _BINARY_CHUNK
    return document, chunks[1][1] if has_blob else b"", tuple(chunks[1 + has_blob :])


def _parse_json(text: bytes) -> Any:
    """Return the values of a JSON text.

    Raises:
        RefusedFile: It is too large, or has numbers that JSON does not allow.
        ValueError: It is no JSON.
    """
    count = sum(text.count(mark) for mark in (b",", b"[", b"{"))
    if len(text) > MAX_JSON_BYTES or count > MAX_JSON_ITEMS:
        raise RefusedFile(
            f"its JSON has {len(text) >> 20} MB and {count} values, at most {MAX_JSON_BYTES >> 20} MB and "
            f"{MAX_JSON_ITEMS} values are read; export it as .glb, with fewer parts"
        )
    return json.loads(text.decode("utf-8-sig"), parse_constant=_refuse_constant)


def _refuse_constant(name: str) -> NoReturn:
    raise RefusedFile(f"its JSON holds {name}, which is no number of JSON; export it again")


def _chunks(content: bytes) -> list[tuple[bytes, bytes]]:
    if len(content) < 12:
        raise ValueError("is cut off; copy or export it again")
    version, length = struct.unpack_from("<II", content, 4)
    if version != 2:
        raise ValueError(f"its glTF version is {version}; export it as glTF 2.0")
    if length > len(content):
        raise ValueError(f"is cut off ({len(content)} of {length} bytes); copy or export it again")
    chunks, start = [], 12
    while start + 8 <= length:
        size, kind = struct.unpack_from("<I4s", content, start)
        chunks.append((kind, content[start + 8 : start + 8 + size]))
        start += 8 + size
    if start > length:
        raise ValueError("is damaged (a part of it is longer than the file); export it again")
    return chunks


def merge_buffers(document: Json, blob: bytes, folder: Path) -> tuple[Json, bytes]:
    """Return document and buffer, with the contents of other files and data URIs appended to the buffer.

    Buffers without contents stay: compression extensions use them as placeholders of the decompressed data.

    Args:
        document: JSON of the file.
        blob: Binary chunk of the file.
        folder: Where files that the document refers to are.

    Raises:
        ValueError: A file is missing or too short, or has an unknown type.
    """
    # For each buffer of the file its index in the new document and its offset in that buffer.
    merged, locations, empty, resources = bytearray(blob), [], [], Resources(folder)
    for index, buffer in enumerate(document.get("buffers", [])):
        if "uri" in buffer:
            locations.append((0, append_aligned(merged, resources.read(buffer["uri"]))))
        elif index == 0 and blob:
            locations.append((0, 0))
        else:
            empty.append(buffer)
            locations.append((len(empty), 0))
        if locations[-1][0] == 0 and len(merged) - locations[-1][1] < buffer["byteLength"]:
            raise ValueError(f"its buffer {index} is shorter than its stated length; export it again")
    views = [_relocate_view(view, locations) for view in document.get("bufferViews", [])]
    images = [_embed_image(image, resources, merged, views) for image in document.get("images", [])]
    own = next((b for b, location in zip(document.get("buffers", []), locations) if location[0] == 0), {})
    first = {name: value for name, value in own.items() if name != "uri"} | {"byteLength": len(merged)}
    changed = {"buffers": [first, *empty], "bufferViews": views, "images": images}
    return document | {name: value for name, value in changed.items() if value}, bytes(merged)


def append_aligned(blob: bytearray, data: bytes) -> int:
    """Append bytes to a buffer, aligned, and return their offset."""
    blob += b"\0" * (-len(blob) % _ALIGNMENT)
    start = len(blob)
    blob += data
    return start


def _relocate_view(view: Json, locations: Sequence[tuple[int, int]]) -> Json:
    """Return a buffer view for the merged buffer; extensions of compressed views refer to a buffer, too."""
    index, start = locations[view["buffer"]]
    extensions = {
        name: _relocate_view(value, locations) if isinstance(value, dict) and "buffer" in value else value
        for name, value in view.get("extensions", {}).items()
    }
    moved = view | {"buffer": index} | ({"extensions": extensions} if extensions else {})
    return moved | ({"byteOffset": view.get("byteOffset", 0) + start} if start else {})


def _embed_image(image: Json, resources: Resources, blob: bytearray, views: list[Json]) -> Json:
    """Return an image that refers to the buffer; its file is appended there."""
    uri = image.get("uri")
    if uri is None:
        return image
    data = resources.read(uri)
    kind = next((kind for magic, kind in _IMAGE_TYPES.items() if data.startswith(magic)), image.get("mimeType"))
    if kind is None:
        raise ValueError(f"its image {unquote(uri)[:80]} is of an unknown kind; convert it to PNG")
    views.append({"buffer": 0, "byteOffset": append_aligned(blob, data), "byteLength": len(data)})
    kept = {name: value for name, value in image.items() if name != "uri"}
    name = {} if uri.startswith("data:") else {"name": Path(unquote(uri)).stem}
    return name | kept | {"bufferView": len(views) - 1, "mimeType": kind}


def glb_with_chunks(document: Json, blob: bytes, chunks: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Return the bytes of a .glb with a JSON chunk, a binary chunk and further chunks (type, contents).

    Raises:
        ValueError: The document holds a number that is not finite.
    """
    try:
        text = json.dumps(document, separators=(",", ":"), allow_nan=False).encode("ascii")
    except ValueError as error:
        raise ValueError("holds numbers that are too large or not finite; export it again") from error
    padded = [(_JSON_CHUNK, text, b" " * (-len(text) % 4)), (_BINARY_CHUNK, blob, b"\0" * (-len(blob) % 4))]
    pieces = []
    for kind, content, padding in (*padded, *((kind, content, b"") for kind, content in chunks)):
        pieces += [struct.pack("<I4s", len(content) + len(padding), kind), content, padding]
    return b"".join([struct.pack("<4sII", _MAGIC, 2, 12 + sum(map(len, pieces))), *pieces])
