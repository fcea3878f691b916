"""The rules for one `qna.yaml`, on a text buffer: findings, and the leaf when there is no error.

Rules: knowledge version 3; skills versions 1 to 3. Style is not looked at here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

from labtune.documents.sentences import detect_language
from labtune.taxonomy.decode import decode
from labtune.taxonomy.fields import (
    TextRule,
    canonical,
    check_keys,
    list_field,
    mapping_value,
    text_field,
    text_list,
    text_value,
)
from labtune.taxonomy.patterns import pattern_fault, repo_fault
from labtune.taxonomy.problems import Edit, Point, Problems, quote
from labtune.taxonomy.seeds import seed_id
from labtune.taxonomy.yaml_nodes import MappingNode, Node, ScalarNode, SequenceNode, describe, read_nodes
from labtune.types import DocumentSource, Leaf, LeafKind, SeedExample, Source

KINDS: dict[str, LeafKind] = {
    "knowledge": "knowledge",
    "compositional_skills": "compositional_skill",
    "foundational_skills": "foundational_skill",
}
KNOWLEDGE_KEYS = ("version", "created_by", "domain", "seed_examples", "document_outline", "document")
SKILL_KEYS = ("version", "created_by", "task_description", "seed_examples")
KNOWLEDGE_VERSION = 3
SKILL_VERSIONS = (1, 2, 3)
LEAST_SEEDS = 5
LEAST_PAIRS = 3
LANGUAGE_SAMPLE = 1_500
"""Characters of the seeds that tell a leaf's language."""

QUESTION, ANSWER = TextRule("a question"), TextRule("an answer")
CONTEXT = TextRule("a context")
_COMMIT = re.compile(r"[0-9a-fA-F]{7,64}")


@dataclass(frozen=True, slots=True)
class LeafName:
    """What a leaf is called and where its file lies; `kind` None = decided by the file's content."""

    path: str
    file: str
    kind: LeafKind | None


@dataclass(slots=True)
class Validation:
    """The result for one buffer: the leaf unless there are errors, the findings, and mechanical edits."""

    leaf: Leaf | None
    problems: Problems
    text: str | None = None
    root: MappingNode | None = None
    places: dict[str, tuple[ScalarNode, ScalarNode]] = field(default_factory=dict)
    contexts: list[tuple[str, ScalarNode]] = field(default_factory=list)


def validate(data: bytes | str, name: LeafName) -> Validation:
    """Check one `qna.yaml`. Any bytes are allowed; nothing is raised."""
    problems = Problems(name.file)
    result = Validation(None, problems)
    result.text = decode(data, problems)
    if result.text is None:
        return result
    result.root = read_root(result.text, problems, "version, created_by, seed_examples ...")
    if result.root is None:
        return result
    kind = name.kind or ("knowledge" if "document" in result.root.entries else "compositional_skill")
    leaf = _Reader(result, name, kind).read()
    problems.findings.sort(key=lambda finding: (finding.source.line, finding.source.column))
    result.leaf = None if problems.failed else leaf
    return result


def read_root(text: str, problems: Problems, keys: str) -> MappingNode | None:
    """The mapping at the top of a YAML text; None after recording why there is none."""
    before = len(problems.findings)
    node = read_nodes(text, problems)
    if node is None or (isinstance(node, ScalarNode) and node.tag == "null"):
        if len(problems.findings) == before:
            problems.add("Y112", Point(), "no content", keys, "fill the file in; labtune new writes a start")
        return None
    if not isinstance(node, MappingNode):
        problems.add(
            "K103", node, f"{describe(node)} at the top", f"keys: {keys}", "write 'key: value' lines"
        )
        return None
    return node


