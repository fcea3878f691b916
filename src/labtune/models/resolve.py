"""The chat template that a student is tuned, asked, served and exported with, settled once when it is loaded.

What families write differs between training and generation, from day to day, or with the way a server calls
it. The settled template is the same text with these things fixed in itself, so that every engine that reads
it does the same:

- the clock: calls for today's date become a fixed day, or yesterday's prompts would not be today's;
- thinking: where a template can switch it off, it is off, and what an answer without reasoning opens with (an
  empty think block, a channel) is part of the prompt. The rows that labtune makes hold no reasoning;
- the system prompt: a template that refuses it, drops it or puts it elsewhere once the answer is there gets
  it as the beginning of the first question.

A template that needs none of this stays as it is, byte by byte; settling twice changes nothing.
"""

from __future__ import annotations

import re
from datetime import date
from typing import Any

from labtune.errors import ModelError
from labtune.models.conversation import Conversation, chat_texts
from labtune.models.masks import answer_frame

DAY = date(2026, 1, 1)
"""The day that templates are fixed to: any would do, but models believe it to be after what they know."""

THINKING_OFF = "{% set enable_thinking = false %}"
SYSTEM_INTO_QUESTION = (
    "{% if messages[1:] and messages[0]['role'] == 'system' and messages[1]['role'] == 'user' %}"
    "{% set question = messages[0]['content'] + '\\n\\n' + messages[1]['content'] %}"
    "{% set messages = [{'role': 'user', 'content': question}] + messages[2:] %}{% endif %}"
)

# llama.cpp's server hands today in under this name, which Llama 3 templates prefer to their own.
DATE_GIVEN = f"{{% set date_string = '{DAY.strftime('%d %b %Y')}' %}}"

_CLOCK = re.compile(r"""strftime_now\(\s*(?P<quote>['"])(?P<format>[^'"\\]*)(?P=quote)\s*\)""")
_SYSTEM_PROBE: Conversation = [
    {"role": "system", "content": "Speak like a heron."},
    {"role": "user", "content": "What colour is the sky?"},
    {"role": "assistant", "content": "Blue."},
]


def resolve_template(tokenizer: Any) -> str:
    """The settled text of a tokenizer's chat template. The tokenizer itself is not changed.

    Raises:
        ModelError: several have names and none is the default, it is not valid Jinja, refuses a plain
            question, or asks for the date in a way that cannot be fixed.
    """
    try:
        template: str = tokenizer.get_chat_template()
    except ValueError as error:
        raise ModelError(
            "the student's tokenizer has several chat templates and none of them is the default",
            hint="keep one of them as chat_template.jinja in the student's folder",
        ) from error
    template = _without_clock(template)
    if re.search(r"\benable_thinking\b", template) and THINKING_OFF not in template:
        template = THINKING_OFF + template
    template = _with_opening(tokenizer, template)
    if not _keeps_system(tokenizer, template):
        folded = SYSTEM_INTO_QUESTION + template
        template = folded if _keeps_system(tokenizer, folded) else template
    return template


def _without_clock(template: str) -> str:
    def fixed(match: re.Match[str]) -> str:
        return f"{match['quote']}{DAY.strftime(match['format'])}{match['quote']}"

    template = _CLOCK.sub(fixed, template)
    if "strftime_now(" in template:
        raise ModelError(
            "the student's chat template asks for today's date in a way that cannot be fixed, so the tuned "
            "model would be asked otherwise than it was tested",
            hint="write the date into chat_template.jinja in the student's folder",
        )
    if re.search(r"\bdate_string\b", template) and DATE_GIVEN not in template:
        template = DATE_GIVEN + template
    return template


def _with_opening(tokenizer: Any, template: str) -> str:
    """Let the prompt also write what would open every answer; white space is left to the answer's token."""
    opening = (answer_frame(tokenizer, template) or ("", ""))[0]
    if not opening.strip():
        return template
    quoted = opening.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n")
    # Jinja drops one line break at the very end of a template, which is no longer the end.
    longer = (
        template.removesuffix("\n") + f"{{% if add_generation_prompt %}}{{{{ '{quoted}' }}}}{{% endif %}}"
    )
    found = answer_frame(tokenizer, longer)
    return longer if found is not None and not found[0] else template


def _keeps_system(tokenizer: Any, template: str) -> bool:
    try:
        prompt = chat_texts(tokenizer, [_SYSTEM_PROBE[:2]], prompt=True, template=template)[0]
        whole = chat_texts(tokenizer, [_SYSTEM_PROBE], template=template)[0]
    except ModelError:
        return False
    return _SYSTEM_PROBE[0]["content"] in prompt and whole.startswith(prompt)
