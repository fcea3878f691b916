"""Tokenizers in llama.cpp's words: pre-tokeniser found by doing, special tokens, templates, Ollama's form."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.families import make_family, make_tokenizer

from labtune.builtin import NANO
from labtune.errors import ExportError
from labtune.export.modelfile import find_frames, write_modelfile
from labtune.export.pretokenizers import choose_pretokenizer
from labtune.export.vocabulary import plain_template, read_vocabulary
from labtune.models.conversation import chat_texts, conversations
from labtune.models.hf import load_tokenizer
from labtune.types import Message


def _with_pattern(folder: Path, pattern: str) -> str:
    make_tokenizer("qwen3", folder)
    value = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    value["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = pattern
    return json.dumps(value)


def test_the_built_in_student_is_cut_the_same_by_a_pre_tokeniser_of_another_name() -> None:
    choice = choose_pretokenizer((NANO / "tokenizer.json").read_text(encoding="utf-8"))
    assert choice.name == "llama-bpe"
    assert choice.differing == ()


def test_a_tokenizer_that_llama_cpp_cannot_follow_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"no pre-tokeniser of llama.cpp cuts text"):
        choose_pretokenizer(_with_pattern(tmp_path, r"\p{L}|[^\p{L}]"))


def test_an_odd_difference_is_told_and_does_not_stop() -> None:
    # Prompts count as plain text: what the exam asks must be the same.
    text = (NANO / "tokenizer.json").read_text(encoding="utf-8")
    value = json.loads(text)
    value["normalizer"] = {"type": "Replace", "pattern": {"String": "~~~~"}, "content": "~"}
    assert choose_pretokenizer(json.dumps(value)).differing
    with pytest.raises(ExportError, match="~~~~"):
        choose_pretokenizer(json.dumps(value), ["what is ~~~~?"])


@pytest.mark.parametrize(
    ("name", "stops", "bos"),
    [
        ("llama3", ("<|eot_id|>", "<|end_of_text|>"), True),
        ("granite3", ("<|end_of_text|>",), False),
        ("qwen3", ("<|im_end|>", "<|endoftext|>"), False),
        ("mistral", ("</s>",), True),
        ("phi4mini", ("<|endoftext|>", "<|end|>"), False),
        ("smollm", ("<|im_end|>",), False),
    ],
)
def test_a_family_ends_its_replies_where_it_was_trained_to(
    name: str, stops: tuple[str, ...], bos: bool, tmp_path: Path
) -> None:
    make_family(name, tmp_path)
    tokenizer = load_tokenizer(tmp_path)
    found = read_vocabulary(tmp_path, tokenizer, 640)
    assert set(stops) <= set(found.stops)
    assert found.add_bos is bos
    assert len(found.tokens) == len(set(found.tokens)) == 640


def test_generation_marks_go_and_white_space_stays() -> None:
    assert plain_template("a {%- generation -%} b{% endgeneration +%}c") == "a {%- if true -%} b{% endif +%}c"


def _render(folder: Path) -> object:
    tokenizer = load_tokenizer(folder)
    return lambda chat: chat_texts(tokenizer, conversations(tokenizer, [chat]), prompt=True)[0]


def test_a_modelfile_writes_chats_as_the_template_does(tmp_path: Path) -> None:
    make_family("llama3", tmp_path)
    tokenizer = load_tokenizer(tmp_path)
    text = write_modelfile("m.gguf", read_vocabulary(tmp_path, tokenizer, 640), _render(tmp_path), 512)
    assert text.startswith('FROM ./m.gguf\nTEMPLATE """{{ if .System }}<|start_header_id|>system')
    # The beginning of text is put in front by the engine.
    assert "<|begin_of_text|>" not in text
    assert 'PARAMETER stop "<|eot_id|>"\n' in text
    assert "PARAMETER num_ctx 512\n" in text


def test_frames_render_what_the_template_renders() -> None:
    render = _render(NANO)
    frames = find_frames(render)
    chat = (
        Message("system", "Kurz."), Message("user", "a"), Message("assistant", "b"), Message("user", "c"),
    )  # fmt: skip
    assert frames is not None
    assert frames.render(chat) == render(chat)


def test_a_template_that_counts_has_no_frames(tmp_path: Path) -> None:
    def counting(chat: Sequence[Message]) -> str:
        return f"{len(chat)}:" + "|".join(turn.content for turn in chat)

    assert find_frames(counting) is None
    tokenizer = load_tokenizer(NANO)
    text = write_modelfile("m.gguf", read_vocabulary(NANO, tokenizer, 5120), counting, 1024)
    assert "TEMPLATE" not in text
    assert "no exact form" in text
