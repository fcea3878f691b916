"""Writing a GGUF file: one tensor at a time, under another name until it is whole."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labtune.errors import ExportError, MissingDependencyError
from labtune.export.layouts import Shape, read_config, shape_of
from labtune.export.number_formats import NumberFormat
from labtune.export.quantise import encode, encoded_size, kernels
from labtune.export.tensors import OutTensor, plan_tensors
from labtune.export.vocabulary import Vocabulary, read_vocabulary
from labtune.export.weights import open_weights

Progress = Callable[[int, int], None]
"""Called with the bytes written and the bytes in all."""

SPARE_BYTES = 16 * 2**20
"""Room for header, vocabulary and alignment, beside the tensors."""


@dataclass(frozen=True, slots=True)
class Converted:
    """A model ready to be written: what the file will say, and its tensors."""

    name: str
    shape: Shape
    vocabulary: Vocabulary
    tensors: Sequence[OutTensor]
    kind: NumberFormat

    @property
    def n_bytes(self) -> int:
        """Bytes of all tensors."""
        return sum(encoded_size(tensor.kind, tensor.shape) for tensor in self.tensors)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the file should know."""
        notes = list(self.shape.notes)
        if self.vocabulary.differing:
            notes.append(
                f"llama.cpp has no pre-tokeniser exactly like this model's; {self.vocabulary.pre} cuts plain "
                f"text the same, but for example {self.vocabulary.differing[0][:40]!r} otherwise"
            )
        return tuple(notes)


def convert(folder: Path, tokenizer: Any, *, name: str, kind: NumberFormat) -> Converted:
    """Read a model folder and decide everything about its GGUF file; nothing is written yet.

    Raises:
        ExportError: this architecture or tokenizer cannot be written as GGUF.
        ModelError: the folder is incomplete or damaged.
        MissingDependencyError: the gguf package is not installed.
    """
    try:
        import gguf  # noqa: F401
    except ImportError as error:
        raise MissingDependencyError.for_extra("gguf", "serve") from error
    if kind.kernels:
        kernels()
    shape = shape_of(read_config(folder))
    stored = open_weights(folder)
    tensors = plan_tensors(stored, shape, kind)
    rows = next(tensor.shape[0] for tensor in tensors if tensor.name == "token_embd.weight")
    vocabulary = read_vocabulary(folder, tokenizer, rows)
    return Converted(vocabulary.fitting_name(name), shape, vocabulary, tensors, kind)


def write_gguf(model: Converted, path: Path, progress: Progress = lambda _done, _total: None) -> None:
    """Write the file. What stood at `path` stays until the new file is whole.

    Raises:
        ExportError: there is not enough room, or a value does not fit the number format.
    """
    wanted = model.n_bytes + SPARE_BYTES
    path.parent.mkdir(parents=True, exist_ok=True)
    check_room(path.parent, wanted)
    fresh = path.with_name(f".{path.name}.partial")
    try:
        _write(model, fresh, progress)
        fresh.replace(path)
    except OSError as error:
        raise translate_full_disk(error, path.parent, wanted) from error
    finally:
        fresh.unlink(missing_ok=True)


def check_room(folder: Path, wanted: int) -> None:
    """Raise ExportError when the disk of `folder` has less than `wanted` bytes free."""
    free = shutil.disk_usage(folder).free
    if free < wanted:
        raise ExportError(
            f"the export takes {wanted / 2**20:,.1f} MiB, and the disk of {folder} has only "
            f"{free / 2**20:,.1f} MiB free",
            hint="make room, or give another place with --out; nothing was written",
        )


def translate_full_disk(error: OSError, folder: Path, wanted: int) -> Exception:
    """The sentence for a disk that filled up while writing; any other error as it is."""
    # numpy reports a short write without a number.
    if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, None):
        return error
    return ExportError(
        f"the disk of {folder} is full; the export takes {wanted / 2**20:,.1f} MiB",
        hint="make room, or give another place with --out; the unfinished file was removed",
    )


