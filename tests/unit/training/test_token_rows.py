"""What of a row is trained, token by token, on the real nano tokenizer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from labtune.artifact import Dataset, write_json, write_jsonl
from labtune.builtin import NANO
from labtune.errors import TrainingError
from labtune.models.hf import load_tokenizer
from labtune.models.template import render_batch
from labtune.models.whole import render_texts, render_unmasked
from labtune.training.rows import IGNORED, TokenRows, read_rows
from labtune.types import Message

CHAT = (
    Message("system", "Be brief."),
    Message("user", "Manual\nThe tank holds 260 ml.\n\nHow much does the tank hold?"),
    Message("assistant", "260 ml."),
    Message("user", "user"),
    Message("assistant", "谢谢，朋友！"),
)


@pytest.fixture(scope="module")
def nano() -> Any:
    return load_tokenizer(NANO)


def trained_text(tokenizer: Any, ids: list[int], mask: list[int]) -> list[str]:
    """The trained stretches of a row as text."""
    runs: list[list[int]] = []
    for place, (token, flag) in enumerate(zip(ids, mask, strict=True)):
        if flag:
            if not place or not mask[place - 1]:
                runs.append([])
            runs[-1].append(token)
    return [tokenizer.decode(run) for run in runs]


def test_unmask_trains_what_the_user_says_and_nothing_of_the_frame(nano: Any) -> None:
    [(ids, mask)] = render_unmasked(nano, [CHAT])
    [(usual_ids, usual_mask)] = render_batch(nano, [CHAT])
    assert ids == usual_ids
    assert trained_text(nano, ids, usual_mask) == ["260 ml.<|end|>", "谢谢，朋友！<|end|>"]
    assert trained_text(nano, ids, mask) == [
        "Manual\nThe tank holds 260 ml.\n\nHow much does the tank hold?",
        "260 ml.<|end|>",
        "user",
        "谢谢，朋友！<|end|>",
    ]


def test_a_turn_that_spells_tokens_or_blanks_is_found_in_its_place(nano: Any) -> None:
    chat = (Message("user", "  <|user|> says <|end|> 🏔 "), Message("assistant", "<|user|>"))
    [(ids, mask)] = render_unmasked(nano, [chat])
    assert "".join(trained_text(nano, ids, mask)).replace(" ", "") == "<|user|>says<|end|>🏔<|user|><|end|>"
    special = set(nano.all_special_ids)
    assert [nano.decode([t]) for t, flag in zip(ids, mask, strict=True) if flag and t in special] == [
        "<|end|>"
    ]


def test_a_template_that_rewrites_turns_is_refused(nano: Any) -> None:
    template = nano.chat_template
    try:
        nano.chat_template = template.replace(
            "<|user|>{{ message['content'] }}", "<|user|>{{ message['content'] | upper }}"
        )
        with pytest.raises(TrainingError, match="rewrites what a turn says"):
            render_unmasked(nano, [CHAT])
        nano.chat_template = template.replace(
            "<|user|>{{ message['content'] }}", "<|user|>{{ message['content'] | trim }}"
        )
        chat = (Message("user", " hi there "), Message("assistant", "yes"))
        [(ids, mask)] = render_unmasked(nano, [chat])
        assert trained_text(nano, ids, mask) == ["hi there", "yes<|end|>"]
    finally:
        nano.chat_template = template


def test_a_plain_text_is_trained_to_its_end_token(nano: Any) -> None:
    [(ids, mask), (other, _)] = render_texts(nano, ["The tank holds 260 ml.", "a <|user|> b"])
    assert nano.decode(ids) == "The tank holds 260 ml.<|end|>"
    assert mask == [1] * len(ids)
    assert nano.convert_tokens_to_ids("<|user|>") not in other
    assert render_texts(nano, []) == []


def read(folder: Path, nano: Any, rows: list[dict[str, Any]], max_length: int = 512) -> TokenRows:
    write_json(folder / "phases.json", ["skills"])
    common = {"leaf": "a", "origin": "sample", "n_tokens": 1}
    write_jsonl(folder / "skills.jsonl", [{"id": f"r{n}", **common, **row} for n, row in enumerate(rows)])
    return read_rows(Dataset(folder), "skills", nano, max_length=max_length)


def chat_row(question: str, answer: str, **fields: Any) -> dict[str, Any]:
    return {
        "messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}],
        **fields,
    }


def test_rows_of_all_kinds_keep_their_order_and_their_labels(tmp_path: Path, nano: Any) -> None:
    rows = read(
        tmp_path,
        nano,
        [
            {"text": "Plain words stand here."},
            chat_row("What is it?", "A pump.", unmask=True),
            chat_row("What is it?", "A pump."),
            {"text": "More."},
        ],
    )
    texts = [
        nano.decode([int(label) for label in rows.labels[start:end] if label != IGNORED])
        for start, end in zip(rows.starts[:-1], rows.starts[1:], strict=True)
    ]
    # The first token of a row has nothing before it that could predict it.
    assert texts[0].endswith("words stand here.<|end|>")
    assert texts[1:3] == ["What is it?A pump.<|end|>", "A pump.<|end|>"]
    assert rows.trained[0] == rows.lengths[0] - 1
    assert rows.trained[1] > rows.trained[2]
    assert rows.first == (Message("user", "What is it?"), Message("assistant", "A pump."))


def test_a_long_text_is_cut_where_a_long_chat_is_left_out(tmp_path: Path, nano: Any) -> None:
    text = " ".join(f"House {number} is old." for number in range(60))
    rows = read(tmp_path, nano, [{"text": text}, chat_row(text, "Yes."), chat_row("Is it?", "Yes.")], 64)
    assert rows.too_long == 1
    assert max(rows.lengths) <= 64
    *pieces, _ = rows.lengths
    assert max(pieces) - min(pieces) <= len(pieces)
    [(whole, _)] = render_texts(nano, [text])
    assert rows.ids[: sum(pieces)].tolist() == whole


def test_a_phase_of_texts_alone_has_no_chat_to_show(tmp_path: Path, nano: Any) -> None:
    assert read(tmp_path, nano, [{"text": "Only words."}]).first == ()
