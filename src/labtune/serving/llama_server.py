"""llama.cpp's own server over a GGUF file, out of the xllamacpp wheel.

`python -m labtune.serving.llama_server LAUNCH` (see `engines.Launch`).
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from labtune.errors import LabtuneError
from labtune.models.gguf_header import read_header
from labtune.models.llamacpp import default_context
from labtune.serving.engines import Launch

DEFAULT_CONTEXT = 8192
"""Tokens of a slot at most, where none are asked for: the whole context of a model can fill the memory."""
DEFAULT_SLOTS = 4
WARNINGS = 2
"""llama.cpp's level of messages; one more writes several lines for each request."""


def slot_context(launch: Launch, trained: int | None) -> int:
    """Tokens of one slot: what is wanted, but no more than the model was trained for."""
    wanted = launch.context_tokens or DEFAULT_CONTEXT
    return min(wanted, trained) if trained is not None else wanted


def wanted_threads(environment: Mapping[str, str]) -> int | None:
    """Threads as OMP_NUM_THREADS says, which llama.cpp itself does not read; None = as many as it likes."""
    text = environment.get("OMP_NUM_THREADS", "")
    return int(text) if text.isdigit() and int(text) > 0 else None


def parameters(launch: Launch, xllamacpp: Any) -> Any:
    """llama.cpp's settings for a launch.

    Raises:
        ModelError: the file's header is false; llama.cpp would end over it without a clear word.
    """
    slots = launch.slots or DEFAULT_SLOTS
    values = xllamacpp.CommonParams()
    values.model.path = launch.model
    values.model_alias = {launch.name}
    values.hostnames = [launch.host]
    values.port = launch.port
    values.n_parallel = slots
    header = read_header(Path(launch.model))
    context = slot_context(launch, header.context_length)
    if launch.context_tokens is None:
        # In a longer one llama.cpp stretches the positions of short texts, too (LongRoPE: Phi-3, Phi-4).
        context = min(context, default_context(header))
    values.n_ctx = slots * context
    values.use_jinja = True
    threads = wanted_threads(os.environ)
    if threads is not None:
        values.cpuparams.n_threads = values.cpuparams_batch.n_threads = threads
    # Greedy where a request says nothing, as in the exam, and no filters of llama.cpp's own where it draws.
    sampling = values.sampling
    sampling.temp, sampling.top_p, sampling.top_k, sampling.min_p = 0.0, 1.0, 0, 0.0
    # Pages in a browser must not be able to read answers.
    values.cors_origins, values.cors_origins_explicit = "http://localhost", True
    # An answer ends at the end of its slot; it never forgets its own beginning.
    values.ctx_shift = False
    values.ui = False
    values.endpoint_slots = False
    values.verbosity = WARNINGS
    if launch.key_env is not None:
        values.api_keys = [os.environ[launch.key_env]]
    return values


def main() -> int:
    """Serve until the process is ended."""
    import xllamacpp

    launch = Launch.from_json(sys.argv[1])
    try:
        server = xllamacpp.Server(parameters(launch, xllamacpp))
    except LabtuneError as error:
        sys.stderr.write(f"error: {error.message}\n{error.hint or ''}\n")
        return error.exit_code
    except RuntimeError as error:
        sys.stderr.write(f"llama.cpp cannot serve {launch.model}: {error}\n")
        return 3
    # The library takes these signals to end its loop; there is nothing to be saved, so end at once.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    sys.stderr.write(f"listening at {server.listening_address}\n")
    threading.Event().wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
