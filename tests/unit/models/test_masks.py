"""Masks and settled templates of the real families: what is trained is what generation has to write."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from families import FAMILIES, make_family, trl_template
from labtune.builtin import NANO
from labtune.errors import ModelError, TrainingError
from labtune.models.conversation import conversations
from labtune.models.hf import load_tokenizer
from labtune.models.masks import frame_of
from labtune.models.resolve import DAY, resolve_template
from labtune.models.template import (
    check_template,
    end_token,
    render_batch,
    render_ids,
    render_prompts,
    show_example,
)
from labtune.models.whole import render_unmasked
from labtune.types import Message

ENDS = {
    "llama3": "<|eot_id|>",
    "granite3": "<|end_of_text|>",
    "granite4": "<|end_of_text|>",
    "qwen3": "<|im_end|>",
    "mistral": "</s>",
    "phi4mini": "<|end|><|endoftext|>",
    "smollm": "<|im_end|>",
    "gptoss": "<|return|>",
}
ONE = (Message("user", "What colour is the sky?"), Message("assistant", "Blue."))
LONG = (
    Message("system", "Speak like a heron."),
    Message("user", "First?"),
    Message("assistant", "One."),
    Message("user", "Second?"),
    Message("assistant", "Two,\n\nand more. 天空"),
)


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("families")
    return {name: make_family(name, root / name) for name in FAMILIES}


@pytest.fixture(scope="module")
def tokenizers(folders):
    return {name: load_tokenizer(folder) for name, folder in folders.items()}


def trained_text(tokenizer, chat) -> str:
    ids, mask = render_ids(tokenizer, chat)
    return tokenizer.decode([token for token, flag in zip(ids, mask, strict=True) if flag])


@pytest.mark.parametrize("name", FAMILIES)
def test_the_answer_and_its_end_are_trained_and_nothing_else(tokenizers, name):
    tokenizer = tokenizers[name]
    assert trained_text(tokenizer, ONE).strip() == f"Blue.{ENDS[name]}"
    shown = show_example(check_template(tokenizer))
    assert shown.endswith((f"{ENDS[name]}]]", f"{ENDS[name]}]]\n"))
    assert tokenizer.decode([end_token(tokenizer)]) == re.findall(r"<[^<>]+>", ENDS[name])[-1]


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("chat", [ONE, LONG[1:3], LONG], ids=["one", "no-system", "long"])
def test_training_goes_on_exactly_where_the_prompt_of_generation_ends(tokenizers, name, chat):
    tokenizer = tokenizers[name]
    prompt = render_prompts(tokenizer, [chat[:-1]])[0]
    ids, mask = render_ids(tokenizer, chat)
    last = len(mask) - 1 - mask[::-1].index(1)
    assert ids[: len(prompt)] == prompt
    assert mask[len(prompt) : last + 1] == [1] * (last + 1 - len(prompt))
    assert ids[last] == end_token(tokenizer)
    for message in chat:
        assert message.content.split()[0] in tokenizer.decode(ids)


@pytest.mark.parametrize(
    ("name", "trained"),
    [
        ("llama3", ["One.<|eot_id|>", "Two,\n\nand more. 天空<|eot_id|>"]),
        ("phi4mini", ["One.<|end|>", "Two,\n\nand more. 天空<|end|><|endoftext|>"]),
        # In the history an answer ends with another token than the one by which generation stops.
        ("gptoss", ["One.", "Two,\n\nand more. 天空<|return|>"]),
        # In the history the empty think block is left out, so the first answer stands there otherwise.
        ("qwen3", ["Two,\n\nand more. 天空<|im_end|>"]),
    ],
)
def test_earlier_answers_are_trained_as_far_as_they_stand_there_as_generated(tokenizers, name, trained):
    tokenizer = tokenizers[name]
    ids, mask = render_ids(tokenizer, LONG)
    stretches, open_one = [], False
    for token, flag in zip(ids, mask, strict=True):
        if flag and not open_one:
            stretches.append([])
        if flag:
            stretches[-1].append(token)
        open_one = bool(flag)
    assert [tokenizer.decode(stretch) for stretch in stretches] == trained


MARKED = [
    ("llama3", "llama3", ""),
    ("phi4mini", "phi3", ""),
    ("qwen3", "qwen3_instruct_2507", "\n"),
    ("qwen3", "lfm2", "\n"),
]


@pytest.mark.parametrize(("family", "template", "tail"), MARKED, ids=[row[1] for row in MARKED])
def test_equal_to_templates_with_marks(folders, family, template, tail):
    """TRL's marked twins also train the line break behind the end token, which generation never writes."""
    plain, twin = (AutoTokenizer.from_pretrained(folders[family]) for _ in range(2))
    plain.chat_template, twin.chat_template = trl_template(template), trl_template(f"{template}_training")
    chats = [ONE, LONG[1:3], LONG[1:]]
    marked = twin.apply_chat_template(
        conversations(twin, chats), return_dict=True, return_assistant_tokens_mask=True
    )
    exact = render_batch(plain, chats)
    assert [ids for ids, _ in exact] == marked["input_ids"]
    assert any(sum(mask) for _, mask in exact)
    for (ids, mask), marks in zip(exact, marked["assistant_masks"], strict=True):
        assert all(one <= other for one, other in zip(mask, marks, strict=True))
        only_marked = [i for i in range(len(ids)) if marks[i] and not mask[i]]
        assert {plain.decode([ids[i]]) for i in only_marked} <= {tail}
        assert all(mask[i - 1] for i in only_marked)
    assert render_batch(twin, chats) == exact


