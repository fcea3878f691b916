"""Models from a hub: fetched once into the hub's own cache, gone on with after an interruption, then left.

The hub library throws away the file it is in the middle of when a process ends; files of many gigabytes are
therefore fetched here, piece by piece into a file that the next attempt goes on with, and checked against the
hub's SHA-256. Everything else is the library's work.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

from labtune.errors import MissingDependencyError, ModelError
from labtune.types import Emit, no_events

WANTED = (
    "*.safetensors", "*.json", "*.jinja", "*.txt", "*.model",
    "LICENSE*", "NOTICE*", "USE_POLICY*", "README.md",
)  # fmt: skip
UNWANTED = ("*/*", "consolidated*", "tekken.json")
"""Second copies of weights and tokenizers that some publishers add, and whatever lies in folders."""

EVENT_SECONDS = 1.0
"""Time between two events about a running download."""

_HASH = 64
"""Characters of a SHA-256; what the hub calls a large file."""


@dataclass(frozen=True, slots=True)
class HubModel:
    """A model on a hub.

    Attributes:
        name: id such as `org/name`.
        revision: commit, tag or branch; None = the main branch as it was when it was fetched first.
        mirror: address of the hub; None = what HF_ENDPOINT says, or huggingface.co.
        offline: whether the hub is never asked.
    """

    name: str
    revision: str | None = None
    mirror: str | None = None
    offline: bool = False

    def __str__(self) -> str:
        return f"{self.name}@{self.revision}" if self.revision else self.name


def fetch(model: HubModel, emit: Emit = no_events) -> Path:
    """The folder of a hub model; what the cache holds whole is used without asking the hub.

    Raises:
        ModelError: it is not there and may not or cannot be fetched, there is no such model or revision, its
            licence has to be accepted first, it has no safetensors, or it does not fit the disk.
        MissingDependencyError: the hub library is not installed.
    """
    try:
        import huggingface_hub.errors as errors
        from huggingface_hub import constants
    except ImportError as error:
        raise MissingDependencyError.for_extra("huggingface_hub", "train") from error
    try:
        return _snapshot(model, local=True)
    except errors.LocalEntryNotFoundError as error:
        if model.offline or constants.HF_HUB_OFFLINE:
            raise ModelError(
                f"{model} is not in the local cache ({constants.HF_HUB_CACHE}), and the hub may not be asked "
                "(offline)",
                hint="fetch it once without offline, or give the model as a local folder",
            ) from error
    except errors.HFValidationError as error:
        raise ModelError(f"{model.name!r} is not a hub id: {error}", hint="org/name") from error
    with translated(model):
        return _download(model, emit)


def _snapshot(model: HubModel, *, local: bool) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.utils import disable_progress_bars  # type: ignore[attr-defined]

    disable_progress_bars()
    return Path(
        snapshot_download(
            model.name,
            revision=model.revision,
            endpoint=model.mirror,
            local_files_only=local,
            allow_patterns=list(WANTED),
            ignore_patterns=list(UNWANTED),
        )
    )


def _download(model: HubModel, emit: Emit) -> Path:
    from huggingface_hub import HfApi, constants
    from huggingface_hub.utils import filter_repo_objects  # type: ignore[attr-defined]

    found = HfApi(endpoint=model.mirror).model_info(model.name, revision=model.revision, files_metadata=True)
    sizes = {one.rfilename: one.size or 0 for one in found.siblings or ()}
    wanted = list(filter_repo_objects(sizes, allow_patterns=list(WANTED), ignore_patterns=list(UNWANTED)))
    weights = [name for name in wanted if name.endswith(".safetensors")]
    if not weights:
        raise ModelError(
            f"{model} has no safetensors weights on the hub; others can run code when they are loaded",
            hint="choose a model that ships safetensors",
        )
    commit = str(found.sha)
    cache = Path(constants.HF_HUB_CACHE) / f"models--{model.name.replace('/', '--')}"
    progress = _Progress(model, emit, sum(sizes[name] for name in wanted))
    blobs = [_Blob.find(model, name, commit, cache) for name in weights]
    missing = sum(sizes[name] for name in wanted) - sum(blob.present for blob in blobs)
    _check_room(model, cache, missing)
    for blob in blobs:
        blob.fetch(progress)
    folder = _snapshot(model, local=False)
    progress.end(commit)
    return folder


def _check_room(model: HubModel, cache: Path, missing: int) -> None:
    place = cache
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if missing > free:
        raise ModelError(
            f"fetching {model} takes {missing / 2**30:.1f} GiB of disk, and {free / 2**30:.1f} GiB are free "
            f"in {place}",
            hint="make room, or move the hub's cache to another disk with the variable HF_HOME",
        )


@dataclass(slots=True)
class _Progress:
    """Tells how far a download is, at most once in EVENT_SECONDS."""

    model: HubModel
    emit: Emit
    total: int
    done: int = 0
    told: float = 0.0

    def add(self, count: int) -> None:
        self.done += count
        now = time.monotonic()
        if now - self.told >= EVENT_SECONDS:
            self.told = now
            self.emit("student.fetch", {"student": str(self.model), "bytes": self.done, "total": self.total})

    def end(self, commit: str) -> None:
        self.emit(
            "student.fetch",
            {"student": str(self.model), "bytes": self.total, "total": self.total, "revision": commit},
        )


@dataclass(frozen=True, slots=True)
class _Blob:
    """A large file of the hub and its place in the cache."""

    url: str
    etag: str
    size: int
    path: Path

    @classmethod
    def find(cls, model: HubModel, name: str, commit: str, cache: Path) -> _Blob:
        from huggingface_hub import get_hf_file_metadata, hf_hub_url

        url = hf_hub_url(model.name, name, revision=commit, endpoint=model.mirror)
        found = get_hf_file_metadata(url, endpoint=model.mirror)
        if not found.etag or found.size is None:
            raise ModelError(
                f"the hub does not say how large {name} of {model} is", hint="try another mirror"
            )
        return cls(url, found.etag, found.size, cache / "blobs" / found.etag)

    @property
    def part(self) -> Path:
        return self.path.with_name(f"{self.etag}.labtune-part")

    @property
    def present(self) -> int:
        """Bytes that are already here."""
        for path in (self.path, self.part):
            if path.exists():
                return path.stat().st_size
        return 0

    def fetch(self, progress: _Progress) -> None:
        """Go on where an earlier attempt ended; two processes do not write into one another's file."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.path.exists():
            progress.add(self.size)
            return
        with self.part.open("ab") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            if self.path.exists():
                return
            here = self.part.stat().st_size
            if here > self.size:
                stream.truncate(0)
                here = 0
            progress.add(here)
            self._get(stream, here, progress)
            stream.flush()
            os.fsync(stream.fileno())
            self._check()
            self.part.replace(self.path)

    def _get(self, stream: IO[bytes], here: int, progress: _Progress) -> None:
        from huggingface_hub.file_download import http_get
        from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

        # The hub sends on to a store; its client takes the user's token off what goes to another host.
        counted = cast(BinaryIO, _Counted(stream, progress))
        http_get(self.url, counted, resume_size=here, headers=build_hf_headers(), expected_size=self.size)

    def _check(self) -> None:
        if len(self.etag) != _HASH:
            return
        with self.part.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
        if found != self.etag:
            self.part.unlink()
            raise ModelError(f"{self.url} came damaged: its SHA-256 is not the hub's", hint="try again")


