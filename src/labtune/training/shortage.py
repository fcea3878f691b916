"""When memory runs out in the middle of a step: the step is done again in smaller parts, and the run goes on.

Weights change only at the end of a step, so nothing is lost: the gradients so far are dropped, the random
numbers are set back, and the step begins anew with each micro-batch in twice as many parts. From there on the
run is the same as one that was started with these parts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from labtune.errors import TrainingError
from labtune.models.device_memory import release_memory
from labtune.training.replicas import Batch, split

_SAID = (
    "out of memory",
    "can't allocate memory",
    "Cannot allocate memory",
    "std::bad_alloc",
    "CUBLAS_STATUS_ALLOC_FAILED",
)
"""What allocators say in a RuntimeError that is no OutOfMemoryError (CPU, MPS, cuBLAS)."""

_ONEDNN_SAYS = "could not create a primitive"
"""All that oneDNN says when it finds no memory for a kernel's code; longer sentences mean something else."""


_LESS = "choose a method that needs less (labtune doctor --student shows which)"


@dataclass(frozen=True, slots=True)
class Portion:
    """From `step` on, micro-batches go through the student in `parts` parts."""

    step: int
    parts: int
    checkpointing: bool


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory ran out, on whatever device."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    if not isinstance(error, RuntimeError):
        return False
    return str(error) == _ONEDNN_SAYS or any(said in str(error) for said in _SAID)


class Portions:
    """Sends micro-batches through a student in parts, and in more and smaller ones when memory runs out.

    Args:
        history: what was in force from which step on, oldest first; a resumed run repeats it.
        recompute: makes activations be computed again from now on.
        may_recompute: whether that may be done when parts cannot be smaller.
        forget: drops the gradients and losses of the step so far.
        tell: is called with each new portion.
    """

    def __init__(
        self,
        history: Sequence[Portion],
        *,
        recompute: Callable[[], None],
        may_recompute: bool,
        forget: Callable[[], None],
        tell: Callable[[Portion], None],
    ) -> None:
        self._history = list(history)
        self._known = len(self._history)
        self._recompute, self._forget, self._tell = recompute, forget, tell
        self._may_recompute, self._recomputes = may_recompute, False
        self._step = 0
        self._before: list[Batch] = []
        self._random: list[torch.Tensor] = []

    def run(self, step: int, batch: Batch, backward: Callable[[Batch], torch.Tensor]) -> torch.Tensor:
        """Loss of one micro-batch of optimiser step `step`; its gradients are added to the student's.

        Raises:
            TrainingError: memory does not suffice for a single row.
        """
        if step != self._step:
            self._step, self._before, self._random = step, [], _random_states()
            self._known = len(self._history)
            self._obey()
        self._before.append(batch)
        loss = self._attempt([batch], backward)
        while loss is None:
            self._shrink(max(int((one["position_ids"] == 0).sum()) for one in self._before))
            self._forget()
            _set_random_states(self._random)
            loss = self._attempt(self._before, backward)
        return loss

    def news(self) -> Portion | None:
        """What is in force since a shortage in the present step; None when there was none."""
        now = self.now
        return now if now.step == self._step and len(self._history) > self._known else None

    @property
    def now(self) -> Portion:
        """What is in force in the present step."""
        begun = [one for one in reversed(self._history) if one.step <= max(self._step, 1)]
        # Of several of one step the latest, which the reversed order puts first.
        return max(begun, key=lambda one: one.step)

    def _attempt(
        self, batches: Sequence[Batch], backward: Callable[[Batch], torch.Tensor]
    ) -> torch.Tensor | None:
        """Loss of the last of `batches`, or None when memory ran out."""
        loss: torch.Tensor | None = None
        try:
            for batch in batches:
                parts = split(batch, self.now.parts) if self.now.parts > 1 else [batch]
                loss = torch.stack([backward(part) for part in parts]).sum()
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            loss = None
        if loss is None:
            # Only here, since the exception held the frames of the attempt and all that they computed.
            release_memory()
        return loss

    def _obey(self) -> None:
        """Compute activations again, once that is in force: it rounds differently, so not before."""
        if self.now.checkpointing and not self._recomputes:
            self._recompute()
            self._recomputes = True

    def _shrink(self, rows: int) -> None:
        fresh = _smaller(self.now, self._step, rows, self._may_recompute)
        if fresh is None:
            raise TrainingError(
                f"memory ran out in step {self._step} with a single row at a time",
                hint=f"lower train.max_length, or {_LESS}",
            )
        self._history.append(fresh)
        self._obey()
        self._tell(fresh)


