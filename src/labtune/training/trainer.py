"""TRL's `SFTTrainer` for one phase: own loss over the trained tokens only, resume points with a marker.

Legend: B batch, T tokens, N trained tokens, V vocabulary.
"""

from __future__ import annotations

import contextlib
import math
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader
from transformers.trainer_callback import PrinterCallback
from trl import SFTConfig, SFTTrainer

from labtune.config.lab import TrainConfig
from labtune.models.quiet import no_warnings
from labtune.training.checkpoints import mark_complete, step_of
from labtune.training.distributed import ALONE, Gang, deal, process_settings
from labtune.training.loss import PackedLoss
from labtune.training.methods.method import Method
from labtune.training.methods.weights import load_weights_into, save_weights
from labtune.training.optimizer import make_optimizer
from labtune.training.packing import PackCollator
from labtune.training.plan import PhasePlan
from labtune.training.replicas import Replicas
from labtune.training.rows import IGNORED
from labtune.training.shortage import GangPortions, Portion, Portions

_ROUTING = ("output_router_logits", "router_aux_loss_coef")
_SCHEDULES = {"constant": "constant_with_warmup", "cosine": "cosine", "linear": "linear"}


class PhaseTrainer(SFTTrainer):  # type: ignore[misc]
    """Trains one phase over a plan of packs.

    TRL's own loss projects every position on a CPU and computes entropy and accuracy in each step; here only
    the trained positions are projected and nothing but the loss is computed.
    """

    def __init__(self, *, config: TrainConfig, method: Method, us: Gang = ALONE, **settings: Any) -> None:
        self._packed_loss = PackedLoss(
            settings["model"],
            within=us.shares_out,
            compiled=config.compile and settings["args"].device.type == "cuda",
        )
        # Before TRL gets hold of the model: it replaces `forward` by a closure over this one copy.
        copies = config.replicas if method.shares_weights and settings["args"].device.type == "cpu" else 1
        self._us = us
        if us.size > 1:
            # Processes do what copies do within one, and only the model itself averages their gradients.
            copies = 1
        self._replicas = Replicas(settings["model"], copies) if copies > 1 else None
        with _as_it_was(settings["model"]):
            super().__init__(**settings)
        self._method = method
        self._precision = config.precision
        self._step_losses: list[torch.Tensor] = []
        self.divide([Portion(1, 1, config.gradient_checkpointing is True)], may_recompute=False)

    def training_step(
        self,
        model: Any,
        inputs: dict[str, torch.Tensor],
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> torch.Tensor:
        """Forward and backward of one micro-batch, in as many parts as memory asks for."""
        return self._portions.run(
            self.state.global_step + 1, inputs, lambda part: self._train_part(model, part, num_items_in_batch)
        )

    def divide(
        self,
        history: Sequence[Portion],
        *,
        may_recompute: bool,
        tell: Callable[[Portion], None] = lambda _portion: None,
    ) -> None:
        """Train in parts: those of `history`, and smaller ones when memory runs out.

        Args:
            history: in how many parts from which step on.
            may_recompute: whether activations may be computed again when parts cannot be smaller.
            tell: is called at each shortage.
        """
        self._portions: Portions | GangPortions = Portions(
            history,
            recompute=self._replicas.checkpoint
            if self._replicas
            else self.model.activation_checkpointing_enable,
            may_recompute=may_recompute,
            forget=self._forget,
            tell=tell,
        )

    def divide_in_gang(
        self, now: Portion, *, since: bool, may_recompute: bool, leave_word: Callable[[Portion], None]
    ) -> None:
        """Train micro-batches of several processes as they were dealt out; see `GangPortions`."""
        if now.checkpointing:
            self.model.activation_checkpointing_enable()
        self._portions = GangPortions(
            now,
            since=since,
            packs=self.args.per_device_train_batch_size,
            may_recompute=may_recompute,
            leave_word=leave_word,
        )

    def shortage(self) -> Portion | None:
        """What is in force since memory ran out in the step just done; None when it did not."""
        return self._portions.news()

    def _forget(self) -> None:
        """Drop gradients and losses of the step so far."""
        self._step_losses.clear()
        self.model.zero_grad(set_to_none=True)
        if self._replicas is not None:
            self._replicas.drop_gradients()

    def _train_part(
        self, model: Any, inputs: dict[str, torch.Tensor], num_items_in_batch: torch.Tensor | int | None
    ) -> torch.Tensor:
        """Forward and backward, shared out to the replicas where there are any."""
        if self._replicas is None:
            loss: torch.Tensor = super().training_step(model, inputs, num_items_in_batch)
            return loss
        self._replicas.train()
        count = num_items_in_batch
        if count is None:
            count = int((inputs["labels"][:, 1:] != IGNORED).sum())
        summed = self._replicas.backward(
            self._prepare_inputs(inputs), lambda replica, part: self._loss(replica, part, count)[0]
        )
        self._step_losses.append(summed)
        return summed

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, torch.Tensor],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> Any:
        """Cross entropy summed over the trained tokens, divided by those of the whole optimiser step."""
        loss, out = self._loss(model, inputs, num_items_in_batch)
        self._step_losses.append(loss.detach())
        return (loss, out) if return_outputs else loss

    def _loss(
        self, model: Any, inputs: dict[str, torch.Tensor], num_items_in_batch: torch.Tensor | int | None
    ) -> tuple[torch.Tensor, Any]:
        with self._autocast():
            total, trained, out = self._packed_loss(model, inputs)
        count = trained if num_items_in_batch is None else num_items_in_batch
        # Gradients are averaged over processes, and the count is that of all of them.
        return total / count * self.accelerator.num_processes, out

    def take_loss(self) -> float:
        """Token-mean loss of the optimiser step just done."""
        loss = float(torch.stack(self._step_losses).sum())
        self._step_losses.clear()
        return loss

    def _autocast(self) -> contextlib.AbstractContextManager[object]:
        if self._precision == "fp32":
            return contextlib.nullcontext()
        return torch.autocast(self.args.device.type, dtype=torch.bfloat16)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        super()._save_checkpoint(model, trial)
        self._us.wait()
        self._us.by_the_first(self._complete_resume_point)

    def _complete_resume_point(self) -> None:
        folder = Path(self.args.output_dir)
        mark_complete(folder / f"checkpoint-{self.state.global_step}")
        for path in folder.glob("checkpoint-*"):
            if step_of(path) != self.state.global_step:
                shutil.rmtree(path)

    def get_train_dataloader(self) -> Any:
        """Batches of this process: its packs are dealt out already, and must not be shared out again."""
        if self._us.size == 1:
            return super().get_train_dataloader()
        return DataLoader(
            self.train_dataset,
            batch_size=self.args.per_device_train_batch_size,
            collate_fn=self.data_collator,
            pin_memory=self.args.dataloader_pin_memory,
        )

    def _save(self, output_dir: str | None = None, state_dict: dict[str, torch.Tensor] | None = None) -> None:
        weights = self._method.resume_weights(self.model)
        if weights is None or output_dir is None:
            super()._save(output_dir, state_dict)
        elif self.args.should_save:
            save_weights(Path(output_dir), weights)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        weights = self._method.resume_weights(self.model if model is None else model)
        if weights is None:
            super()._load_from_checkpoint(resume_from_checkpoint, model)
        else:
            load_weights_into(weights, Path(resume_from_checkpoint))

    def create_model_card(self, *_args: Any, **_kwargs: Any) -> None:
        """Resume points need no model card."""

    def _send_telemetry(self) -> None:
        """Nothing about a run leaves the machine."""


