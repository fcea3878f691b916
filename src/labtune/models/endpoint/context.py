"""Prompt and completion within a model's context: shrink the completion, or say what to cut."""

from __future__ import annotations

from labtune.config.endpoint import EndpointConfig
from labtune.models.endpoint.capabilities import Capabilities
from labtune.models.endpoint.faults import ContextLimit, PromptTooLong
from labtune.models.endpoint.tokens import estimate_prompt, estimate_tokens
from labtune.protocols import ChatRequest

OPTIMISM = 0.6
"""Share of the high estimate below which hardly any prompt is; then the endpoint itself may decide."""


def least_room(max_tokens: int) -> int:
    """Tokens of completion below which a shrunk request is not worth sending."""
    return min(max_tokens, max(16, min(256, max_tokens // 4)))


def plan_tokens(request: ChatRequest, known: Capabilities, config: EndpointConfig) -> tuple[int, int]:
    """Tokens to ask for, and the estimate of the prompt's.

    Raises:
        PromptTooLong: the prompt leaves no room; the message names the longest message and how much to cut.
    """
    prompt = estimate_prompt(request.messages)
    if request.schema is not None:
        prompt += 64
    wanted, context = request.sampling.max_tokens, known.context_tokens
    if context is None or prompt + wanted <= context:
        return wanted, prompt
    least = least_room(wanted)
    if prompt + least <= context:
        return context - prompt, prompt
    if not known.cuts_prompts and prompt * OPTIMISM + least <= context:
        return least, prompt
    raise _too_long(request, prompt, context, least, config.model)


def shrink(request: ChatRequest, max_tokens: int, limit: ContextLimit, known: Capabilities) -> int:
    """Tokens to ask for after the endpoint said that it was too much.

    Raises:
        PromptTooLong: fewer would not help.
    """
    least = least_room(request.sampling.max_tokens)
    if limit.cap is not None and limit.cap < max_tokens:
        return limit.cap
    context = limit.context or known.context_tokens
    prompt = limit.prompt or (limit.total - max_tokens if limit.total else None)
    if context is not None and prompt is not None and prompt > 0:
        room = context - prompt
        if least <= room < max_tokens:
            return room
        raise _too_long(request, prompt, context, least, "the model")
    if max_tokens > least:
        return max(least, max_tokens // 2)
    raise _too_long(request, estimate_prompt(request.messages), context, least, "the model")


def _too_long(
    request: ChatRequest, prompt: int, context: int | None, least: int, model: str
) -> PromptTooLong:
    sizes = [estimate_tokens(message.content) for message in request.messages]
    longest = max(range(len(sizes)), key=sizes.__getitem__, default=0)
    role = request.messages[longest].role if request.messages else "user"
    excess = max(1, prompt + least - context) if context is not None else max(1, prompt // 2)
    holds = f"{model} holds {context:,}" if context is not None else f"{model} holds less"
    size = len(request.messages[longest].content) if request.messages else 0
    error = PromptTooLong(
        f"the prompt has about {prompt:,} tokens and {least:,} are wanted for the reply, but {holds}: "
        f"cut about {excess:,} tokens from message {longest + 1} ({role}, {size:,} characters)",
        hint="smaller documents.chunk_tokens, fewer examples, or a model with a longer context",
    )
    error.excess_tokens = excess
    return error
