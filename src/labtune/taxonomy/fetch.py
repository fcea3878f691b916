"""Fetches documents from git at a commit: shallow, once, into a cache that all leaves share.

What a taxonomy says is not trusted: only https and ssh (local files where the caller allows them), no
prompts, no hooks, no submodules, no LFS, no option can be smuggled in. A checkout appears in the cache by one
rename, so what is there is complete.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from labtune.errors import DocumentError
from labtune.taxonomy.patterns import repo_fault

CACHE_VARIABLE = "LABTUNE_CACHE"
TIMEOUT_S = 600.0
FULL_IDS = (40, 64)
"""Digits of a full SHA-1 or SHA-256 commit id."""
_COMMIT = re.compile(r"[0-9a-f]{7,64}")
_SAFE = (
    *("-c", "core.hooksPath=/dev/null"),
    *("-c", "core.fsmonitor=false"),
    *("-c", "core.autocrlf=false"),
    *("-c", "submodule.recurse=false"),
    *("-c", "fetch.recurseSubmodules=false"),
    *("-c", "filter.lfs.smudge="),
    *("-c", "filter.lfs.process="),
    *("-c", "filter.lfs.required=false"),
    *("-c", "http.lowSpeedLimit=500"),
    *("-c", "http.lowSpeedTime=30"),
    *("-c", "gc.auto=0"),
    *("-c", "init.defaultBranch=main"),
)


@dataclass(frozen=True, slots=True)
class GitCache:
    """Where checkouts lie, and what may be fetched into it.

    `local` allows file:// addresses (a test, an air-gapped mirror). `online` False never starts git.
    """

    root: Path
    local: bool = False
    online: bool = True

    @classmethod
    def default(cls) -> GitCache:
        """The user's cache: `$LABTUNE_CACHE`, or labtune's folder in the platform's cache."""
        return cls(cache_root() / "git")

    def folder(self, repo: str, commit: str) -> Path:
        """Where the checkout of a commit lies, fetched or not."""
        return self.root / hashlib.sha256(repo.encode()).hexdigest()[:16] / commit.lower()

    def checkout(self, repo: str, commit: str) -> Path:
        """The files of a repository at a commit, fetched when they are not in the cache.

        Raises:
            DocumentError: the address or commit is refused, or it is not cached and cannot be fetched.
        """
        _check(repo, commit, local=self.local)
        folder = self.folder(repo, commit)
        if folder.is_dir():
            return folder
        if not self.online:
            raise DocumentError(
                f"{_shown(repo)} at {commit[:12]} is not in the cache {self.root}, and fetching is off",
                hint="run once with a network connection; afterwards it works offline",
            )
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=folder.parent) as temporary:
            work = Path(temporary) / "tree"
            try:
                _fetch(repo, commit.lower(), work, local=self.local)
            except DocumentError as error:
                where = f"{_shown(repo)} at {commit[:12]} is not in the cache {self.root}"
                raise DocumentError(f"{where}, and {error.message}", hint=error.hint) from error
            shutil.rmtree(work / ".git")
            try:
                work.rename(folder)
            except OSError:
                # Another process was faster; its checkout is as complete as ours.
                if not folder.is_dir():
                    raise
        return folder


def cache_root() -> Path:
    """`$LABTUNE_CACHE`, or labtune's folder in the platform's cache folder."""
    named = os.environ.get(CACHE_VARIABLE)
    if named:
        return Path(named).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "labtune"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "labtune"


def clone_taxonomy(url: str, folder: Path, *, local: bool = True) -> None:
    """Put the newest state of a taxonomy repository into `folder`, which must not exist yet.

    Args:
        url: https, ssh, or (with `local`) file:// address or path; a person typed it.
        folder: appears only when the clone is complete.
        local: whether repositories on this machine are allowed.

    Raises:
        DocumentError: the address is refused or cannot be cloned.
    """
    if local and not url.startswith("-") and Path(url).is_dir():
        url = Path(url).resolve().as_uri()
    _check_repo(url, local=local)
    if folder.exists():
        raise DocumentError(f"{folder} exists already", hint="choose another folder")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".clone-", dir=folder.parent) as temporary:
        work = Path(temporary) / "tree"
        arguments = ["clone", "-q", "--depth", "1", "--no-tags", "--template=", "--", url, str(work)]
        _git(arguments, Path(temporary), url, local=local)
        work.rename(folder)