class _Counted:
    """A file that tells how much is written into it; the rest is the file's own."""

    def __init__(self, stream: IO[bytes], progress: _Progress) -> None:
        self._stream = stream
        self._progress = progress

    def write(self, piece: bytes) -> int:
        self._progress.add(len(piece))
        return self._stream.write(piece)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def translated(model: HubModel) -> Iterator[None]:
    """Name what the hub or the network refuse in one sentence."""
    import huggingface_hub.errors as errors
    from huggingface_hub import constants

    hub = model.mirror or constants.ENDPOINT
    try:
        yield
    except errors.GatedRepoError as error:
        raise ModelError(
            f"{model.name} may be fetched only after its licence was accepted",
            hint=f"accept it at {hub}/{model.name}, then log in: hf auth login (or set HF_TOKEN)",
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise ModelError(
            f"{hub} has no model {model.name}, or it is a private one",
            hint="check the name, or: hf auth login",
        ) from error
    except errors.RevisionNotFoundError as error:
        raise ModelError(
            f"{model.name} has no revision {model.revision!r}",
            hint="student.revision: a commit, tag or branch",
        ) from error
    except errors.LocalEntryNotFoundError as error:
        raise _unreachable(model, hub) from error
    except errors.HfHubHTTPError as error:
        raise ModelError(
            f"{hub} refuses {model}: {str(error).splitlines()[0]}", hint="try again later"
        ) from error
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise ModelError(
                f"the disk is full; {model} is not complete",
                hint=f"make room in {constants.HF_HUB_CACHE} and start again: what is there is kept",
            ) from error
        if isinstance(error, ConnectionError | TimeoutError):
            raise _unreachable(model, hub) from error
        raise ModelError(f"{model} could not be fetched: {error}") from error
    except _transport_errors() as error:
        raise _unreachable(model, hub) from error


def _transport_errors() -> type[Exception]:
    """The root of what the hub library's HTTP client raises; which client that is differs by version."""
    from huggingface_hub.errors import HfHubHTTPError

    return next(kind for kind in HfHubHTTPError.__mro__[1:] if issubclass(kind, Exception))


def _unreachable(model: HubModel, hub: str) -> ModelError:
    return ModelError(
        f"{model} is not in the local cache, and {hub} cannot be reached",
        hint="connect to the network once, set student.mirror, or give the model as a local folder; what is "
        "there already is kept",
    )