def test_marks_that_also_train_the_role_are_cut(folders, tokenizers):
    """gpt-oss in TRL's marked form trains `<|start|>assistant`, which stands in the prompt already."""
    twin = AutoTokenizer.from_pretrained(folders["gptoss"])
    twin.chat_template = trl_template("gptoss_training")
    twin.chat_template = resolve_template(twin)
    assert frame_of(twin).marks == "cut"
    for chat in (ONE, LONG):
        assert trained_text(twin, chat) == trained_text(tokenizers["gptoss"], chat)
    check_template(twin)


@pytest.mark.parametrize("name", FAMILIES)
def test_users_turns_can_be_trained_too(tokenizers, name):
    (ids, mask), *_ = render_unmasked(tokenizers[name], [LONG])
    only_answers = render_ids(tokenizers[name], LONG)
    assert ids == only_answers[0]
    assert all(one >= other for one, other in zip(mask, only_answers[1], strict=True))
    text = tokenizers[name].decode([token for token, flag in zip(ids, mask, strict=True) if flag])
    assert text.count("First?") == text.count("Second?") == 1
    assert "heron" not in text


@settings(max_examples=25)
@given(question=st.text(max_size=30), answer=st.text(st.characters(codec="utf-8"), max_size=30))
@pytest.mark.parametrize("name", FAMILIES)
def test_no_content_moves_the_mask(tokenizers, name, question, answer):
    tokenizer = tokenizers[name]
    question = question.encode("utf-8", "ignore").decode()
    chat = (Message("user", f"Q {question}"), Message("assistant", f"A{answer}"))
    prompt = render_prompts(tokenizer, [chat[:1]])[0]
    ids, mask = render_ids(tokenizer, chat)
    assert ids[: len(prompt)] == prompt
    assert not any(mask[: len(prompt)])
    last = len(mask) - 1 - mask[::-1].index(1)
    assert all(mask[len(prompt) : last + 1])
    assert ids[last] == end_token(tokenizer)
    assert ids[len(prompt) :].count(end_token(tokenizer)) == 1


@pytest.mark.parametrize("name", FAMILIES)
def test_control_tokens_in_contents_stay_text(tokenizers, name):
    tokenizer = tokenizers[name]
    control = "".join(tokenizer.all_special_tokens)
    attack = (Message("user", f"x{control}y"), Message("assistant", f"no{control}"))
    harmless = (Message("user", "x y"), Message("assistant", "no"))
    counted = [
        [ids.count(token) for token in tokenizer.all_special_ids]
        for ids, _ in render_batch(tokenizer, [attack, harmless])
    ]
    assert counted[0] == counted[1]


@pytest.mark.parametrize("name", ["qwen3", "llama3", "smollm", "gptoss"])
def test_reasoning_before_an_answer_is_left_out(tokenizers, name):
    thought = Message("assistant", "<think>\nIs it day?\n</think>\n\nBlue.")
    chats = [(ONE[0], thought), ONE]
    rendered = render_batch(tokenizers[name], chats)
    assert rendered[0] == rendered[1]


@pytest.mark.parametrize("name", FAMILIES)
def test_the_settled_template_is_carried_by_the_checkpoint(tokenizers, name, tmp_path):
    """Whatever reads the saved folder without labtune renders the same prompt, on any day."""
    tokenizer = tokenizers[name]
    assert resolve_template(tokenizer) == tokenizer.chat_template
    tokenizer.save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    other = AutoTokenizer.from_pretrained(tmp_path)
    chat = conversations(other, [LONG[:-1]])[0]
    prompt = other.apply_chat_template(chat, add_generation_prompt=True)["input_ids"]
    assert prompt == render_prompts(tokenizer, [LONG[:-1]])[0]
    assert "strftime_now(" not in other.chat_template
    assert load_tokenizer(tmp_path).chat_template == tokenizer.chat_template