def _write(model: Converted, path: Path, progress: Progress) -> None:
    import gguf

    writer = gguf.GGUFWriter(path, model.shape.layout.name)
    try:
        _add_header(writer, model)
        _add_vocabulary(writer, model.vocabulary)
        for tensor in model.tensors:
            _announce(writer, tensor)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        total, done = model.n_bytes, 0
        for tensor in model.tensors:
            data = encode(tensor.values(), tensor.kind, tensor.name)
            writer.write_tensor_data(data)
            done += data.nbytes
            progress(done, total)
    finally:
        writer.close()


def _announce(writer: Any, tensor: OutTensor) -> None:
    import gguf
    import numpy as np

    kind = gguf.GGMLQuantizationType[tensor.kind.upper()]
    size = encoded_size(tensor.kind, tensor.shape)
    # With a type given, the writer wants the shape in values; the element type then does not matter.
    writer.add_tensor_info(tensor.name, tensor.shape, np.dtype(np.float32), size, raw_dtype=kind)


def _add_header(writer: Any, model: Converted) -> None:
    import gguf

    shape, scales = model.shape, model.shape.scales
    writer.add_type(gguf.GGUFType.MODEL)
    writer.add_name(model.name)
    writer.add_file_type(model.kind.file_type)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_vocab_size(len(model.vocabulary.tokens))
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.hidden)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.inner)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_key_length(shape.head_dim)
    writer.add_value_length(shape.head_dim)
    writer.add_layer_norm_rms_eps(shape.rms_eps)
    writer.add_rope_dimension_count(shape.rope_dim)
    writer.add_rope_freq_base(shape.rope_base)
    if shape.layout.fused:
        # Zero tells llama.cpp that this is not one of the early Phi-3 files without the key.
        writer.add_sliding_window(0)
    if shape.ropeless:
        writer.add_rope_scaling_finetuned(False)
    if scales:
        writer.add_attention_scale(scales["attention"])
        writer.add_embedding_scale(scales["embedding"])
        writer.add_residual_scale(scales["residual"])
        writer.add_logit_scale(scales["logits"])
    _add_scaling(writer, shape)


def _add_scaling(writer: Any, shape: Shape) -> None:
    import gguf

    scaling = shape.scaling
    kind = scaling.get("kind")
    if kind in ("linear", "yarn"):
        writer.add_rope_scaling_type(gguf.RopeScalingType(kind))
        writer.add_rope_scaling_factor(scaling["factor"])
    if kind in ("yarn", "longrope"):
        writer.add_rope_scaling_orig_ctx_len(scaling["original"])
    if kind == "longrope":
        writer.add_rope_scaling_type(gguf.RopeScalingType.LONGROPE)
        writer.add_rope_scaling_attn_factors(scaling["attention_factor"])
    if kind == "yarn":
        if "attention_factor" in scaling:
            writer.add_rope_scaling_attn_factors(scaling["attention_factor"])
        if "beta_fast" in scaling:
            writer.add_rope_scaling_yarn_beta_fast(scaling["beta_fast"])
        if "beta_slow" in scaling:
            writer.add_rope_scaling_yarn_beta_slow(scaling["beta_slow"])


def _add_vocabulary(writer: Any, vocabulary: Vocabulary) -> None:
    writer.add_tokenizer_model(vocabulary.model)
    writer.add_tokenizer_pre(vocabulary.pre)
    writer.add_token_list(list(vocabulary.tokens))
    writer.add_token_types(list(vocabulary.kinds))
    if vocabulary.merges:
        writer.add_token_merges(list(vocabulary.merges))
    if vocabulary.scores:
        writer.add_token_scores(list(vocabulary.scores))
    if vocabulary.model == "llama":
        writer.add_add_space_prefix(vocabulary.add_space_prefix)
    add = {
        "bos": writer.add_bos_token_id,
        "eos": writer.add_eos_token_id,
        "eot": writer.add_eot_token_id,
        "eom": writer.add_eom_token_id,
        "unk": writer.add_unk_token_id,
        "pad": writer.add_pad_token_id,
    }
    for name, token in vocabulary.special.items():
        add[name](token)
    writer.add_add_bos_token(vocabulary.add_bos)
    writer.add_add_eos_token(False)
    writer.add_chat_template(vocabulary.template)
