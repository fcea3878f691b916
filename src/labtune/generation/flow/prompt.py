"""Prompts: folders with one file for each language, of which the row's language is taken.

A file is Markdown. Lines `# system` and `# user` begin the messages; the rest is a template (see `template`).
A language without a file gets the English one and is told which language to write.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, cast

from labtune.errors import ConfigError
from labtune.generation.flow.template import Template, compile_template
from labtune.generation.yaml_file import nearest, read_bounded
from labtune.types import Message, Role

MAX_BYTES = 64 * 1024
_HEADER = re.compile(r"^# (system|user|assistant)[ \t]*$", re.MULTILINE)
_NAME = re.compile(r"[a-z0-9_]+(?:/[a-z0-9_]+)*")
_LANGUAGE = re.compile(r"[a-z]{2,3}")
_TRADITIONAL = ("zh-hant", "zh-tw", "zh-hk", "zh-mo")
_LANGUAGES = {
    "ar": "Arabic", "bg": "Bulgarian", "bn": "Bengali", "ca": "Catalan", "cs": "Czech", "da": "Danish",
    "de": "German", "el": "Greek", "es": "Spanish", "et": "Estonian", "fa": "Persian", "fi": "Finnish",
    "fr": "French", "he": "Hebrew", "hi": "Hindi", "hr": "Croatian", "hu": "Hungarian", "id": "Indonesian",
    "it": "Italian", "ja": "Japanese", "ko": "Korean", "lt": "Lithuanian", "lv": "Latvian", "ms": "Malay",
    "nl": "Dutch", "no": "Norwegian", "pl": "Polish", "pt": "Portuguese", "ro": "Romanian", "ru": "Russian",
    "sk": "Slovak", "sl": "Slovenian", "sr": "Serbian", "sv": "Swedish", "sw": "Swahili", "ta": "Tamil",
    "th": "Thai", "tr": "Turkish", "uk": "Ukrainian", "ur": "Urdu", "vi": "Vietnamese",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Wording:
    """A prompt in one language. `version` is its name, language and the hash of its text."""

    version: str
    messages: tuple[tuple[Role, Template], ...]


class Prompt:
    """A prompt in all its languages. `needs` tells for each field that it uses where it first does."""

    __slots__ = ("_wordings", "name", "needs", "version")

    def __init__(self, name: str, wordings: Mapping[str, Wording], needs: Mapping[str, str]) -> None:
        self.name = name
        self.needs = needs
        self.version = sha256(
            "\n".join(wordings[lang].version for lang in sorted(wordings)).encode()
        ).hexdigest()
        self._wordings = wordings

    def render(self, fields: Mapping[str, Any]) -> tuple[tuple[Message, ...], str]:
        """The messages for a row, and the version of the wording that was taken.

        Raises:
            DataError: the row lacks a field or holds the wrong kind.
        """
        language = str(fields.get("language") or "en").lower()
        primary = re.split(r"[-_]", language)[0]
        wording = self._wordings.get(primary)
        note = "\n\n请使用繁体中文书写。" if primary == "zh" and language.startswith(_TRADITIONAL) else ""
        if wording is None:
            wording = self._wordings.get("en") or next(iter(self._wordings.values()))
            note = f"\n\nWrite all texts of your reply in {_name_of(primary)}, the language of the material."
        messages = [Message(role, template.render(fields).strip()) for role, template in wording.messages]
        if note:
            messages[-1] = Message(messages[-1].role, messages[-1].content + note)
        return tuple(messages), wording.version


def _name_of(language: str) -> str:
    if not _LANGUAGE.fullmatch(language):
        return "the language of the examples"
    return _LANGUAGES.get(language, f"the language with the ISO code {language}")


def load_prompt(name: str, folder: Path | None) -> Prompt:
    """Read a prompt that ships, or with a leading `./` one that lies beside the pipeline file.

    Raises:
        ConfigError: there is none, or a file is malformed; with file:line.
    """
    if name.startswith("./"):
        return _own_prompt(name, folder)
    return _shipped_prompt(name)


@cache
def _shipped_prompt(name: str) -> Prompt:
    home = files("labtune.generation.prompts")
    if not _NAME.fullmatch(name) or not home.joinpath(*name.split("/")).is_dir():
        raise ConfigError(
            f"there is no prompt called {name!r}",
            hint=f"{nearest(name, shipped_prompts())} (own prompts begin with ./)",
        )
    found = home.joinpath(*name.split("/"))
    texts = {
        item.name[:-3]: item.read_text(encoding="utf-8")
        for item in sorted(found.iterdir(), key=lambda item: item.name)
        if item.name.endswith(".md")
    }
    return _prompt(name, texts, f"prompts/{name}")


def shipped_prompts() -> list[str]:
    """The names of all prompts that ship."""
    home = files("labtune.generation.prompts")
    return sorted(_names(home, ""))


def _names(folder: Traversable, prefix: str) -> list[str]:
    names: list[str] = []
    for item in folder.iterdir():
        if item.name.endswith(".md"):
            names.append(prefix.rstrip("/"))
        elif item.is_dir() and _NAME.fullmatch(item.name):
            names.extend(_names(item, f"{prefix}{item.name}/"))
    return list(dict.fromkeys(names))


def _own_prompt(name: str, folder: Path | None) -> Prompt:
    if folder is None:
        raise ConfigError(f"prompt {name!r} needs a pipeline file that it lies beside")
    try:
        home = (folder / name).resolve()
        inside = home.is_relative_to(folder.resolve())
        found = sorted(home.glob("*.md")) if inside and home.is_dir() else []
    except (OSError, ValueError, RuntimeError) as error:
        raise ConfigError(f"prompt {name!r} cannot be read: {error}") from error
    if not inside:
        raise ConfigError(f"prompt {name!r} lies outside the pipeline's folder")
    if not found:
        raise ConfigError(
            f"prompt {name!r}: there is no folder {(folder / name).as_posix()} with files such as en.md"
        )
    texts = {path.stem: read_bounded(path, "prompt", MAX_BYTES) for path in found}
    return _prompt(name, texts, (folder / name).as_posix())


def _prompt(name: str, texts: Mapping[str, str], place: str) -> Prompt:
    wordings: dict[str, Wording] = {}
    needs: dict[str, str] = {}
    for language, text in texts.items():
        file = f"{place}/{language}.md"
        if not _LANGUAGE.fullmatch(language):
            raise ConfigError(f"{file}: prompts are called by their language, such as en.md or zh.md")
        wordings[language] = parse_wording(name, language, text, file)
        for _role, template in wordings[language].messages:
            for variable in template.variables:
                needs.setdefault(variable.name, f"{file}:{variable.line}")
    return Prompt(name, wordings, needs)


def parse_wording(name: str, language: str, text: str, file: str) -> Wording:
    """Check the text of one prompt file.

    Raises:
        ConfigError: no `# user`, text before the first header, a faulty template; with file:line.
    """
    if len(text) > MAX_BYTES:
        raise ConfigError(f"{file}:1: larger than {MAX_BYTES // 1024} KiB")
    text = text.replace("\r\n", "\n")
    headers = list(_HEADER.finditer(text))
    if not headers or text[: headers[0].start()].strip():
        raise ConfigError(f"{file}:1: a prompt begins with a line '# system' or '# user'")
    if headers[-1].group(1) != "user":
        line = text.count("\n", 0, headers[-1].start()) + 1
        raise ConfigError(f"{file}:{line}: the last message of a prompt is '# user'")
    messages: list[tuple[Role, Template]] = []
    for header, end in zip(headers, [*(header.start() for header in headers[1:]), len(text)], strict=True):
        body = text[header.end() + 1 : end]
        line = text.count("\n", 0, header.end()) + 2
        if not body.strip():
            raise ConfigError(f"{file}:{line - 1}: the message is empty")
        messages.append((cast(Role, header.group(1)), compile_template(body, file, line)))
    digest = sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    return Wording(f"{name}/{language}@{digest}", tuple(messages))
