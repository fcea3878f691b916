"""Which addresses and file patterns a taxonomy may name. Pure text rules; nothing is opened here."""

from __future__ import annotations

import re

_SCP_LIKE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*@[A-Za-z0-9][A-Za-z0-9.-]*:[^-:\s][^:\s]*")
Fault = tuple[str, str, str]
"""What was found, what is expected, how to mend."""


def repo_fault(repo: str) -> Fault | None:
    """Why an address may not be handed to git, or None when it may (https, ssh, git@host:path, file)."""
    expected = "https://host/owner/name, ssh://... or git@host:owner/name"
    if repo.startswith("-"):
        return "an address that starts with '-'", expected, "write the repository's https address"
    if any(character.isspace() or not character.isprintable() for character in repo):
        return "white space in the address", expected, "remove it"
    if "::" in repo:
        return f"the transport {repo.split('::', 1)[0]!r}, which can run commands", expected, "use https"
    scheme = repo.split("://", 1)[0].lower() if "://" in repo else ""
    if scheme in ("https", "ssh"):
        host = repo.split("://", 1)[1].split("/", 1)[0]
        host = host.rsplit("@", 1)[-1]
        if not host or host.startswith("-"):
            return "an address without a host", expected, "write the repository's https address"
        return None
    if scheme == "file":
        return None
    if scheme:
        return f"the protocol {scheme!r}", expected, "use https"
    if _SCP_LIKE.fullmatch(repo):
        return None
    return f"{repo[:60]!r}", expected, "for files beside qna.yaml write 'path:' instead of repo and commit"


def pattern_fault(pattern: str) -> Fault | None:
    """Why a file pattern leaves its folder, or None when it stays below it."""
    expected = "a pattern below the folder, such as docs/*.md"
    parts = pattern.replace("\\", "/").split("/")
    if pattern.startswith(("/", "\\", "~")) or re.match(r"[A-Za-z]:", pattern):
        return f"the absolute pattern {pattern[:60]!r}", expected, "write it relative to the folder"
    if ".." in parts:
        return f"'..' in {pattern[:60]!r}", expected, "name files below the folder only"
    if ".git" in (part.lower() for part in parts):
        return f"git's own files in {pattern[:60]!r}", expected, "name the documents"
    return None