@dataclass(slots=True)
class _Reader:
    result: Validation
    name: LeafName
    kind: LeafKind
    seeds: list[SeedExample] = field(default_factory=list)
    known_ids: set[str] = field(default_factory=set)

    def read(self) -> Leaf | None:
        """Check everything; the leaf is complete only when no error was recorded."""
        root, problems = self.result.root, self.result.problems
        assert root is not None
        knowledge = self.kind == "knowledge"
        if knowledge and self.is_outdated(root):
            return None
        check_keys(root, KNOWLEDGE_KEYS if knowledge else SKILL_KEYS, problems)
        version = self.version(root)
        created_by = text_field(root, "created_by", TextRule("the contributor's name", short=True), problems)
        task = domain = outline = ""
        documents = None
        if knowledge:
            domain = text_field(root, "domain", TextRule("the subject", short=True), problems) or ""
            outline_rule = TextRule("a short summary of the document")
            outline = text_field(root, "document_outline", outline_rule, problems) or ""
            documents = self.documents(root)
            self.knowledge_seeds(root)
        else:
            rule = TextRule("what the skill is", may_be_empty=version == 1)
            task = text_field(root, "task_description", rule, problems) or ""
            self.skill_seeds(root, version)
        texts = [text for seed in self.seeds for text in (seed.question, seed.answer, seed.context or "")]
        return Leaf(
            path=self.name.path,
            kind=self.kind,
            language=detect_language("\n".join(texts)[:LANGUAGE_SAMPLE]),
            seeds=tuple(self.seeds),
            source=Source(self.name.file, root.line, root.column),
            created_by=created_by or "",
            task_description=task,
            domain=domain,
            document_outline=outline,
            documents=documents,
        )

    def is_outdated(self, root: MappingNode) -> bool:
        """Record knowledge of version 1 or 2: its layout is another one, so nothing else is worth saying."""
        node = root.get("version")
        if not isinstance(node, ScalarNode) or node.value.strip() not in ("1", "2"):
            return False
        mend = "bring the file to the version 3 layout: contexts, each with 3 or more questions_and_answers"
        found = f"version {node.value.strip()}"
        self.result.problems.add("K108", node, found, "knowledge in version 3", mend)
        return True

    def version(self, root: MappingNode) -> int:
        """The version to validate against; 1 when a skill names none."""
        problems = self.result.problems
        node = root.get("version")
        knowledge = self.kind == "knowledge"
        expected = "version 3" if knowledge else "version 1, 2 or 3"
        if node is None:
            if not knowledge:
                return 1
            at = min(key.start for key, _ in root.entries.values()) if root.entries else 0
            words = ("no 'version'", "version: 3", "add the line 'version: 3'")
            if root.flow:
                problems.add("K102", root, *words)
            else:
                problems.add_fixable("K102", root, words, Edit(at, at, "version: 3\n", "added version: 3"))
            return KNOWLEDGE_VERSION
        number = read_version(node, expected, problems)
        if number is None:
            return KNOWLEDGE_VERSION if knowledge else 1
        if number not in ((KNOWLEDGE_VERSION,) if knowledge else SKILL_VERSIONS):
            problems.add("K108", node, f"version {number}", expected, "write 'version: 3'")
            return KNOWLEDGE_VERSION if knowledge else 2
        return number

    def skill_seeds(self, root: MappingNode, version: int) -> None:
        """Questions and answers, each with or without a context."""
        problems = self.result.problems
        least = 1 if version == 1 else LEAST_SEEDS
        seen: dict[object, int] = {}
        for item in list_field(root, "seed_examples", least, "seed examples", problems) or []:
            node = mapping_value(item, "a seed example", ("question", "answer", "context"), problems)
            if node is None:
                continue
            check_keys(node, ("question", "answer", "context"), problems)
            context_node = node.get("context")
            context = text_value(context_node, CONTEXT, problems) if context_node is not None else None
            if self.pair(node, context) and version > 1:
                self.note_repetition(node, seen, "seed example")

    def knowledge_seeds(self, root: MappingNode) -> None:
        """Contexts, each with its questions and answers."""
        problems = self.result.problems
        seen: dict[object, int] = {}
        for item in list_field(root, "seed_examples", LEAST_SEEDS, "seed examples", problems) or []:
            node = mapping_value(item, "a seed example", ("context", "questions_and_answers"), problems)
            if node is None:
                continue
            check_keys(node, ("context", "questions_and_answers"), problems)
            context = text_field(node, "context", CONTEXT, problems)
            context_node = node.get("context")
            if context is not None and isinstance(context_node, ScalarNode):
                self.note_repetition(node, seen, "seed example")
                self.result.contexts.append((context, context_node))
            noun = "questions and answers"
            pairs = list_field(node, "questions_and_answers", LEAST_PAIRS, noun, problems) or []
            pairs_seen: dict[object, int] = {}
            for pair_item in pairs:
                pair = mapping_value(pair_item, "a pair", ("question", "answer"), problems)
                if pair is None:
                    continue
                self.note_ignored(pair)
                if self.pair(pair, context):
                    self.note_repetition(pair, pairs_seen, "question and answer")

    def note_ignored(self, pair: MappingNode) -> None:
        """Further keys of a pair are allowed by the format and used by nobody."""
        for name, (key, _) in pair.entries.items():
            if name not in ("question", "answer"):
                self.result.problems.add(
                    "K110", key, f"the key {name!r}", "question and answer", "nothing reads it; delete it"
                )

    def note_repetition(self, node: MappingNode, seen: dict[object, int], noun: str) -> None:
        """Record an entry that is equal to an earlier one."""
        key = canonical(node)
        if key in seen:
            self.result.problems.add(
                "K107", node, f"the same {noun} as on line {seen[key]}", f"each {noun} once", "write another"
            )
        else:
            seen[key] = node.line

    def pair(self, node: MappingNode, context: str | None) -> bool:
        """One question and answer; False when one of them is missing."""
        problems = self.result.problems
        question = text_field(node, "question", QUESTION, problems)
        answer = text_field(node, "answer", ANSWER, problems)
        question_node, answer_node = node.get("question"), node.get("answer")
        if question is None or answer is None:
            return False
        assert isinstance(question_node, ScalarNode)
        assert isinstance(answer_node, ScalarNode)
        repetition = 0
        while (identity := seed_id(self.name.path, question, context, repetition)) in self.known_ids:
            repetition += 1
        self.known_ids.add(identity)
        self.result.places[identity] = (question_node, answer_node)
        source = Source(self.name.file, question_node.line, question_node.column)
        self.seeds.append(SeedExample(identity, question, answer, context, source))
        return True

    def documents(self, root: MappingNode) -> DocumentSource | None:
        """Where the documents lie; None after recording why that is not known."""
        problems = self.result.problems
        value = root.get("document")
        if value is None:
            mend = "add 'document:' with 'path: [\"*.md\"]', or with repo, commit and patterns"
            problems.add("K102", root, "no 'document'", "where the documents lie", mend)
            return None
        node = mapping_value(value, "a document", ("path, or repo", "commit", "patterns"), problems)
        if node is None:
            return None
        if "path" in node.entries:
            check_keys(node, ("path",), problems)
            return DocumentSource(tuple(self.patterns(node, "path")))
        check_keys(node, ("repo", "commit", "patterns"), problems)
        repo = text_field(node, "repo", TextRule("the address of a git repository", short=True), problems)
        commit = text_field(node, "commit", TextRule("the id of a commit", short=True), problems)
        if repo is not None and (fault := repo_fault(repo)):
            problems.add("K113", node.entries["repo"][1], *fault)
        if commit is not None and not _COMMIT.fullmatch(commit):
            problems.add(
                "K111",
                node.entries["commit"][1],
                quote(commit),
                "the hexadecimal id of a commit (7 to 64 digits)",
                "branches and tags move: write what `git rev-parse HEAD` prints",
            )
        return DocumentSource(tuple(self.patterns(node, "patterns")), repo, commit)

    def patterns(self, node: MappingNode, key: Literal["path", "patterns"]) -> list[str]:
        """File patterns that stay below their folder."""
        rule = TextRule("file pattern", short=True)
        patterns = text_list(node, key, rule, 1, self.result.problems)
        value = node.get(key)
        items: list[Node] = value.items if isinstance(value, SequenceNode) else []
        for item in items:
            if isinstance(item, ScalarNode) and (fault := pattern_fault(item.value.strip())):
                self.result.problems.add("K112", item, *fault)
        return patterns


def read_version(node: Node, expected: str, problems: Problems) -> int | None:
    """The number of a `version` value; None after recording that it is none."""
    if not isinstance(node, ScalarNode) or node.tag in ("bool", "null", "timestamp"):
        problems.add("K103", node, describe(node), expected, "write 'version: 3' without quotes")
        return None
    digits = node.value.strip()
    whole = re.fullmatch(r"(-?\d{1,9})(\.0+)?", digits)
    if whole is None:
        problems.add("K103", node, describe(node), expected, "write 'version: 3' without quotes")
        return None
    number = int(whole.group(1))
    if node.tag != "int":
        code = "K103" if node.tag == "str" else "K109"
        words = (describe(node), f"the integer {number}", f"write 'version: {number}'")
        if node.style in ("|", ">"):
            problems.add(code, node, *words)
        else:
            edit = Edit(node.start, node.end, str(number), f"wrote version {number} as an integer")
            problems.add_fixable(code, node, words, edit)
    return number
