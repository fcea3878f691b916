"""Replies and likelihoods of a real (tiny) model against plain transformers and arithmetic by hand."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from labtune.errors import ModelError
from labtune.models.hf import HfChatModel
from labtune.models.template import render_prompts
from labtune.protocols import LikelihoodModel, Sampling
from labtune.types import Message

QUESTIONS = ["Hi", "What colour is the sky?", "Where does the bird live? " * 3, "天空是什么颜色？", "Who?"]
CHATS = [[Message("user", question)] for question in QUESTIONS]


@pytest.fixture(scope="module")
def model(tiny_student):
    return HfChatModel.load(tiny_student, name="tiny", device="cpu")


@pytest.fixture(scope="module")
def plain(tiny_student):
    loaded = AutoModelForCausalLM.from_pretrained(tiny_student, dtype=torch.float32).eval()
    return loaded, AutoTokenizer.from_pretrained(tiny_student)


def test_is_a_likelihood_model(model):
    assert isinstance(model, LikelihoodModel)
    assert model.name == "tiny"


def test_greedy_replies_equal_those_of_transformers_generate_one_by_one(model, plain):
    loaded, tokenizer = plain
    replies = model.complete(CHATS, Sampling(max_tokens=24))
    for chat, reply in zip(CHATS, replies, strict=True):
        ids = torch.tensor(render_prompts(tokenizer, [chat]))
        with torch.inference_mode():
            out = loaded.generate(
                ids, attention_mask=torch.ones_like(ids), max_new_tokens=24, do_sample=False
            )
        new = out[0, ids.shape[1] :].tolist()
        assert reply.text == tokenizer.decode(new, skip_special_tokens=True)
        assert reply.n_tokens == len(new)
        assert reply.stopped == (new[-1] == tokenizer.eos_token_id)
        assert reply.n_prompt_tokens == ids.shape[1]


@pytest.mark.parametrize(
    "sampling", [Sampling(max_tokens=12), Sampling(max_tokens=12, temperature=1.0, seed=7)]
)
def test_reply_does_not_depend_on_its_neighbours(model, sampling):
    together = model.complete(CHATS, sampling)
    assert together == [model.complete([chat], sampling)[0] for chat in CHATS]
    assert together[::-1] == model.complete(CHATS[::-1], sampling)


def test_seed_decides_what_is_drawn(model):
    draw = lambda seed: [r.text for r in model.complete(CHATS, Sampling(12, temperature=1.0, seed=seed))]  # noqa: E731
    assert draw(1) == draw(1)
    assert draw(1) != draw(2)


def test_tiny_top_p_leaves_only_the_likeliest_token(model):
    greedy = model.complete(CHATS, Sampling(max_tokens=10))
    assert greedy == model.complete(CHATS, Sampling(max_tokens=10, temperature=0.7, top_p=1e-6))


def test_streamed_pieces_join_to_the_reply(model):
    for chat in CHATS:
        sampling = Sampling(max_tokens=20)
        pieces = list(model.stream(chat, sampling))
        assert "".join(pieces) == model.complete([chat], sampling)[0].text


def test_stops_at_the_end_token_and_says_so(tiny_student, tmp_path):
    folder = shutil.copytree(tiny_student, tmp_path / "student")
    loaded = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    end = AutoTokenizer.from_pretrained(folder).convert_tokens_to_ids("<|end|>")
    model = HfChatModel.load(folder, name="ends", device="cpu")
    with torch.no_grad():
        # Every position now predicts the end token: the final norm's output is one constant direction.
        model.model.model.norm.weight.zero_()
        model.model.lm_head.bias = torch.nn.Parameter(torch.zeros(loaded.config.vocab_size))
        model.model.lm_head.bias[end] = 5.0
    replies = model.complete(CHATS, Sampling(max_tokens=8))
    assert [(reply.text, reply.stopped, reply.n_tokens) for reply in replies] == [("", True, 1)] * len(CHATS)
    assert list(model.stream(CHATS[0], Sampling(max_tokens=8))) == []


def test_loglikelihood_is_the_mean_over_answer_and_end_token(model, plain):
    loaded, tokenizer = plain
    answers = ["Blue.", "The sky is blue and deep.", "", "蓝色", "I do not know"]
    scores = model.loglikelihoods(CHATS, answers)
    for chat, answer, score in zip(CHATS, answers, scores, strict=True):
        prompt = f"<|user|>{chat[0].content}<|end|><|assistant|>"
        start = len(tokenizer(prompt, add_special_tokens=False)["input_ids"])
        ids = tokenizer(f"{prompt}{answer}<|end|>", add_special_tokens=False)["input_ids"]
        with torch.inference_mode():
            table = loaded(torch.tensor([ids])).logits[0].double().log_softmax(-1)
        by_hand = [float(table[at - 1, ids[at]]) for at in range(start, len(ids))]
        assert score == pytest.approx(sum(by_hand) / len(by_hand), abs=1e-4)


def test_only_the_last_answer_of_a_longer_chat_is_scored(model):
    chat = [*CHATS[1], Message("assistant", "Blue."), Message("user", "Sure?")]
    alone = model.loglikelihoods([chat], ["Yes."])[0]
    both = model.loglikelihoods([chat, CHATS[0]], ["Yes.", "No."])
    assert both[0] == pytest.approx(alone, abs=1e-5)
    assert len(both) == 2


def test_no_chats_no_replies(model):
    assert model.complete([], Sampling()) == []
    assert model.loglikelihoods([], []) == []


def test_chat_longer_than_the_context_is_a_clear_error(model):
    with pytest.raises(ModelError, match="does not fit the 256 tokens"):
        model.complete([[Message("user", "word " * 400)]], Sampling())


def test_missing_folder(tmp_path):
    with pytest.raises(ModelError, match="no model folder"):
        HfChatModel.load(tmp_path / "nowhere", name="x")


def test_truncated_weights(tiny_student, tmp_path):
    folder = shutil.copytree(tiny_student, tmp_path / "student")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    with pytest.raises(ModelError, match="damaged"):
        HfChatModel.load(folder, name="x")


def test_weights_of_another_shape(tiny_student, tmp_path):
    folder = shutil.copytree(tiny_student, tmp_path / "student")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 3}))
    with pytest.raises(ModelError, match="do not fit its config"):
        HfChatModel.load(folder, name="x")


def test_tokenizer_of_another_model(tiny_student, tmp_path):
    from tiny_model import make_tiny_student

    folder = shutil.copytree(tiny_student, tmp_path / "student")
    other = make_tiny_student(tmp_path / "other", vocabulary=400)
    shutil.copy(other / "tokenizer.json", folder / "tokenizer.json")
    with pytest.raises(ModelError, match="is not this model's"):
        HfChatModel.load(folder, name="x")


@pytest.mark.parametrize("content", ["{", "[]", "null"])
def test_malformed_config(tiny_student, tmp_path, content):
    folder = shutil.copytree(tiny_student, tmp_path / "student")
    (folder / "config.json").write_text(content)
    with pytest.raises(ModelError):
        HfChatModel.load(folder, name="x")


def test_code_in_a_model_folder_is_not_run(tiny_student, tmp_path):
    folder = shutil.copytree(tiny_student, tmp_path / "student")
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "evil", "auto_map": {"AutoConfig": "evil.C", "AutoModelForCausalLM": "evil.M"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    with pytest.raises(ModelError):
        HfChatModel.load(folder, name="x")
    assert not (tmp_path / "ran").exists()