def _check(repo: str, commit: str, *, local: bool) -> None:
    _check_repo(repo, local=local)
    if not _COMMIT.fullmatch(commit.lower()):
        raise DocumentError(
            f"{_shown(repo)}: {commit[:40]!r} is not a commit id",
            hint="write the 40 hexadecimal digits that `git rev-parse HEAD` prints; branches move",
        )


def _check_repo(repo: str, *, local: bool) -> None:
    fault = repo_fault(repo)
    if fault:
        raise DocumentError(f"refused the repository {_shown(repo)}: {fault[0]}", hint=f"expected {fault[1]}")
    if repo.lower().startswith("file:") and not local:
        raise DocumentError(
            f"refused the repository {_shown(repo)}: local repositories are not fetched for a taxonomy",
            hint="copy the documents beside qna.yaml and write 'document: {path: [...]}'",
        )


def _fetch(repo: str, commit: str, work: Path, *, local: bool) -> None:
    """Check out `commit` into `work` (with its .git)."""
    _git(["init", "-q", "--template=", str(work)], work.parent, repo, local=local)
    _git(["config", "remote.origin.url", repo], work, repo, local=local)
    fetch = ["fetch", "-q", "--no-tags", "--no-recurse-submodules"]
    every = "+refs/*:refs/remotes/origin/*"
    resolved = commit
    if len(commit) in FULL_IDS:
        try:
            _git([*fetch, "--depth", "1", "origin", commit], work, repo, local=local)
        except DocumentError as error:
            # Some servers hand out only what a branch or tag points to.
            if "not our ref" not in error.message and "unadvertised" not in error.message:
                raise
            _git([*fetch, "origin", every], work, repo, local=local)
    else:
        _git([*fetch, "origin", every], work, repo, local=local)
        resolved = _git(["rev-parse", "--verify", f"{commit}^{{commit}}"], work, repo, local=local).strip()
        if not resolved.startswith(commit):
            raise DocumentError(
                f"{_shown(repo)}: {commit} is the name of a branch or tag, not a commit id",
                hint=f"write the commit it points to now: {resolved}",
            )
    _git(["checkout", "-q", "--detach", "--force", resolved, "--"], work, repo, local=local)


def _git(arguments: list[str], folder: Path, repo: str, *, local: bool) -> str:
    protocols = "https:ssh:file" if local else "https:ssh"
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("GIT_DIR", "GIT_WORK"))},
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ALLOW_PROTOCOL": protocols,
        "GIT_LFS_SKIP_SMUDGE": "1",
        "LC_ALL": "C",
    }
    environment.setdefault("GIT_SSH_COMMAND", "ssh -oBatchMode=yes")
    try:
        done = subprocess.run(
            ["git", *_SAFE, *arguments],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    except FileNotFoundError as error:
        raise DocumentError("git is not installed", hint="install git, or use local documents") from error
    except subprocess.TimeoutExpired as error:
        raise DocumentError(f"{_shown(repo)} did not answer within {TIMEOUT_S:.0f} s") from error
    if done.returncode != 0:
        raise DocumentError(
            f"{_shown(repo)} cannot be fetched: {_reason(done.stderr)}",
            hint="check address, commit and network; once fetched it works offline",
        )
    return done.stdout.decode("utf-8", "replace")


def _reason(stderr: bytes) -> str:
    lines = [line.strip() for line in stderr.decode("utf-8", "replace").splitlines() if line.strip()]
    telling = [line for line in lines if line.startswith(("fatal:", "error:", "remote:"))] or lines
    text = re.sub(r"^(fatal|error|remote): ", "", telling[0]) if telling else "git failed without a message"
    return _shown(re.sub(r"[^\x20-\x7e\u00a0-\uffff]", " ", text))[:300]


def _shown(text: str) -> str:
    """A text without the secrets that addresses can carry."""
    return re.sub(r"://[^/@\s]+@", "://", text)[:300]
