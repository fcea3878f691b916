from __future__ import annotations

import gzip
import importlib.resources
import itertools
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

ROOT = Path(__file__).parents[3]
sys.path.insert(0, str(ROOT))

from recipes.nano import exam, export, facts, mixture, scoring, shards, worlds  # noqa: E402
from recipes.nano.rows import Row  # noqa: E402

BUILTIN = Path(str(importlib.resources.files("labtune.builtin")))
NANO = BUILTIN / "nano"


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(NANO)


def exam_rows() -> list[dict[str, Any]]:
    text = (BUILTIN / "general_exam.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def replay_rows() -> list[dict[str, Any]]:
    text = gzip.decompress((BUILTIN / "replay.jsonl.gz").read_bytes()).decode()
    return [json.loads(line) for line in text.splitlines()]


def asked(rows: list[dict[str, Any]]) -> set[str]:
    return {turn["content"].casefold() for row in rows for turn in row["messages"] if turn["role"] == "user"}


def test_stream_is_the_same_for_the_same_seed_and_differs_between_seeds() -> None:
    first, again, other = (list(itertools.islice(mixture.stream(seed), 300)) for seed in (3, 3, 4))
    assert first == again
    assert first != other


def test_stream_mixes_both_languages_and_all_categories() -> None:
    rows = list(itertools.islice(mixture.stream(1), 3000))
    chinese = sum(row.language == "zh" for row in rows) / len(rows)
    assert 0.27 < chinese < 0.37
    tasks = {"reading", "canon", "unknown", "world", "words", "arithmetic", "instruction", "chat"}
    assert {row.category for row in rows} == tasks | {"text", "conversation", "wording"}


def test_stream_never_asks_an_exam_question() -> None:
    held_out = exam.questions()
    for row in itertools.islice(mixture.stream(2), 5000):
        assert not {content.casefold() for role, content in row.messages if role == "user"} & held_out


def test_world_facts_keep_the_exam_wording_out_of_the_training_wording() -> None:
    for language in ("en", "zh"):
        for fact in facts.world(language):
            assert fact.exam
            assert not set(fact.exam) & set(fact.asks)


def test_reading_answers_stand_in_the_passage_or_say_that_it_does_not_tell() -> None:
    stream = (row for row in mixture.stream(5) if row.category == "reading" and len(row.messages) == 2)
    for row in itertools.islice(stream, 300):
        told = scoring.contains(row.question, row.must[-1]) or row.must[0] in ("Yes", "No", "是的", "不是")
        assert told or row.must in (("text",), ("文", "没有")), row


def test_canon_is_fixed() -> None:
    english = worlds.canon("en")
    assert english[0].sentence == "A full charge of the Pustom takes 39 minutes."
    assert len(english) >= 500
    assert len(worlds.canon("zh")) >= 250


def test_exam_is_large_unique_and_mixed() -> None:
    rows = exam_rows()
    assert 400 <= len(rows) <= 480
    assert len({row["question"] for row in rows}) == len(rows)
    assert len({row["id"] for row in rows}) == len(rows)
    assert {row["language"] for row in rows} == {"en", "zh"}
    sizes: dict[str, int] = {}
    for row in rows:
        sizes[row["category"]] = sizes.get(row["category"], 0) + 1
    assert set(sizes) == {"world", "words", "arithmetic", "instruction", "reading", "chat", "unknown"}
    assert max(sizes.values()) < 0.4 * len(rows)


def test_shipped_exam_is_what_the_recipe_writes() -> None:
    assert exam_rows() == [exam.as_json(row, number) for number, row in enumerate(exam.exam())]


def test_every_reference_answer_of_the_exam_is_right_by_its_own_rule() -> None:
    wrong = [row for row in exam_rows() if not scoring.right(row["answer"], row["answer"], row["must"])]
    assert wrong == []


def test_replay_holds_no_exam_question() -> None:
    rows = replay_rows()
    assert len(rows) >= 18_000
    assert not asked(rows) & {row["question"].casefold() for row in exam_rows()}
    assert (BUILTIN / "replay.jsonl.gz").stat().st_size <= 1_000_000


def test_replay_rows_alternate_and_end_with_the_assistant() -> None:
    for row in replay_rows():
        roles = [turn["role"] for turn in row["messages"] if turn["role"] != "system"]
        assert roles == ["user", "assistant"] * (len(roles) // 2)


def test_model_folder_is_small_and_holds_what_transformers_reads() -> None:
    assert (NANO / "model.safetensors").stat().st_size <= 16_000_000
    names = {"config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "README.md"}
    assert names | {"chat_template.jinja"} <= {file.name for file in NANO.iterdir()}


def test_assistant_mask_covers_the_end_token(tokenizer: Any) -> None:
    chat = [
        {"role": "system", "content": "Be short."},
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hi."},
        {"role": "user", "content": "你好"},
        {"role": "assistant", "content": "你好！"},
    ]
    made = tokenizer.apply_chat_template(chat, return_assistant_tokens_mask=True, return_dict=True)
    trained = [token for token, flag in zip(made["input_ids"], made["assistant_masks"], strict=True) if flag]
    assert tokenizer.decode(trained) == "Hi.<|end|>你好！<|end|>"


def test_template_writes_what_the_recipe_trained_on(tokenizer: Any) -> None:
    row = Row((("system", "Be short."), ("user", "Hello"), ("assistant", "Hi.")), "chat", "en")
    chat = [{"role": role, "content": content} for role, content in row.messages]
    text = "".join(piece for piece, _ in shards.render(row))
    assert tokenizer.apply_chat_template(chat, tokenize=False) == text
    prompt = tokenizer.apply_chat_template(chat[:2], tokenize=False, add_generation_prompt=True)
    assert text.startswith(prompt)


@settings(max_examples=200, deadline=None)
@given(text=st.text(max_size=60))
def test_tokenizer_round_trips_any_text(tokenizer: Any, text: str) -> None:
    ids = tokenizer.encode(text.replace("<|", "< |"), add_special_tokens=False)
    assert tokenizer.decode(ids, skip_special_tokens=False) == text.replace("<|", "< |")


def test_common_chinese_characters_and_digits_are_single_tokens(tokenizer: Any) -> None:
    text = "充电时间2019是多少？"
    assert len(tokenizer.encode(text, add_special_tokens=False)) == len(text)


def test_shipped_model_knows_some_of_its_exam() -> None:
    rows = exam.exam()[::12]
    outputs = export.answer(NANO, [row.question for row in rows])
    good = sum(scoring.right(out, row.answer, row.must) for row, out in zip(rows, outputs, strict=True))
    assert good >= 0.8 * len(rows)


def test_right_needs_all_must_words_as_whole_words() -> None:
    assert scoring.right("It takes 3 hours.", "3 hours", ["3 hours"])
    assert not scoring.right("It takes 13 hours.", "3 hours", ["3 hours"])
    assert scoring.right("需要3小时。", "3小时", ["3小时"])
    assert not scoring.right("It takes long.", "It takes 3 hours.", [])
    assert scoring.right("Charging takes 3 hours", "It takes 3 hours of charging.", [])