@dataclass(frozen=True, slots=True)
class Student:
    """The model in training, its tokenizer, and the method that tunes it."""

    model: Any
    tokenizer: Any
    method: Method


def make_trainer(
    student: Student, plan: PhasePlan, *, config: TrainConfig, folder: Path, seed: int, us: Gang = ALONE
) -> PhaseTrainer:
    """A trainer for one phase whose resume points go to `folder`."""
    from datasets import Dataset as HfDataset

    hand = deal(plan.packs, plan.micro_batch, plan.accumulation, us)
    if config.gradient_checkpointing:
        # Here and not by the Trainer, which would not reach the copies.
        student.model.activation_checkpointing_enable()
    optimizer = make_optimizer(student.model, config)
    with no_warnings():
        arguments = SFTConfig(
            output_dir=str(folder),
            per_device_train_batch_size=hand.micro_batch,
            gradient_accumulation_steps=hand.accumulation,
            num_train_epochs=1,
            learning_rate=config.learning_rate,
            lr_scheduler_type="cosine"
            if plan.decays and config.schedule == "constant"
            else _SCHEDULES[config.schedule],
            warmup_steps=math.ceil(config.warmup_share * plan.steps),
            max_grad_norm=1.0,
            seed=seed,
            use_cpu=student.method.device.type == "cpu",
            bf16=False,
            gradient_checkpointing=False,
            train_sampling_strategy="sequential",
            remove_unused_columns=False,
            dataset_kwargs={"skip_prepare_dataset": True},
            max_length=None,
            dataloader_pin_memory=torch.cuda.is_available(),
            logging_strategy="no",
            logging_nan_inf_filter=False,
            save_strategy="no",
            eval_strategy="no",
            report_to="none",
            disable_tqdm=True,
            **process_settings(us),
        )
        # One process trains on one device; several GPUs are used by several processes.
        arguments._n_gpu = min(1, arguments.n_gpu)
        trainer = PhaseTrainer(
            config=config,
            method=student.method,
            us=us,
            model=student.model,
            optimizers=(optimizer, None),
            args=arguments,
            train_dataset=HfDataset.from_dict({"rows": hand.packs}),
            processing_class=student.tokenizer,
            data_collator=PackCollator(plan.rows),
        )
    trainer.remove_callback(PrinterCallback)
    # Now that the weights lie where they are trained.
    student.method.bind(optimizer, student.model)
    return trainer


@contextlib.contextmanager
def _as_it_was(model: Any) -> Iterator[None]:
    """Within, what TRL does to a model is undone.

    It rounds adapters of a 4-bit model to bf16, and has a mixture of experts compute a loss of its routers,
    which is no part of the loss here and fails in a family that may come without experts.
    """
    trained = [(weight, weight.data) for weight in model.parameters() if weight.requires_grad]
    config = model.config.get_text_config()
    routing = {name: getattr(config, name) for name in _ROUTING if hasattr(config, name)}
    yield
    for name, value in routing.items():
        setattr(config, name, value)
    for weight, data in trained:
        if weight.dtype != data.dtype:
            weight.data = data.to(weight.device)