@pytest.mark.parametrize("name", ["llama3", "granite3", "smollm", "gptoss"])
def test_the_date_is_fixed(tokenizers, name):
    prompt = tokenizers[name].decode(render_prompts(tokenizers[name], [ONE[:1]])[0])
    assert DAY.strftime("%Y") in prompt
    assert "strftime_now(" not in tokenizers[name].chat_template


@pytest.mark.parametrize(
    ("name", "opening"),
    [
        ("qwen3", "<|im_start|>assistant\n<think>\n\n</think>\n\n"),
        ("smollm", "<|im_start|>assistant\n<think>\n\n</think>\n"),
        ("gptoss", "<|start|>assistant<|channel|>final<|message|>"),
    ],
)
def test_answers_begin_without_reasoning(tokenizers, name, opening):
    prompt = tokenizers[name].decode(render_prompts(tokenizers[name], [ONE[:1]])[0])
    assert prompt.endswith(opening)


def test_a_system_prompt_that_the_template_moves_or_refuses_opens_the_question(tokenizers, folders):
    mistral = tokenizers["mistral"]
    assert "Speak like a heron.\n\nFirst?" in mistral.decode(render_ids(mistral, LONG)[0])
    gemma = AutoTokenizer.from_pretrained(folders["qwen3"])
    gemma.chat_template = trl_template("gemma")
    gemma.chat_template = resolve_template(gemma)
    assert "Speak like a heron.\n\nFirst?" in gemma.decode(render_ids(gemma, LONG)[0])


@pytest.mark.parametrize("template", [NANO / "chat_template.jinja"])
def test_a_template_that_needs_nothing_stays_as_it_is(template):
    assert load_tokenizer(NANO).chat_template == template.read_text(encoding="utf-8")


def with_template(folders, template):
    tokenizer = AutoTokenizer.from_pretrained(folders["qwen3"])
    tokenizer.chat_template = template
    return tokenizer


LOOP = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
PROMPT = "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{% for m in messages %}", "refuses a chat"),
        ("{{ raise_exception('only tools') }}", "refuses a chat.*only tools"),
        ("{{ messages[7].content }}" + LOOP, "refuses a chat"),
        ("{% set f = '%Y' %}{{ strftime_now(f) }}" + LOOP + PROMPT, "asks for today's date"),
    ],
    ids=["no-jinja", "raises", "undefined", "clock"],
)
def test_templates_that_cannot_be_settled_are_refused_in_a_sentence(folders, template, message):
    with pytest.raises(ModelError, match=message) as caught:
        resolve_template(with_template(folders, template))
    assert caught.value.hint
    assert "\n" not in caught.value.message


def test_an_answer_that_would_grow_into_the_prompt_is_tokenised_apart(folders):
    tokenizer = with_template(folders, LOOP + PROMPT)
    chat = (ONE[0], Message("assistant", "\n\nBlue."))
    prompt = render_prompts(tokenizer, [chat[:1]])[0]
    ids, mask = render_ids(tokenizer, chat)
    whole = tokenizer(tokenizer.decode(ids), add_special_tokens=False)["input_ids"]
    assert whole != ids
    assert whole[: len(prompt)] != prompt
    assert ids[: len(prompt)] == prompt
    assert mask[len(prompt)] == 1
    assert trained_text(tokenizer, chat) == "\n\nBlue.<|im_end|>"


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("deepseek_r1_distill", "opens an answer differently in training than in generation"),
        ("deepseekv3", "opens an answer differently in training than in generation"),
        ("glm4moe", "would never learn to stop"),
    ],
)
def test_templates_that_cannot_be_trained_with_are_refused(folders, template, message):
    tokenizer = with_template(folders, trl_template(template))
    tokenizer.chat_template = resolve_template(tokenizer)
    with pytest.raises(TrainingError, match=message) as caught:
        check_template(tokenizer)
    assert caught.value.hint


def test_of_several_templates_the_default_is_taken(folders):
    named = {"default": LOOP + PROMPT, "tool_use": "{{ tools }}"}
    assert resolve_template(with_template(folders, named)) == LOOP + PROMPT
    with pytest.raises(ModelError, match="none of them is the default"):
        resolve_template(with_template(folders, {"rag": LOOP, "tool_use": LOOP}))


def test_turns_that_the_template_does_not_take_are_named(tokenizers):
    twice = [(Message("user", "a"), Message("user", "b"), Message("assistant", "c"))]
    with pytest.raises(ModelError, match=r"refuses a chat \(turns: user, user, assistant\).*take turns"):
        render_batch(tokenizers["mistral"], twice)
