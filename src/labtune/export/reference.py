"""The tuned model as the engine that an exported one is compared with. Shapes: T tokens, V vocabulary."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from labtune.models.hf import HfChatModel, stop_tokens
from labtune.models.llamacpp import Continuation
from labtune.models.template import render_prompts
from labtune.protocols import Sampling
from labtune.types import Message

if TYPE_CHECKING:
    import torch


class Continues(Protocol):
    """An engine that can be asked for tokens and their likelihoods."""

    def prompt_ids(self, chat: Sequence[Message]) -> list[int]:
        """The tokens of a chat up to the answer."""
        ...

    def continue_tokens(self, prompt: Sequence[int], *, max_tokens: int, top: int) -> Continuation:
        """Continue tokens greedily; see `Continuation`."""
        ...


class Reference:
    """A loaded checkpoint, asked token by token and with all likelihoods."""

    def __init__(self, model: HfChatModel) -> None:
        self._model = model
        self._stops = stop_tokens(model.model, model.tokenizer)

    @property
    def context_length(self) -> int:
        """Tokens that prompt and answer may have together."""
        return self._model.context_length or 1 << 30

    def prompt_ids(self, chat: Sequence[Message]) -> list[int]:
        """The tokens of a chat up to the answer, as in the exam."""
        return render_prompts(self._model.tokenizer, [chat])[0]

    def text(self, tokens: Sequence[int]) -> str:
        """What tokens say."""
        found: str = self._model.tokenizer.decode(list(tokens), skip_special_tokens=True)
        return found

    def continue_tokens(self, prompt: Sequence[int], *, max_tokens: int, top: int) -> Continuation:
        """Continue tokens greedily; see `Continuation`."""
        from labtune.models.decode import decode

        sampling = Sampling(max_tokens=max_tokens)
        (row,) = decode(self._model.model, [prompt], sampling, self._stops, self.context_length)
        stopped = bool(row) and row[-1] in self._stops
        scores_TV = self.next_logprobs(prompt, row[:-1])
        values_TK, ids_TK = scores_TV.topk(top)
        places = tuple(
            dict(zip(ids, values, strict=True))
            for ids, values in zip(ids_TK.tolist(), values_TK.tolist(), strict=True)
        )
        return Continuation(tuple(row[:-1] if stopped else row), places, row[-1] if stopped else None)

    def next_logprobs(self, prompt: Sequence[int], tokens: Sequence[int]) -> torch.Tensor:
        """Log-probabilities (T + 1, V) in nats of what follows `prompt` and each of `tokens`."""
        import torch

        from labtune.models.head import project_only

        ids_BT = torch.tensor([[*prompt, *tokens]], device=self._model.model.device)
        wanted_BT = torch.zeros_like(ids_BT, dtype=torch.bool)
        wanted_BT[0, len(prompt) - 1 :] = True
        with torch.inference_mode(), project_only(self._model.model, wanted_BT):
            logits_TV = self._model.model(input_ids=ids_BT, use_cache=False).logits
        scores_TV: torch.Tensor = logits_TV.float().log_softmax(-1).reshape(len(tokens) + 1, -1).cpu()
        return scores_TV
