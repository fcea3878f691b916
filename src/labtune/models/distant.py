"""A model that answers on the workers of an engine: several batches at once, each on the next free worker.

Batches are made where the exam is, so an answer does not depend on how many workers there are.
"""

from __future__ import annotations

import queue
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from labtune.protocols import Host, LikelihoodModel, Reply, Sampling
from labtune.types import Message

Chats = Sequence[Sequence[Message]]


class Seat:
    """A worker's part: it holds the model that it was last asked for, and no other."""

    def __init__(self) -> None:
        self._path = ""
        self._model: LikelihoodModel | None = None

    def complete(self, path: str, name: str, chats: Chats, sampling: Sampling) -> list[Reply]:
        """As `ChatModel.complete` of the model in the folder `path`."""
        return self._load(path, name).complete(chats, sampling)

    def loglikelihoods(self, path: str, name: str, chats: Chats, answers: Sequence[str]) -> list[float]:
        """As `LikelihoodModel.loglikelihoods` of the model in the folder `path`."""
        return self._load(path, name).loglikelihoods(chats, answers)

    def _load(self, path: str, name: str) -> LikelihoodModel:
        from labtune.models.hf import HfChatModel

        if self._model is None or self._path != path:
            # The one before goes first: both need not fit.
            self._model = None
            self._model, self._path = HfChatModel.load(Path(path), name=name), path
        return self._model


class Hall:
    """The seats of all workers; any number of models answer in it, one after the other."""

    def __init__(self, hosts: Sequence[Host]) -> None:
        self.seats = len(hosts)
        self._free: queue.SimpleQueue[Host] = queue.SimpleQueue()
        for host in hosts:
            self._free.put(host)

    def ask(self, method: str, *arguments: object) -> Any:
        """Ask the next free seat; may be called by several threads."""
        host = self._free.get()
        try:
            return host.call(method, *arguments).result()
        finally:
            self._free.put(host)


class DistantModel:
    """A `LikelihoodModel` of `lanes` workers: so many batches may be asked at once, by threads."""

    def __init__(self, hall: Hall, path: Path, *, name: str) -> None:
        self._hall = hall
        self._path = str(path.absolute())
        self._name = name
        self.lanes = hall.seats

    @property
    def name(self) -> str:
        """Identity for manifests and reports."""
        return self._name

    def complete(self, chats: Chats, sampling: Sampling) -> list[Reply]:
        """As `ChatModel.complete`. Raises EngineError when workers are lost too often."""
        replies: list[Reply] = self._hall.ask("complete", self._path, self._name, chats, sampling)
        return replies

    def loglikelihoods(self, chats: Chats, answers: Sequence[str]) -> list[float]:
        """As `LikelihoodModel.loglikelihoods`. Raises EngineError when workers are lost too often."""
        scores: list[float] = self._hall.ask("loglikelihoods", self._path, self._name, chats, answers)
        return scores