class BeginAnew(Exception):
    """Ends one of several processes, so that their engine starts all of them again."""


class GangPortions:
    """What `Portions` is for one process, for several that tune together.

    One of them cannot begin a step again by itself: the others wait for its gradients. It leaves word and
    fails, and all of them begin anew at the last resume point with smaller micro-batches.

    Args:
        now: what is in force.
        since: whether that is so because of a word that was left, until its step is done.
        packs: packs of a micro-batch of one process, which cannot be divided further than that.
        may_recompute: whether activations may be computed again when parts cannot be smaller.
        leave_word: is called with what shall be in force from then on.
    """

    def __init__(
        self,
        now: Portion,
        *,
        since: bool,
        packs: int,
        may_recompute: bool,
        leave_word: Callable[[Portion], None],
    ) -> None:
        self._now, self._since = now, since
        self._packs, self._may_recompute = packs, may_recompute
        self._leave_word = leave_word
        self._step = 0

    def run(self, step: int, batch: Batch, backward: Callable[[Batch], torch.Tensor]) -> torch.Tensor:
        """Loss of one micro-batch of optimiser step `step`; its gradients are added to the student's.

        Raises:
            TrainingError: memory does not suffice for a single pack.
            BeginAnew: it does not suffice for so many; word is left.
        """
        self._step = step
        try:
            return backward(batch)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            most = self._now.parts * self._packs
            fresh = _smaller(self._now, step, most, self._may_recompute)
            if fresh is None:
                raise TrainingError(
                    f"memory ran out in step {step} with a single pack at a time in each process",
                    hint=f"engine.sharding: fsdp, a lower train.max_length, or {_LESS}",
                ) from error
            self._leave_word(fresh)
            raise BeginAnew(f"memory ran out in step {step}") from error

    def news(self) -> Portion | None:
        """What is in force since a shortage in the present step; None when there was none."""
        return self._now if self._since and self._now.step == self._step else None


def _smaller(now: Portion, step: int, most: int, may_recompute: bool) -> Portion | None:
    """What needs less memory than `now`: twice as many parts, at most `most`; None when nothing does."""
    if now.parts < most:
        return Portion(step, min(most, now.parts * 2), now.checkpointing)
    return Portion(step, now.parts, True) if may_recompute and not now.checkpointing else None


@contextmanager
def told_plainly(phase: str) -> Iterator[None]:
    """Within, running out of memory where no smaller part helps becomes one sentence."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise TrainingError(
            f"memory ran out in phase {phase}, outside of the forward and backward pass",
            hint=f"{_LESS}; what was trained is kept, and the same command goes on from there",
        ) from error


def _random_states() -> list[torch.Tensor]:
    """Of the CPU and of the accelerator, for dropout."""
    states = [torch.get_rng_state()]
    if torch.cuda.is_available():
        states.append(torch.cuda.get_rng_state())
    elif torch.backends.mps.is_available():
        states.append(torch.mps.get_rng_state())
    return states


def _set_random_states(states: Sequence[torch.Tensor]) -> None:
    torch.set_rng_state(states[0])
    if len(states) > 1 and torch.cuda.is_available():
        torch.cuda.set_rng_state(states[1])
    elif len(states) > 1:
        torch.mps.set_rng_state(states[1])
