"""The lab file `labtune.yaml`: every setting with its default, its unit and one sentence."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from labtune.config.endpoint import JudgeSetting, TeacherSetting
from labtune.config.engine import EngineConfig
from labtune.config.section import Section


class ExamConfig(Section):
    """What the exam of a leaf is made of."""

    from_seeds: float = Field(
        0.2,
        ge=0,
        le=1,
        description="Share of each leaf's seed questions held out for "
        "the exam (1.0 = all: no seed question or answer enters any training row).",
    )
    dev_share: float = Field(
        0.34,
        ge=0,
        le=0.9,
        description="Share of the exam used to choose checkpoints; no reported score counts it.",
    )


class DocumentsConfig(Section):
    """How documents are cut."""

    chunk_tokens: int = Field(
        240,
        ge=32,
        description="Largest size of a chunk, in tokens of the chunker's "
        "counting rule (a word or a CJK character is about 1.3 tokens).",
    )


class GenerateConfig(Section):
    """How samples are made."""

    pipeline: str = Field(
        "auto",
        description="Name of a pipeline that ships, or a .yaml file in the lab; auto = `builtin` for the "
        "built-in teacher, `full` for a model behind an endpoint (`simple` asks for about a third as much).",
    )
    target: int | None = Field(
        None,
        ge=1,
        le=1_000_000,
        description="Samples aimed at for each leaf by a teacher model; None = 3 for each sentence and table "
        "cell of a leaf's documents (at least 60), and 60 for a skill.",
    )
    rounds: int = Field(
        6,
        ge=1,
        le=100,
        description="Most rounds over a leaf; each asks with other examples, uncovered passages first, until "
        "the target is reached or nothing new comes.",
    )
    examples: int = Field(
        3,
        ge=0,
        le=20,
        description="Seeds of the leaf that a prompt shows as examples, drawn anew for each request.",
    )
    temperature: float | None = Field(
        None,
        ge=0,
        le=2,
        description="Sampling temperature of all requests to the teacher; None = what each step of the "
        "pipeline says.",
    )
    max_tokens: int | None = Field(
        None,
        ge=16,
        description="Longest reply of the teacher, in tokens; None = what each step of the pipeline says.",
    )
    window: int = Field(
        512,
        ge=1,
        le=100_000,
        description="Rows of a leaf that are worked on at once; bounds memory, and should be several times "
        "the endpoint's slots.",
    )
    max_failed_fraction: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Largest share of a leaf's rows that may come to nothing because requests failed or "
        "replies were unusable; above it the leaf ends and is reported.",
    )
    near_duplicate: float = Field(
        0.8,
        gt=0,
        le=1,
        description="Estimated Jaccard similarity from which two question-answer pairs of a leaf count as "
        "the same.",
    )
    phrasings: int = Field(48, ge=1, le=2000, description="Distinct phrasings aimed at for each fact.")
    short_share: float = Field(
        0.5,
        ge=0,
        le=4,
        description="Questions of the built-in teacher for short answers, per question for a long one; each "
        "answer is asked for at least 12 times, or with 0 never.",
    )
    skill_variants: int = Field(
        24, ge=1, le=2000, description="Instruction variants for each seed of a skill."
    )
    coverage_floor: float = Field(
        0.95,
        ge=0,
        le=1,
        description="Least share of a document's sentences and table "
        "cells that some kept sample states; below it the leaf is reported.",
    )
    min_samples: int = Field(
        1, ge=0, description="Least number of kept samples of a leaf; below it the stage fails."
    )


class MixSource(Section):
    """A file of chats that are mixed in beside the samples."""

    path: str = Field(
        description="JSONL file (.jsonl, .jsonl.gz) of `messages`, or an InstructLab recipe (.yaml) naming "
        "such files and their sizes; relative to the lab and inside it."
    )
    size: int | float = Field(
        1.0, ge=0, description="Rows drawn from it: a whole number of rows, or a share of them (1.0 = all)."
    )
    role: Literal["skills", "knowledge", "replay"] = Field(
        "skills",
        description="Where its rows go: into the skills phase, into the last knowledge phase, or into the "
        "general set, from which every phase replays its share.",
    )
    repeat: bool = Field(
        False, description="Whether rows may come more than once when size asks for more than there are."
    )


class MixConfig(Section):
    """How the phases' training sets are put together."""

    replay: bool = Field(True, description="Whether earlier phases and the general set are replayed at all.")
    general_share: float = Field(
        0.3, ge=0, lt=1, description="Share of a phase's tokens from the general set."
    )
    phase_share: float = Field(
        0.3,
        ge=0,
        lt=1,
        description="Largest share of a phase's tokens from earlier phases; each row comes once at most.",
    )
    question_noise: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Share of the knowledge questions, and of the requests to skills with a few fixed "
        "answers, with words left out, moved and put in from unrelated questions, so that a small student "
        "learns what is asked and not how. Half of it is the share of the short general questions whose "
        "words are moved. Answers stay as they are.",
    )
    near_duplicate: float = Field(
        0.95,
        gt=0,
        le=1,
        description="Estimated Jaccard similarity from which two "
        "questions with one answer count as duplicates.",
    )
    leak_overlap: float = Field(
        0.8,
        gt=0,
        le=1,
        description="Similarity to an exam question from which a sample is removed as a leak.",
    )
    document_share: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Share of the knowledge samples that come a second time behind their passage; None = all "
        "samples of a teacher model, none of the built-in teacher.",
    )
    raft_share: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Share of the knowledge samples that come again, in the skills phase, behind several "
        "passages of their leaf; None = as for document_share.",
    )
    raft_documents: int = Field(
        4, ge=1, description="Passages before such a question, as far as the leaf and the longest row allow."
    )
    raft_true: float = Field(
        0.4, ge=0, le=1, description="Chance that the passage which answers the question is among them."
    )
    unmask: bool = Field(
        True,
        description="Whether rows that show one passage train its text as well as the answer "
        "(InstructLab's unmask).",
    )
    leaf_floor: float | None = Field(
        None,
        ge=0,
        lt=1,
        description="Least share of a phase's tokens, replay not counted, that each leaf is brought to by "
        "repeating its rows; None = 0.03 in phases with rows of `sources`, 0 elsewhere.",
    )
    max_repeats: int = Field(
        10, ge=1, description="Times that one row comes at most when its leaf is brought to leaf_floor."
    )
    sources: list[MixSource] = Field(
        default_factory=list, description="Files of chats mixed in beside the samples, each with its size."
    )


