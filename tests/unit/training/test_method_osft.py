"""OSFT: what is protected stays, to rounding; a decomposition changes nothing; resume points hold it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from method_training import method_config

from labtune.models.hf import load_weights
from labtune.training.methods.choice import make_method
from labtune.training.methods.method import Method, Tuning
from labtune.training.methods.osft import osft_layers
from labtune.training.methods.weights import load_weights_into, save_weights
from labtune.training.optimizer import make_optimizer

IDS = torch.tensor([[7, 30, 41, 9, 100, 205, 3, 8], [9, 1, 77, 12, 60, 5, 31, 200]])
SHAPES = {
    "taller than wide": "model.layers.0.mlp.up_proj",
    "wider than tall": "model.layers.0.mlp.down_proj",
    "square": "model.layers.0.self_attn.q_proj",
}


def osft(student: Path, **changes) -> Method:
    return make_method(Tuning(student, method_config("osft", **changes), torch.device("cpu"), seed=3))


def logits(model) -> torch.Tensor:
    with torch.inference_mode():
        return model(IDS).logits


def take_steps(model, *, bind: Method | None, steps: int = 20) -> None:
    optimizer = make_optimizer(model, method_config("osft", learning_rate=3e-3))
    if bind is not None:
        bind.bind(optimizer, model)
    for _ in range(steps):
        loss = model(input_ids=IDS, labels=IDS).loss
        torch.autograd.backward(loss)
        optimizer.step()
        optimizer.zero_grad()


def leak(before: torch.Tensor, after: torch.Tensor, preserve: float) -> tuple[float, float]:
    """Shares of a change of weights that lie in the protected left and right directions."""
    left, _, right = torch.linalg.svd(before.double(), full_matrices=False)
    n = int(preserve * min(before.shape))
    change = after.double() - before.double()
    size = change.norm()
    return float((left[:, :n].T @ change).norm() / size), float((change @ right[:n].T).norm() / size)


@pytest.fixture(scope="module")
def trained(tiny_student):
    """Plain weights after the same steps, with peft's projection of gradients only and with both."""
    results = []
    for with_second in (False, True):
        method = osft(tiny_student)
        model = method.begin(None)
        take_steps(model, bind=method if with_second else None)
        results.append({key: value.detach() for key, value in method.plain_weights(model).items()})
    return results


def test_decomposing_changes_nothing(tiny_student):
    model = osft(tiny_student).begin(None)
    torch.testing.assert_close(logits(model), logits(load_weights(tiny_student)), rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", SHAPES.values(), ids=SHAPES.keys())
def test_steps_leave_the_protected_directions_alone(name, trained, tiny_student):
    before = load_weights(tiny_student).state_dict()[f"{name}.weight"]
    gradients_only, both = (leak(before, weights[f"{name}.weight"], 0.5) for weights in trained)
    assert max(gradients_only) > 0.03
    assert max(both) < 1e-5


def test_protected_singular_values_stay(trained, tiny_student):
    name = "model.layers.1.mlp.gate_proj.weight"
    before, after = load_weights(tiny_student).state_dict()[name], trained[1][name]
    left, sizes, right = torch.linalg.svd(before, full_matrices=False)
    n = min(before.shape) // 2
    inner = left[:, :n].T @ after @ right[:n].T
    torch.testing.assert_close(inner, torch.diag(sizes[:n]), rtol=0, atol=1e-5)
    assert not torch.allclose(after, before, atol=1e-2)


def test_preserve_is_a_share_and_leaves_at_least_one_direction_on_each_side(tiny_student):
    for preserve, protected in ((0.25, 8), (0.001, 1), (0.999, 31)):
        model = osft(tiny_student, osft={"preserve": preserve}).begin(None)
        layer = osft_layers(model)["model.layers.0.self_attn.q_proj"]
        assert layer.osf_svd_params["default"]["U_low"].shape == (32, 32 - protected)


def test_a_resume_point_holds_its_decomposition(tiny_student, tmp_path):
    method = osft(tiny_student)
    model = method.begin(None)
    take_steps(model, bind=method, steps=3)
    save_weights(tmp_path, method.resume_weights(model))

    # Another machine may find the same directions with other signs.
    again = method.begin(None)
    for layer in osft_layers(again).values():
        for part in ("_osf_U_low_init", "_osf_V_low_init"):
            getattr(layer, part)["default"].neg_()
    load_weights_into(method.resume_weights(again), tmp_path)
    for one in (model, again):
        take_steps(one, bind=method, steps=2)
    torch.testing.assert_close(logits(again), logits(model), rtol=0, atol=1e-6)


def test_the_next_phase_decomposes_what_was_kept(tiny_student, tmp_path):
    method = osft(tiny_student)
    model = method.begin(None)
    take_steps(model, bind=method, steps=3)
    method.keep(tmp_path / "best", model)
    torch.testing.assert_close(logits(load_weights(tmp_path / "best")), logits(model), rtol=0, atol=1e-4)
    layer = osft_layers(method.begin(tmp_path / "best"))["model.layers.0.mlp.up_proj"]
    largest = torch.linalg.svdvals(load_weights(tmp_path / "best").model.layers[0].mlp.up_proj.weight)[0]
    torch.testing.assert_close(torch.linalg.svdvals(layer.base_layer.weight.detach())[0], largest)
