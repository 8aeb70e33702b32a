"""Deletion vectors: which rows of a data file are no more, kept beside it, so that it need not be written again.

A vector is a bitmap of positions; the log names it in the file's entry, and every reader of Delta tables that knows
the feature leaves these rows out. The vectors that one unit sets lie in one file.
Source: Delta protocol, "Deletion Vectors" and "Deletion Vector Format".
"""

# pyarrow has no types.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import base64
import struct
import uuid
import zlib
from array import array
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
from pyroaring import BitMap64

from dataflow.errors import LakeCorrupt
from dataflow.lake.errors import WAY_OUT
from dataflow.lake.filesystem import FileSystem
from dataflow.model import Deletion, DeletionVector

Rows = BitMap64
"""Rows of a file, by position."""
_MAGIC = 1681511377
_VERSION = b"\x01"
_UUID_CHARACTERS = 20
_RFC1924 = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~"
_Z85 = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"
_TO_Z85, _FROM_Z85 = bytes.maketrans(_RFC1924, _Z85), bytes.maketrans(_Z85, _RFC1924)


def from_log(said: Mapping[str, Any] | None) -> DeletionVector | None:
    """The vector that an entry of the log describes; None where it describes none."""
    if said is None or said.get("storageType") is None:
        return None
    return DeletionVector(
        storage=said["storageType"],
        path_or_inline=said["pathOrInlineDv"],
        offset=said.get("offset"),
        size_bytes=said["sizeInBytes"],
        cardinality=said["cardinality"],
    )


def to_log(vector: DeletionVector) -> dict[str, Any]:
    """A vector as the log describes it."""
    said = {
        "storageType": vector.storage,
        "pathOrInlineDv": vector.path_or_inline,
        "offset": vector.offset,
        "sizeInBytes": vector.size_bytes,
        "cardinality": vector.cardinality,
    }
    return {key: value for key, value in said.items() if value is not None}


def vector_path(vector: DeletionVector) -> str | None:
    """The file of the table's folder that a vector is in; None for one that is elsewhere."""
    if vector.storage != "u":
        return None
    prefix, name = vector.path_or_inline[:-_UUID_CHARACTERS], vector.path_or_inline[-_UUID_CHARACTERS:]
    return _path(prefix, uuid.UUID(bytes=base64.b85decode(name.encode().translate(_FROM_Z85))))


def vector_paths(deletes: Iterable[Deletion]) -> set[str]:
    """The files of the table's folder that the vectors of ``deletes`` are in."""
    return {path for delete in deletes if (path := vector_path(delete.vector)) is not None}


def _path(prefix: str, name: uuid.UUID) -> str:
    return f"{prefix}/deletion_vector_{name}.bin" if prefix else f"deletion_vector_{name}.bin"


def encode(rows: Rows) -> bytes:
    """The bytes of a vector."""
    return struct.pack("<i", _MAGIC) + rows.serialize()


def decode(data: bytes) -> Rows:
    """Errors: ValueError where ``data`` is no vector."""
    if len(data) < 4 or struct.unpack("<i", data[:4])[0] != _MAGIC:
        raise ValueError("it does not begin as a deletion vector does")
    return Rows.deserialize(data[4:])


def write_vectors(
    fs: FileSystem, root: str, prefix: str, rows: Mapping[str, Rows]
) -> tuple[dict[str, DeletionVector], str]:
    """Write the dead ``rows`` of files of the table at ``root`` into one file; tells where each is, and the file's path.

    ``prefix`` is the folder that the file gets, in one word: it begins with ``_``, so that no other program's vacuum,
    which does not know of vectors, takes them away.
    """
    name = uuid.uuid4()
    text = base64.b85encode(name.bytes).translate(_TO_Z85).decode()
    content, told = bytearray(_VERSION), dict[str, DeletionVector]()
    for path, dead in rows.items():
        data = encode(dead)
        told[path] = DeletionVector(
            storage="u",
            path_or_inline=prefix + text,
            offset=len(content),
            size_bytes=len(data),
            cardinality=len(dead),
        )
        content += struct.pack(">i", len(data)) + data + struct.pack(">I", zlib.crc32(data))
    path = _path(prefix, name)
    fs.makedirs(f"{root}/{prefix}", exist_ok=True)
    fs.pipe_file(f"{root}/{path}", bytes(content))
    return told, path


