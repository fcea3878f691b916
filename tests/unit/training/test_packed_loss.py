"""The loss over a line of rows is that of the rows one by one, for every family, and holds no logits."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from tests.families import FAMILIES, make_family
from torch.nn.functional import cross_entropy
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import AutoModelForCausalLM, Gemma2Config, Gemma2ForCausalLM

from labtune.models.head import can_project_later, chunked_loss
from labtune.models.hf import load_weights
from labtune.training.attention import RowLayout, fits_varlen
from labtune.training.loss import PackedLoss, carries_state, layers_of
from labtune.training.replicas import Replicas

LENGTHS = (9, 31, 12, 5, 30, 1, 22)


def line(vocabulary: int, lengths: tuple[int, ...] = LENGTHS) -> dict[str, torch.Tensor]:
    """Rows of random tokens; of each about half is trained, beginning in the middle."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(5, vocabulary, (1, sum(lengths)), generator=generator)
    positions = torch.cat([torch.arange(length) for length in lengths])[None]
    middles = torch.cat([torch.full((length,), max(1, length // 2)) for length in lengths])[None]
    return {
        "input_ids": ids,
        "labels": torch.where(positions < middles, -100, ids),
        "position_ids": positions,
    }


def row_by_row(model: Any, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """The plain way: each row alone through the model as transformers has it, all logits, no packing."""
    total = torch.zeros(())
    begins = (batch["position_ids"][0] == 0).nonzero().flatten().tolist()
    for begin, end in itertools.pairwise([*begins, batch["input_ids"].shape[1]]):
        ids, labels = batch["input_ids"][:, begin:end], batch["labels"][0, begin:end]
        logits = model(input_ids=ids, use_cache=False).logits[0]
        total = total + cross_entropy(logits[:-1].float(), labels[1:], reduction="sum")
    return total


def gradients(model: Any) -> dict[str, torch.Tensor]:
    return {name: w.grad.clone() for name, w in model.named_parameters() if w.grad is not None}


def assert_same_gradients(model: Any, expected: dict[str, torch.Tensor]) -> None:
    found = gradients(model)
    assert found.keys() == expected.keys()
    largest = max(gradient.abs().max().item() for gradient in expected.values())
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-3, atol=1e-5 * largest, msg=name)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_line_of_rows_has_loss_and_gradients_of_the_rows_alone(family, tmp_path):
    folder = make_family(family, tmp_path / family)
    plain = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).train()
    batch = line(plain.get_input_embeddings().weight.shape[0])
    expected = row_by_row(plain, batch)
    torch.autograd.backward(expected)
    model = load_weights(folder).train()
    loss, trained, _ = PackedLoss(model)(model, batch)
    torch.autograd.backward(loss)
    assert trained == int((batch["labels"] != -100).sum())
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert_same_gradients(model, gradients(plain))


@pytest.mark.parametrize("family", ["llama3", "granite4"])
def test_projecting_within_the_models_own_forward_gives_the_same_loss(family, tmp_path):
    folder = make_family(family, tmp_path / family)
    model = load_weights(folder).eval()
    batch = line(model.get_input_embeddings().weight.shape[0])
    with torch.no_grad():
        apart = PackedLoss(model)(model, batch)[0]
        within = PackedLoss(model, within=True)(model, batch)[0]
    assert within.item() == pytest.approx(apart.item(), rel=1e-5)


def test_what_is_compiled_are_the_blocks_that_a_model_repeats(tiny_student):
    assert [type(layer).__name__ for layer in layers_of(load_weights(tiny_student))] == [
        "LlamaDecoderLayer"
    ] * 2


def test_only_models_that_carry_a_state_take_rows_one_below_the_other():
    assert carries_state({"model_type": "granitemoehybrid", "layer_types": ["mamba", "attention"]})
    assert carries_state({"model_type": "qwen3_next", "layer_types": ["linear_attention", "full_attention"]})
    assert carries_state({"model_type": "mamba2"})
    assert not carries_state({"model_type": "qwen3", "layer_types": ["full_attention", "sliding_attention"]})
    assert not carries_state({"model_type": "gemma3", "text_config": {"model_type": "gemma3_text"}})


def test_a_plain_llama_goes_its_own_way_to_the_same_loss_and_gradients(tiny_student):
    batch = line(300)
    own, general = load_weights(tiny_student).train(), load_weights(tiny_student).train()
    of_own, of_general = PackedLoss(own), PackedLoss(general)
    # Activations that are computed again need the model's own layers.
    general.activation_checkpointing_enable()
    losses = []
    for model, loss_of in ((own, of_own), (general, of_general)):
        loss, _, out = loss_of(model, batch)
        torch.autograd.backward(loss)
        losses.append((loss.item(), type(out).__name__))
    assert losses[0][1] != losses[1][1]
    assert losses[0][0] == pytest.approx(losses[1][0], rel=1e-6)
    assert_same_gradients(own, gradients(general))


def test_a_line_without_anything_to_learn_gives_zero_gradients(tiny_student):
    model = load_weights(tiny_student).train()
    batch = line(300, (1,))
    loss, trained, _ = PackedLoss(model)(model, batch)
    torch.autograd.backward(loss)
    assert (loss.item(), trained) == (0.0, 0)
    assert all(not gradient.any() for gradient in gradients(model).values())


def test_rows_shared_out_to_copies_give_the_gradients_of_the_whole_line(tiny_student):
    batch = line(300)
    whole, copied = load_weights(tiny_student).train(), load_weights(tiny_student).train()
    loss, _, _ = PackedLoss(whole)(whole, batch)
    torch.autograd.backward(loss)
    loss_of = PackedLoss(copied)
    shared = Replicas(copied, 3).backward(batch, lambda model, part: loss_of(model, part)[0])
    assert shared.item() == pytest.approx(loss.item(), rel=1e-6)
    assert_same_gradients(copied, gradients(whole))


@pytest.mark.parametrize("bias", [False, True])
def test_chunked_loss_is_the_plain_one_to_1e5_and_never_holds_all_logits(bias):
    torch.manual_seed(0)
    tokens, vocabulary = 300, 1 << 15
    head = torch.nn.Linear(8, vocabulary, bias=bias)
    hidden = torch.randn(tokens, 8, requires_grad=True)
    targets = torch.randint(0, vocabulary, (tokens,))
    with _Largest(vocabulary) as seen:
        loss = chunked_loss(hidden, head, targets)
        torch.autograd.backward(loss / 7)
    found = [hidden.grad, *(weight.grad for weight in head.parameters())]
    hidden.grad, head.weight.grad = None, None
    if bias:
        head.bias.grad = None
    plain = cross_entropy(head(hidden), targets, reduction="sum")
    torch.autograd.backward(plain / 7)
    expected = [hidden.grad, *(weight.grad for weight in head.parameters())]
    assert loss.item() == pytest.approx(plain.item(), rel=1e-5)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)
    assert 0 < seen.rows < tokens / 2


class _Largest(TorchDispatchMode):
    """Notes the most rows of any tensor as wide as the vocabulary."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width, self.rows = width, 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        if isinstance(out, torch.Tensor) and out.ndim == 2 and out.shape[1] == self.width:
            self.rows = max(self.rows, out.shape[0])
        return out


def test_a_frozen_projection_gets_no_gradient():
    head = torch.nn.Linear(4, 50, bias=False).requires_grad_(False)
    hidden = torch.randn(6, 4, requires_grad=True)
    torch.autograd.backward(chunked_loss(hidden, head, torch.arange(6)))
    assert head.weight.grad is None
    assert hidden.grad is not None


def test_soft_capped_logits_are_projected_in_the_model_itself():
    torch.manual_seed(0)
    config = Gemma2Config(
        vocab_size=90, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, head_dim=16, sliding_window=8, final_logit_softcapping=0.05,
        attn_logit_softcapping=0.5, query_pre_attn_scalar=16, attn_implementation="eager",
    )  # fmt: skip
    model = Gemma2ForCausalLM(config).train()
    batch = line(90)
    expected = row_by_row(model, batch)
    torch.autograd.backward(expected)
    wanted = gradients(model)
    model.zero_grad()
    assert not can_project_later(model)
    loss, _, _ = PackedLoss(model)(model, batch)
    torch.autograd.backward(loss)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert_same_gradients(model, wanted)


def test_buckets_hold_every_token_once_and_little_else():
    layout = RowLayout.of(line(90)["position_ids"][0])
    tokens = torch.cat([bucket.tokens[bucket.real] for bucket in layout.buckets])
    assert sorted(tokens.tolist()) == list(range(sum(LENGTHS)))
    assert layout.starts.tolist() == [0, *itertools.accumulate(LENGTHS)]
    slots = sum(bucket.rows * bucket.longest for bucket in layout.buckets)
    assert slots < 1.25 * sum(LENGTHS)


def test_variable_length_flash_attention_is_for_what_it_can_do():
    bf16 = torch.bfloat16
    assert fits_varlen("cuda", bf16, (128, 128), {"scaling": 0.1, "sliding_window": 512, "dropout": 0.0})
    assert not fits_varlen("cpu", bf16, (128, 128), {})
    assert not fits_varlen("cuda", torch.float32, (128, 128), {})
    assert not fits_varlen("cuda", bf16, (192, 128), {})
    assert not fits_varlen("cuda", bf16, (512, 512), {})
    assert not fits_varlen("cuda", bf16, (64, 64), {"s_aux": torch.zeros(4)})
    assert not fits_varlen("cuda", bf16, (64, 64), {"softcap": 30.0})
