from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from labtune.errors import DocumentError
from labtune.taxonomy.fetch import GitCache, cache_root, clone_taxonomy
from labtune.taxonomy.locate import locate_documents, match_files
from labtune.types import DocumentSource


def git(folder: Path, *arguments: str) -> str:
    environment = {
        **os.environ,
        **{
            f"GIT_{who}_{what}": "x@example.org"
            for who in ("AUTHOR", "COMMITTER")
            for what in ("NAME", "EMAIL")
        },
        "GIT_CONFIG_GLOBAL": os.devnull,
    }
    done = subprocess.run(
        ["git", *arguments], cwd=folder, env=environment, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    """A repository with three commits; the second is tagged nowhere and on no branch's tip."""
    folder = tmp_path / "origin"
    (folder / "docs" / "deep").mkdir(parents=True)
    git(folder, "init", "-q", "-b", "main")
    for number in (1, 2, 3):
        (folder / "a.md").write_text(f"version {number}\n")
        (folder / "docs" / "deep" / "b.md").write_text("b\n")
        (folder / "code.py").write_text("print()\n")
        git(folder, "add", ".")
        git(folder, "commit", "-q", "-m", str(number))
    return folder


def commit(origin: Path, name: str) -> str:
    return git(origin, "rev-parse", name)


def cache(tmp_path: Path, *, online: bool = True) -> GitCache:
    return GitCache(tmp_path / "cache", local=True, online=online)


def test_a_commit_is_fetched_shallow_and_without_history(tmp_path: Path, origin: Path) -> None:
    folder = cache(tmp_path).checkout(origin.as_uri(), commit(origin, "HEAD"))
    assert (folder / "a.md").read_text() == "version 3\n"
    assert not (folder / ".git").exists()
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_an_older_commit_and_a_short_id_are_found(tmp_path: Path, origin: Path) -> None:
    older = commit(origin, "HEAD~1")
    for name in (older, older[:8], older[:8].upper()):
        folder = cache(tmp_path).checkout(origin.as_uri(), name)
        assert (folder / "a.md").read_text() == "version 2\n"


def test_a_warm_cache_needs_neither_network_nor_origin(tmp_path: Path, origin: Path) -> None:
    address, head = origin.as_uri(), commit(origin, "HEAD")
    first = cache(tmp_path).checkout(address, head)
    origin.rename(tmp_path / "gone")
    assert cache(tmp_path, online=False).checkout(address, head) == first
    assert cache(tmp_path).checkout(address, head) == first


def test_a_cold_cache_says_what_is_missing(tmp_path: Path, origin: Path) -> None:
    head = commit(origin, "HEAD")
    with pytest.raises(
        DocumentError, match=f"at {head[:12]} is not in the cache .* fetching is off"
    ) as error:
        cache(tmp_path, online=False).checkout(origin.as_uri(), head)
    assert error.value.hint is not None
    with pytest.raises(DocumentError, match=r"is not in the cache .* cannot be fetched: "):
        cache(tmp_path).checkout((tmp_path / "nowhere").as_uri(), head)


def test_a_failed_fetch_leaves_nothing_behind(tmp_path: Path, origin: Path) -> None:
    store = cache(tmp_path)
    with pytest.raises(DocumentError):
        store.checkout(origin.as_uri(), "f" * 40)
    assert not store.folder(origin.as_uri(), "f" * 40).exists()
    assert [path for path in store.root.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(
    ("repo", "name"),
    [
        pytest.param("ext::sh -c 'touch /tmp/x'", "a" * 40, id="ext"),
        pytest.param("ext::true", "a" * 40, id="ext-plain"),
        pytest.param("--upload-pack=touch x", "a" * 40, id="option"),
        pytest.param("http://example.org/a", "a" * 40, id="http"),
        pytest.param("git://example.org/a", "a" * 40, id="git"),
        pytest.param("/etc", "a" * 40, id="path"),
        pytest.param("ssh://-oProxyCommand=x/a", "a" * 40, id="ssh-option"),
        pytest.param("git@-oProxyCommand=x:a", "a" * 40, id="scp-option"),
        pytest.param("https://example.org/a", "main", id="branch"),
        pytest.param("https://example.org/a", "--orphan=x", id="commit-option"),
        pytest.param("https://example.org/a", "abc123", id="too-short"),
        pytest.param("https://example.org/a", "a" * 65, id="too-long"),
    ],
)
def test_dangerous_addresses_and_commits_are_refused(tmp_path: Path, repo: str, name: str) -> None:
    with pytest.raises(DocumentError, match=r"refused|is not a commit id"):
        cache(tmp_path).checkout(repo, name)
    assert not (tmp_path / "cache").exists()


def test_local_repositories_are_refused_unless_allowed(tmp_path: Path, origin: Path) -> None:
    with pytest.raises(DocumentError, match="local repositories"):
        GitCache(tmp_path / "cache").checkout(origin.as_uri(), commit(origin, "HEAD"))


def test_a_branch_that_looks_like_a_commit_is_refused(tmp_path: Path, origin: Path) -> None:
    git(origin, "branch", "deadbeef")
    with pytest.raises(DocumentError):
        cache(tmp_path).checkout(origin.as_uri(), "deadbeef")


def test_secrets_in_an_address_are_not_shown(tmp_path: Path) -> None:
    with pytest.raises(DocumentError) as error:
        GitCache(tmp_path, online=False).checkout("https://me:hunter2@example.org/a", "a" * 40)
    assert "hunter2" not in error.value.message


def test_submodules_are_not_fetched(tmp_path: Path, origin: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "-q", "-b", "main")
    (other / "inner.md").write_text("inner\n")
    git(other, "add", ".")
    git(other, "commit", "-q", "-m", "x")
    git(origin, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", other.as_uri(), "sub")
    git(origin, "commit", "-q", "-m", "sub")
    folder = cache(tmp_path).checkout(origin.as_uri(), commit(origin, "HEAD"))
    assert list((folder / "sub").iterdir()) == []


def test_git_documents_are_located_and_named(tmp_path: Path, origin: Path) -> None:
    head = commit(origin, "HEAD")
    source = DocumentSource(("*.md", "**/*.md"), origin.as_uri(), head)
    found = locate_documents(source, tmp_path, tmp_path, cache=cache(tmp_path))
    assert [item.uri.split("@")[1] for item in found] == [f"{head[:12]}:a.md", f"{head[:12]}:docs/deep/b.md"]


def test_links_in_a_repository_cannot_lead_out(tmp_path: Path, origin: Path) -> None:
    (tmp_path / "secret.md").write_text("secret\n")
    (origin / "link.md").symlink_to(tmp_path / "secret.md")
    git(origin, "add", ".")
    git(origin, "commit", "-q", "-m", "link")
    folder = cache(tmp_path).checkout(origin.as_uri(), commit(origin, "HEAD"))
    with pytest.raises(DocumentError, match="link that leaves"):
        match_files(folder, ("*.md",))


def names(folder: Path, *patterns: str) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in match_files(folder, patterns)]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    folder = tmp_path / "leaf"
    for name in (
        "a.md",
        "B.MD",
        "c.txt",
        "x[1].md",
        "d/e.md",
        "d/f/g.md",
        "code.py",
        "attribution.txt",
        ".h/i.md",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("text\n")
    return folder


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("a.md", ["a.md"]),
        ("*.md", ["a.md", "x[1].md"]),
        ("*", ["B.MD", "a.md", "c.txt", "x[1].md"]),
        ("*.txt", ["c.txt"]),
        ("**/*.md", ["a.md", "d/e.md", "d/f/g.md", "x[1].md"]),
        ("**", ["B.MD", "a.md", "c.txt", "d/e.md", "d/f/g.md", "x[1].md"]),
        ("d/*.md", ["d/e.md"]),
        ("d/**/*.md", ["d/e.md", "d/f/g.md"]),
        ("?.[mt]*", ["a.md", "c.txt"]),
        ("x[[]1].md", ["x[1].md"]),
    ],
)
def test_patterns(tree: Path, pattern: str, expected: list[str]) -> None:
    assert names(tree, pattern) == expected


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("../leaf/a.md", "refused"),
        ("d/../../secret.md", "refused"),
        ("/etc/passwd", "refused"),
        ("~/x.md", "refused"),
        (".git/config", "refused"),
        ("none.md", "matches no file"),
        ("*.py", r"only files of other kinds \(\.py\)"),
    ],
)
def test_patterns_that_cannot_be_served(tree: Path, pattern: str, message: str) -> None:
    with pytest.raises(DocumentError, match=message):
        match_files(tree, (pattern,))