class LoraConfig(Section):
    """The adapter of the methods lora, dora and qlora."""

    rank: int = Field(32, ge=1, description="Rank of the adapter of each matrix.")
    alpha: float = Field(
        64.0, gt=0, description="Weight of the adapter: what it adds is multiplied by alpha / rank."
    )
    dropout: float = Field(
        0.0, ge=0, lt=1, description="Share of an adapter's inputs that each step leaves out."
    )
    targets: list[str] = Field(
        default_factory=list,
        description="Names of the modules that get an adapter (q_proj, ...); none = all linear layers but "
        "the output layer.",
    )


class OsftConfig(Section):
    """How method osft divides each matrix."""

    preserve: float = Field(
        0.5,
        gt=0,
        lt=1,
        description="Share of each matrix's singular directions, the largest first, that no step may touch.",
    )


class TrainConfig(Section):
    """How the student is tuned."""

    method: Literal["full", "lora", "dora", "qlora", "osft"] = Field(
        "full",
        description="Which weights are tuned: full = all; lora = low-rank adapters; dora = the same with "
        "their own length; qlora = lora over 4-bit weights (CUDA only); osft = each matrix outside of its "
        "largest singular directions.",
    )
    lora: LoraConfig = LoraConfig()
    osft: OsftConfig = OsftConfig()
    device: Literal["auto", "cpu", "cuda", "mps"] = Field(
        "auto", description="Where the student is tuned; auto = CUDA, then Apple MPS, then the CPU."
    )
    gradient_checkpointing: bool | None = Field(
        None,
        description="Whether activations are computed again in the backward pass instead of kept (slower, "
        "less memory, same result up to rounding); None = only when memory is short.",
    )
    optimizer: Literal["adamw", "muon"] = Field(
        "adamw",
        description="adamw, or muon for the layers' matrices with AdamW for the rest (for a student that was "
        "itself trained with Muon).",
    )
    learning_rate: float = Field(2e-5, gt=0, description="Peak learning rate.")
    batch_tokens: int = Field(4096, ge=64, description="Tokens per optimiser step, padding not counted.")
    max_length: int = Field(512, ge=32, description="Longest packed row, in tokens.")
    warmup_share: float = Field(
        0.03, ge=0, lt=1, description="Share of a phase's steps with rising learning rate."
    )
    schedule: Literal["constant", "cosine", "linear"] = Field(
        "constant",
        description="Learning rate after the "
        "warm-up; the last phase always decays (LAB: no decay between phases).",
    )
    epochs_short: float = Field(4.0, gt=0, description="Passes over the knowledge phase with short answers.")
    epochs_long: float = Field(4.0, gt=0, description="Passes over the knowledge phase with long answers.")
    epochs_skills: float = Field(7.0, gt=0, description="Passes over the skills phase.")
    epochs_pretraining: float = Field(4.0, gt=0, description="Passes over the plain text of recipe cpt.")
    epochs_instruction: float = Field(
        1.0, gt=0, description="Passes over the instruction phase of recipe cpt."
    )
    max_tokens: int | None = Field(
        None,
        ge=1,
        description="Budget of trained tokens over all phases; passes shrink to fit it. None = no bound.",
    )
    evaluations: int = Field(4, ge=1, description="Times per phase that the development exam is asked.")
    patience: int = Field(3, ge=1, description="Evaluations without a better score after which a phase ends.")
    tolerance: float = Field(
        0.0,
        ge=0,
        le=1,
        description="How much lower the development score of a later checkpoint may be to be preferred; "
        "0 = the earliest of the best.",
    )
    save_steps: int = Field(50, ge=1, description="Optimiser steps between two resume points.")
    weight_decay: float = Field(0.0, ge=0, description="Weight decay.")
    pull_back: float = Field(
        0.0,
        ge=0,
        description="Decay towards the student's own weights (L2-SP), relative to the learning rate: more "
        "keeps more of what it knew. Method full only.",
    )
    replicas: int = Field(
        1,
        ge=1,
        le=64,
        description="Parts of a batch that threads train side by side on copies that share the weights; on a "
        "CPU two or more are faster for a small student. Not for osft, and not on an accelerator.",
    )
    compile: bool = Field(
        False, description="Compile the student's layers (CUDA only): minutes at the start, faster after it."
    )
    precision: Literal["fp32", "bf16"] = Field(
        "bf16", description="Arithmetic of the matrix products; weights and optimiser stay in fp32."
    )
    memory_gib: float | None = Field(
        None,
        gt=0,
        description="Memory that training may fill on its device, in GiB; micro-batches are divided and "
        "activations computed again until it fits. None = what is free when it starts.",
    )


