"""`labtune export`, whole: what is written and told, what is refused, what a failed proof leaves behind."""

import json
import resource
from pathlib import Path

import pytest
import torch
from exporting import edit_json, export_to, make_variant
from safetensors.torch import load_file, save_file

from labtune.artifact import file_hash
from labtune.builtin import NANO
from labtune.cli.main import run_command
from labtune.errors import ExportError, GateError, ModelError
from labtune.export.gguf_file import check_room
from labtune.export.weights import open_weights
from labtune.models.hf import HfChatModel, load_tokenizer
from labtune.protocols import Sampling
from labtune.types import Message

QUESTION = [Message("user", "What is the capital of Mexico?")]


def test_a_folder_becomes_a_proved_file_with_its_modelfile(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["export", str(NANO), "--out", str(tmp_path), "--type", "q4_k_m", "--prompts", "4", "--json"]
    assert run_command(arguments) == 0
    told = json.loads(capsys.readouterr().out)
    path = tmp_path / "nano-q4_k_m.gguf"
    assert told["path"] == str(path)
    assert told["bytes"] == path.stat().st_size < 0.4 * (NANO / "model.safetensors").stat().st_size
    assert told["parity"]["passed"] and told["parity"]["prompts"] == 4
    assert (
        (tmp_path / "nano-q4_k_m.Modelfile").read_text(encoding="utf-8").startswith("FROM ./nano-q4_k_m.gguf")
    )
    record = json.loads((tmp_path / "nano-q4_k_m.json").read_text(encoding="utf-8"))
    assert record["sha256"] == file_hash(path)
    assert [len(row["prompt"]) > 0 for row in record["parity"]["prompts"]] == [True] * 4
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [
        "nano-q4_k_m.Modelfile", "nano-q4_k_m.gguf", "nano-q4_k_m.json",
    ]  # fmt: skip


def test_an_earlier_export_is_not_replaced_unasked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "nano-q8_0.gguf").write_text("mine", encoding="utf-8")
    arguments = ["export", str(NANO), "--out", str(tmp_path), "--no-parity"]
    assert run_command(arguments) == 2
    assert "is already there" in capsys.readouterr().err
    assert (tmp_path / "nano-q8_0.gguf").read_text(encoding="utf-8") == "mine"
    assert run_command([*arguments, "--force"]) == 0
    assert (tmp_path / "nano-q8_0.gguf").read_bytes()[:4] == b"GGUF"
    assert "parity: not tested" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["export", "/nowhere"], 2, "neither a run of this lab nor a file"),
        (["export", str(NANO), "--type", "q7"], 2, "no number format 'q7'"),
        (["export", str(NANO), "--format", "safetensors", "--type", "q8_0"], 2, "safetensors are written in"),
        (["export", str(NANO), "--format", "onnx"], 2, "onnx"),
    ],
)
def test_what_cannot_be_meant_is_one_sentence(
    arguments: list[str], code: int, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command([*arguments, "--out", str(tmp_path / "out")]) == code
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def _underflowing(folder: Path) -> Path:
    """A model whose output matrix float16 rounds to nothing, while its last norm makes up for it."""
    make_variant(folder, "llama", tie_word_embeddings=False)
    weights = load_file(folder / "model.safetensors")
    weights["lm_head.weight"] = weights["lm_head.weight"] * 2.0**-40
    weights["model.norm.weight"] = weights["model.norm.weight"] * 2.0**40
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def test_a_failed_proof_exits_with_1_and_names_the_file_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = _underflowing(tmp_path / "model")
    arguments = ["export", str(source), "--out", str(tmp_path / "out"), "--type", "f16", "--prompts", "2"]
    assert run_command([*arguments, "--max-tokens", "6"]) == 1
    told = capsys.readouterr().err
    assert "does not say what the tuned one says: likelihoods differ" in told
    kept = tmp_path / "out" / "model-f16.parity-failed.gguf"
    assert str(kept) in told
    assert kept.read_bytes()[:4] == b"GGUF"
    assert not (tmp_path / "out" / "model-f16.gguf").exists()
    record = json.loads((tmp_path / "out" / "model-f16.parity-failed.json").read_text(encoding="utf-8"))
    assert record["parity"]["passed"] is False


def test_a_failed_proof_leaves_the_earlier_export_alone(tmp_path: Path) -> None:
    earlier = tmp_path / "tiny-f16.gguf"
    earlier.write_text("good", encoding="utf-8")
    with pytest.raises(GateError):
        export_to(_underflowing(tmp_path / "model"), tmp_path, "f16", force=True)
    assert earlier.read_text(encoding="utf-8") == "good"


def test_safetensors_in_a_type_too_small_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"norm.weight holds values that f16 cannot hold"):
        export_to(_underflowing(tmp_path / "model"), tmp_path / "out", "f16", form="safetensors")
    assert list((tmp_path / "out").iterdir()) == []


def test_safetensors_are_the_same_bytes_with_the_settled_template(tmp_path: Path) -> None:
    found = export_to(NANO, tmp_path, "", form="safetensors")
    assert file_hash(found.path / "model.safetensors") == file_hash(NANO / "model.safetensors")
    assert load_tokenizer(found.path).chat_template == load_tokenizer(NANO).chat_template
    assert found.parity is None


def test_safetensors_in_another_type_are_proved(tmp_path: Path) -> None:
    found = export_to(NANO, tmp_path, "f16", form="safetensors", chats=(QUESTION,))
    assert found.parity is not None
    assert found.parity.same_texts == 1
    assert {tensor.dtype for tensor in open_weights(found.path).values()} == {"F16"}
    assert load_file(found.path / "model.safetensors")["model.norm.weight"].dtype == torch.float16
    model = HfChatModel.load(found.path, name="copy", device="cpu")
    assert (
        model.complete([QUESTION], Sampling(max_tokens=20))[0].text == "The capital of Mexico is Mexico City."
    )


def test_weights_and_config_of_two_models_are_told_apart(tmp_path: Path) -> None:
    source = make_variant(tmp_path / "model", "llama")
    edit_json(source / "config.json", intermediate_size=128)
    with pytest.raises(ModelError, match="do not fit"):
        export_to(source, tmp_path / "out", "f16", chats=())
    assert not (tmp_path / "out").exists()


def test_weights_that_are_cut_off_are_told(tmp_path: Path) -> None:
    source = make_variant(tmp_path / "model", "llama")
    data = (source / "model.safetensors").read_bytes()
    (source / "model.safetensors").write_bytes(data[:-1000])
    with pytest.raises(ModelError, match="damaged or cut off"):
        export_to(source, tmp_path / "out", "f16", chats=())


def test_no_room_is_told_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"takes 95,367,431,640,625.0 MiB, and the disk of"):
        check_room(tmp_path, 10**20)


def test_a_disk_that_fills_up_is_a_sentence_and_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
    try:
        for form in ("gguf", "safetensors"):
            arguments = ["export", str(NANO), "--out", str(tmp_path), "--no-parity", "--format", form]
            assert run_command(arguments) == 5
            assert "is full" in capsys.readouterr().err
            assert list(tmp_path.iterdir()) == []
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