def test_a_linked_document_outside_the_leaf_is_refused(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.md").write_text("secret\n")
    (tree / "l.md").symlink_to(tmp_path / "secret.md")
    with pytest.raises(DocumentError, match="link that leaves"):
        match_files(tree, ("l.md",))
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "s.md").write_text("secret\n")
    (tree / "lf").symlink_to(tmp_path / "folder")
    assert "lf/s.md" not in names(tree, "d/*.md", "**/e.md")
    with pytest.raises(DocumentError, match="link that leaves"):
        match_files(tree, ("lf/s.md",))


def test_a_large_file_pointer_is_not_a_document(tree: Path) -> None:
    (tree / "p.md").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    with pytest.raises(DocumentError, match="LFS pointer"):
        match_files(tree, ("p.md",))


def test_the_cache_lies_where_the_variable_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABTUNE_CACHE", str(tmp_path / "c"))
    assert cache_root() == tmp_path / "c"
    assert GitCache.default().root == tmp_path / "c" / "git"


def test_a_taxonomy_is_cloned_whole_or_not_at_all(tmp_path: Path, origin: Path) -> None:
    clone_taxonomy(str(origin), tmp_path / "lab" / "taxonomy")
    assert (tmp_path / "lab" / "taxonomy" / "a.md").read_text() == "version 3\n"
    with pytest.raises(DocumentError):
        clone_taxonomy((tmp_path / "none").as_uri(), tmp_path / "lab" / "other")
    assert [path.name for path in (tmp_path / "lab").iterdir()] == ["taxonomy"]
    for address in ("ext::sh -c true", "--upload-pack=x", str(tmp_path / "none")):
        with pytest.raises(DocumentError, match="refused"):
            clone_taxonomy(address, tmp_path / "lab" / "other")
