"""One file through kreuzberg in a process of its own: bytes on stdin, one JSON object on stdout.

Run as a script by `office.py`; it imports nothing of labtune, so it starts in 0.1 s. The process exists
because a damaged PDF can make the Rust core panic (kreuzberg 4.10 then refuses every later PDF of the same
process: "operation lock poisoned"), abort or take all memory; here that costs one document, no more.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from typing import Any

MEMORY_BYTES = 4 * 1024**3


def extract(data: bytes, mime_type: str) -> dict[str, Any]:
    """What the reader needs of kreuzberg's result, or `{"error": ...}`. Values are kreuzberg's own JSON."""
    import kreuzberg

    is_pdf = mime_type == "application/pdf"
    config = kreuzberg.ExtractionConfig(
        use_cache=False,
        enable_quality_processing=False,
        output_format="plain" if is_pdf else "markdown",
        include_document_structure=not is_pdf,
        pages=kreuzberg.PageConfig(extract_pages=True),
    )
    try:
        result = kreuzberg.extract_bytes_sync(data, mime_type, config=config)
    except (kreuzberg.KreuzbergError, RuntimeError, ValueError, TypeError, OSError) as error:
        return {"error": " ".join(str(error).split())}
    except BaseException as error:
        # A panic of the Rust core arrives as pyo3's PanicException: no Exception, and not importable.
        if type(error).__name__ != "PanicException":
            raise
        return {"error": "the converter failed inside"}
    metadata: Mapping[str, Any] = result.metadata
    return {
        "title": str(metadata.get("title") or ""),
        "n_pages": (metadata.get("pages") or {}).get("total_count"),
        "pages": [str(page["content"]) for page in result.pages or []] or [str(result.content)],
        "nodes": (result.document or {}).get("nodes", []),
    }


def _limit_memory() -> None:
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    bound = MEMORY_BYTES if hard == resource.RLIM_INFINITY else min(MEMORY_BYTES, hard)
    if soft == resource.RLIM_INFINITY or soft > bound:
        resource.setrlimit(resource.RLIMIT_AS, (bound, hard))


def main() -> None:
    """Serve one document. What libraries print to stdout goes to stderr, so the reply stays one object."""
    reply = os.dup(1)
    os.dup2(2, 1)
    _limit_memory()
    result = extract(sys.stdin.buffer.read(), sys.argv[1])
    with os.fdopen(reply, "wb") as stream:
        stream.write(json.dumps(result, default=str).encode())


if __name__ == "__main__":
    main()