class EvaluateConfig(Section):
    """How answers are taken and judged."""

    max_new_tokens: int = Field(96, ge=1, description="Longest answer, in tokens.")
    choices: int = Field(
        4, ge=2, description="Options of a multiple-choice question, the right one included."
    )
    retention_floor: float = Field(
        0.95,
        ge=0,
        le=1,
        description="Least retention (tuned / base on the general exam); a run below it ends as failed.",
    )
    batch_size: int = Field(64, ge=1, description="Questions answered at once.")


class ChatConfig(Section):
    """How a conversation is put to the model."""

    turns: int | None = Field(
        None,
        ge=0,
        description="Earlier questions sent with a new one, answers included; None = as many as the context "
        "holds. A small student that was tuned on single questions answers best with 0.",
    )


class StudentConfig(Section):
    """Which model is tuned; `student: NAME` means `student.model: NAME`."""

    model: str = Field(
        "builtin:nano",
        min_length=1,
        description="Model to tune: `builtin:nano`, a local folder (relative to the lab) or a hub id such as "
        "org/name.",
    )
    revision: str | None = Field(
        None,
        pattern=r"^[\w./-]+$",
        description="Commit, tag or branch of a hub model; None = main as it was when it was fetched first.",
    )
    mirror: str | None = Field(
        None,
        pattern=r"^https?://\S+[^/\s]$",
        description="Address of the hub that is asked, https://...; None = the variable HF_ENDPOINT, or "
        "huggingface.co.",
    )
    offline: bool = Field(
        False, description="Whether the hub is never asked: what is not in the local cache is an error."
    )
    template: str | None = Field(
        None,
        min_length=1,
        description="Jinja file of the lab with the chat template of a model that has none, as most base "
        "models (or instead of its own); None = the model's own.",
    )

    @property
    def name(self) -> str:
        """Identity for reports: the model, and its revision when one is set."""
        return f"{self.model}@{self.revision}" if self.revision else self.model

    def __str__(self) -> str:
        return self.name


class LabConfig(Section):
    """A lab."""

    taxonomy: str = Field("taxonomy", description="Folder of the taxonomy, relative to the lab.")
    teacher: TeacherSetting = Field(
        "builtin",
        description="Who writes the samples: `builtin` (rules, no model), {endpoint, model}, or a model for "
        "which labtune starts a server: {gguf: FILE} or {vllm: MODEL}.",
    )
    judge: JudgeSetting | None = Field(
        None, description="Who judges the samples, as teacher; None = the teacher."
    )
    student: StudentConfig = StudentConfig()
    recipe: Literal["lab", "single", "cpt"] = Field(
        "lab",
        description="lab = knowledge-short, knowledge-long, skills; single = all in one stacked phase; "
        "cpt = plain text of documents and views, then a short instruction phase.",
    )
    seed: int = Field(1, ge=0, description="Seed of everything that is drawn.")
    engine: EngineConfig = EngineConfig()
    exam: ExamConfig = ExamConfig()
    documents: DocumentsConfig = DocumentsConfig()
    generate: GenerateConfig = GenerateConfig()
    mix: MixConfig = MixConfig()
    train: TrainConfig = TrainConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    chat: ChatConfig = ChatConfig()
