"""Load a file as a `Document`: clean text with the places of headings, pages and table statements."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from labtune.documents.assemble import assemble
from labtune.documents.convert import Converter, TextConverter
from labtune.documents.office import KreuzbergConverter
from labtune.errors import DocumentError
from labtune.types import Document

MAX_FILE_BYTES = 64 * 1024 * 1024
CONVERTERS: tuple[Converter, ...] = (TextConverter(), KreuzbergConverter())


def supported_suffixes(converters: Sequence[Converter] = CONVERTERS) -> list[str]:
    """File name endings that can be loaded, sorted."""
    return sorted(suffix for converter in converters for suffix in converter.suffixes)


def load_document(
    path: Path,
    *,
    uri: str,
    max_bytes: int = MAX_FILE_BYTES,
    converters: Sequence[Converter] = CONVERTERS,
) -> Document:
    """Load one file; `uri` is what citations and messages call it.

    Raises:
        DocumentError: missing, empty, too large, of an unknown kind, encrypted, damaged, or without any text
            (a scan); the hint says how to mend it.
    """
    suffix = path.suffix.lower()
    converter = next((item for item in converters if suffix in item.suffixes), None)
    if converter is None:
        raise DocumentError(
            f"{uri} is of a kind that cannot be read ({suffix or 'no suffix'})",
            hint=f"convert it to one of {', '.join(supported_suffixes(converters))}",
        )
    data = _read(path, uri, max_bytes)
    converted = converter.read(data, suffix=suffix, name=uri)
    document = assemble(converted, document_id=hashlib.sha256(data).hexdigest(), uri=uri)
    if not document.text:
        raise DocumentError(f"{uri} holds no text", hint="fill it in or take it out of the leaf's documents")
    return document


def _read(path: Path, uri: str, max_bytes: int) -> bytes:
    try:
        size = path.stat().st_size
        if path.is_file() and 0 < size <= max_bytes:
            return path.read_bytes()
    except FileNotFoundError as error:
        raise DocumentError(
            f"{uri} is missing", hint="check the path in the leaf's document patterns"
        ) from error
    except (OSError, ValueError) as error:
        raise DocumentError(f"{uri} cannot be opened: {error}", hint="check its permissions") from error
    if not path.is_file():
        raise DocumentError(f"{uri} is not a file", hint="name files, not folders, in the document patterns")
    if size == 0:
        raise DocumentError(f"{uri} is empty", hint="fill it in or take it out of the leaf's documents")
    raise DocumentError(
        f"{uri} has {size >> 20} MiB, more than the limit of {max_bytes >> 20} MiB", hint="split the document"
    )
