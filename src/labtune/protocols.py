"""The extension points, on one page. Teacher, student and judge are roles of a `ChatModel`, not types."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, runtime_checkable

from labtune.types import Chunk, ExamQuestion, Json, Message, Sample

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to decode. `temperature` 0 = greedy; `max_tokens` bounds the new tokens; `seed` fixes the draw."""

    max_tokens: int = 128
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Reply:
    """A completion. `stopped` is False when it hit `max_tokens` instead of its end token.

    `cached` is True when it came from the journal: nothing was sent and nothing is paid for. The rest is
    known of replies from endpoints only: `model` as the endpoint names it, `finish` its finish reason, `cost`
    in `currency` (None: the price is not known), `latency_s` from sending to the last byte without waits and
    retries, `key` of the journal's entry.
    """

    text: str
    stopped: bool
    n_prompt_tokens: int
    n_tokens: int
    cached: bool = False
    model: str = ""
    finish: str = ""
    cost: float | None = None
    currency: str = "USD"
    latency_s: float = 0.0
    key: str = ""


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One request to a teacher or judge.

    `schema` is the JSON schema that the reply shall follow; None asks for plain text. `index` tells apart
    several draws of the same messages and sampling.
    """

    messages: tuple[Message, ...]
    sampling: Sampling
    schema: Mapping[str, Json] | None = None
    index: int = 0


@runtime_checkable
class ChatModel(Protocol):
    """Anything that completes chats."""

    @property
    def name(self) -> str:
        """Identity for manifests and journals, such as `builtin:nano`."""
        ...

    def complete(self, chats: Sequence[Sequence[Message]], sampling: Sampling) -> list[Reply]:
        """Complete each chat; replies in the order of `chats`. Raises ModelError."""
        ...


@runtime_checkable
class AsyncChatModel(Protocol):
    """A chat model behind an endpoint: many requests at once, in one event loop."""

    @property
    def name(self) -> str:
        """Identity for manifests and journals; known without asking the endpoint."""
        ...

    async def chat(self, request: ChatRequest) -> Reply:
        """Complete one chat.

        Raises:
            RequestError: this request failed for good; others may go on.
            EndpointError: nothing can be asked any more.
            BudgetReached: the budget does not allow to send it.
        """
        ...


@runtime_checkable
class LikelihoodModel(ChatModel, Protocol):
    """A chat model that can also score given answers (in-process models)."""

    def loglikelihoods(self, chats: Sequence[Sequence[Message]], answers: Sequence[str]) -> list[float]:
        """Mean log-probability per token (nats) of each answer to its chat, end token included."""
        ...


@dataclass(frozen=True, slots=True)
class ScoreValue:
    """A scorer's verdict on one output: 0..1 and why."""

    value: float
    reason: str


Scorer = Callable[[str, ExamQuestion], ScoreValue]


class Block(Protocol):
    """One step of a generation pipeline: a stream of rows in, a stream of rows out."""

    name: str

    def __call__(self, samples: Iterable[Sample]) -> Iterator[Sample]:
        """Yield what passes, in a deterministic order."""
        ...


class Benchmark(Protocol):
    """A set of questions and the rule that scores them."""

    name: str

    def questions(self) -> Sequence[ExamQuestion]:
        """All questions, in a fixed order."""
        ...


class Host(Protocol):
    """An object that lives in a worker.

    It outlives its worker: a lost one is replaced, the object made anew and what it was doing asked again.
    """

    def call(self, method: str, *arguments: object) -> Future[Any]:
        """Call a method, which may be a coroutine; arguments and results are pickled on the way.

        The future raises what the method raised, or EngineError when workers were lost too often.
        """
        ...


class Executor(Protocol):
    """Where work runs: here, or on the workers of an engine."""

    @property
    def workers(self) -> int:
        """Shards or hosts that run at once; 1 = here, one after the other."""
        ...

    @property
    def gang(self) -> int:
        """Processes that tune together."""
        ...

    def map(self, function: Callable[[T], R], shards: Iterable[T]) -> Iterator[R]:
        """Results of a pure, picklable function in the order of `shards`.

        Raises:
            EngineError: workers were lost too often.
        """
        ...

    def host(
        self, makes: Sequence[Callable[[], object]], *, near: bool = False, gpus: bool = False
    ) -> AbstractContextManager[Sequence[Host]]:
        """Objects made by `makes`, each in a worker; with `near` on this machine, where its files are.

        With `gpus` a worker gets its share of the GPUs, if the engine has any.
        """
        ...

    def launch(self, target: str, argument: str) -> None:
        """Run `module:function` with `argument` in each process of the gang, joined by torch.distributed.

        Raises:
            EngineError: processes were lost too often; LabtuneError: what the function raised.
        """
        ...


OpenExecutor = Callable[[], AbstractContextManager[Executor]]
"""Opens an engine when there is work for it, and closes it after."""


class Retriever(Protocol):
    """Finds the chunks that answer a question."""

    def search(self, question: str, *, limit: int) -> Sequence[Chunk]:
        """Best first, at most `limit`."""
        ...