def read_vectors(fs: FileSystem, root: str, vectors: Iterable[DeletionVector]) -> dict[DeletionVector, Rows]:
    """The dead rows that ``vectors`` of the table at ``root`` list.

    Errors: LakeCorrupt that names the file.
    """
    wanted = list(dict.fromkeys(vectors))
    filed = [vector for vector in wanted if vector.storage != "i"]
    places = [_place(fs, root, vector) for vector in filed]
    starts = [vector.offset or 0 for vector in filed]
    ends = [start + vector.size_bytes + 8 for start, vector in zip(starts, filed, strict=True)]
    found: list[bytes] = fs.cat_ranges(places, starts, ends, on_error="raise") if filed else []
    content = dict(zip(filed, zip(places, found, strict=True), strict=True))
    return {v: _inline(v) if v.storage == "i" else _checked(v, *content[v]) for v in wanted}


def _place(fs: FileSystem, root: str, vector: DeletionVector) -> str:
    path = vector_path(vector)
    return fs._strip_protocol(vector.path_or_inline) if path is None else f"{root}/{path}"


def _inline(vector: DeletionVector) -> Rows:
    padded = base64.b85decode(vector.path_or_inline.encode().translate(_FROM_Z85))
    return decode(padded[: vector.size_bytes])


def _checked(vector: DeletionVector, place: str, framed: bytes) -> Rows:
    data = framed[4:-4]
    try:
        if len(data) != vector.size_bytes or framed[-4:] != struct.pack(">I", zlib.crc32(data)):
            raise ValueError("its content is not what was written")
        rows = decode(data)
        if len(rows) != vector.cardinality:
            raise ValueError(f"it lists {len(rows)} rows, the log says {vector.cardinality}")
    except ValueError as error:
        raise LakeCorrupt(
            f"{place}: the list of dead rows at offset {vector.offset} cannot be read: {error}; {WAY_OUT}", path=place
        ) from error
    return rows


def everything_but(rows: Rows, count: int) -> Rows:
    """The positions below ``count`` that are not in ``rows``."""
    every = Rows()
    every.add_range(0, count)
    return every - rows


def living(numbers: np.ndarray[Any, np.dtype[np.uint64]], dead: Rows | None) -> Rows:
    """The positions of living rows of a file, which are counted from 0 without the ``dead`` ones."""
    if dead:
        gone = np.frombuffer(dead.to_array(), dtype=np.uint64)
        before = gone - np.arange(gone.size, dtype=np.uint64)
        numbers = numbers + np.searchsorted(before, numbers, side="right").astype(np.uint64)
    return Rows(array("Q", numbers.tobytes()))


Callback = Callable[[pl.DataFrame], pl.DataFrame]


def selection(hidden: Mapping[str, tuple[Rows, int]]) -> Callback:
    """What Polars asks for the rows of files that are to be read: not those that are ``hidden``.

    By URI: these rows, and how many the file holds, dead or alive.
    """
    bare = {_bare(uri): found for uri, found in hidden.items()}

    def selected(requested: pl.DataFrame) -> pl.DataFrame:
        # As Arrow: lists of booleans that Polars has to look at one by one cost thrice the scan.
        bits, offsets, end = list[Any](), list[int | None](), 0
        for uri in requested["path"]:
            found = bare.get(_bare(uri))
            offsets.append(None if found is None else end)
            if found is not None:
                bits.append(_mask(*found))
                end += found[1]
        values = pa.concat_arrays(bits) if bits else pa.array([], pa.bool_())
        lists = pa.LargeListArray.from_arrays(pa.array([*offsets, end], pa.int64()), values)
        return pl.DataFrame({"selection_vector": pl.Series(lists, dtype=pl.List(pl.Boolean))})

    return selected


def _bare(uri: str) -> str:
    return uri.removeprefix("file://")


def _mask(hidden: Rows, count: int) -> Any:
    shown = np.ones(count, dtype=np.bool_)
    shown[np.frombuffer(hidden.to_array(), dtype=np.uint64)] = False
    bits = pa.py_buffer(np.packbits(shown, bitorder="little"))
    return pa.Array.from_buffers(pa.bool_(), count, [None, bits])
