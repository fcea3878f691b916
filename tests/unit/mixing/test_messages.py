"""InstructLab's `messages` files: read with file and line, written as they were."""

from __future__ import annotations

import gzip
import json
import pickle
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labtune.errors import DataError
from labtune.mixing.messages import encode, read_chats, restore, write_chats
from labtune.types import Message

USER, ANSWER = {"content": "How tall?", "role": "user"}, {"content": "8.8 km.", "role": "assistant"}


def write(path: Path, *rows: object) -> Path:
    path.write_text("".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows), encoding="utf-8")
    return path


def again(path: Path) -> bytes:
    """Read a file and write it again."""
    copy = path.with_name("again.jsonl")
    write_chats(copy, [restore(r.columns, r.messages, r.text) for r in read_chats(path, path.name)])
    return copy.read_bytes()


def as_instructlab(path: Path, rows: list[dict[str, Any]]) -> Path:
    """Write rows with the library and the options that InstructLab uses."""
    datasets = pytest.importorskip("datasets")
    datasets.Dataset.from_list(rows).to_json(str(path), orient="records", lines=True, force_ascii=False)
    return path


def test_a_line_is_read_with_its_flag_and_place(tmp_path: Path) -> None:
    system = {"role": "system", "content": "Be brief."}
    path = write(
        tmp_path / "a.jsonl",
        {"messages": [system, USER, ANSWER], "metadata": '{"a": 1}', "id": "x1", "unmask": True},
        {"messages": [USER, ANSWER]},
    )
    first, second = read_chats(path, "sets/a.jsonl")
    assert first.messages == (
        Message("system", "Be brief."),
        Message("user", "How tall?"),
        Message("assistant", "8.8 km."),
    )
    assert (first.place, first.id, first.unmask, first.text) == ("sets/a.jsonl:1", "x1", True, "")
    assert (second.place, second.id, second.unmask) == ("sets/a.jsonl:2", "", False)


def test_instructlabs_files_stay_equal_byte_by_byte(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {
            "messages": [{"content": "Help: https://a.b/c", "role": "system"}, USER, ANSWER],
            "metadata": json.dumps({"sdg_document": 'a/b "c"\n', "domain": "géo", "dataset": "qa"}),
            "id": "0b6a2f8e-6e3e-4b9c-9a51-0d2f7a3c9f10",
            "unmask": True,
        },
        {
            "messages": [
                {"content": "", "role": "system"},
                {"content": "山有多高？\t🏔\u2028", "role": "user"},
                {"content": "</s> \\ \x07 \u007f 8848 米", "role": "assistant"},
                {"content": "And then?", "role": "user"},
                {"content": "Nothing.", "role": "assistant"},
            ],
            "metadata": "{}",
            "id": "2",
            "unmask": False,
        },
        {
            "messages": [{"content": "<|user|>\nWho?\n<|assistant|>\nAnna.\nBoris.", "role": "pretraining"}],
            "metadata": "",
            "id": "3",
            "unmask": False,
        },
        {
            "messages": [{"content": "A plain text.", "role": "pretraining"}],
            "metadata": None,
            "id": None,
            "unmask": None,
        },
    ]
    path = as_instructlab(tmp_path / "skills_train_msgs.jsonl", rows)
    assert again(path) == path.read_bytes()
    read = list(read_chats(path, "f"))
    assert [row.unmask for row in read] == [True, False, True, True]
    assert read[2].messages == (Message("user", "Who?"), Message("assistant", "Anna.\nBoris."))
    assert (read[3].messages, read[3].text) == ((), "A plain text.")


@given(
    st.lists(
        st.tuples(
            st.text(st.characters(exclude_categories=["Cs"])).filter(str.strip),
            st.text(st.characters(exclude_categories=["Cs"])).filter(str.strip),
            st.booleans(),
        ),
        min_size=1,
        max_size=5,
    )
)
def test_what_was_written_is_read_and_written_the_same(
    tmp_path_factory: pytest.TempPathFactory, chats: list[tuple[str, str, bool]]
) -> None:
    path = tmp_path_factory.mktemp("f") / "a.jsonl"
    rows = [
        {
            "messages": [{"content": q, "role": "user"}, {"content": a, "role": "assistant"}],
            "metadata": json.dumps({"q": q}),
            "unmask": flag,
        }
        for q, a, flag in chats
    ]
    write_chats(path, rows)
    assert again(path) == path.read_bytes()
    assert [(r.messages[0].content, r.messages[1].content, r.unmask) for r in read_chats(path, "f")] == chats


def test_columns_of_other_tools_and_gzip_are_kept(tmp_path: Path) -> None:
    row = {"messages": [USER, ANSWER], "group": 3, "extra": {"a": [1, None]}, "unmask": False}
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(f"\ufeff{encode(row)}\n\n".encode()))
    [read] = read_chats(path, "a.jsonl.gz")
    assert restore(read.columns, read.messages, read.text) == row


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"messages": [', r"f\.jsonl:2 is not JSON: .*column \d+"),
        ("[]", "f.jsonl:2 is not an object"),
        ("{}", "f.jsonl:2 has no messages"),
        ('{"messages": "hi"}', "f.jsonl:2 has no messages"),
        ('{"messages": ["hi"]}', "f.jsonl:2: message 1 is not an object"),
        (
            '{"messages": [{"role": "robot", "content": "x"}]}',
            'f.jsonl:2: message 1 has the unknown role "robot"',
        ),
        ('{"messages": [{"role": ["user"], "content": "x"}]}', "f.jsonl:2: message 1 has the unknown role"),
        ('{"messages": [{"role": "user", "content": null}]}', "f.jsonl:2: message 1 has no content"),
        (
            '{"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": " "}]}',
            r"f.jsonl:2: message 2 \(assistant\) is empty",
        ),
        ('{"messages": [{"role": "user", "content": "x"}]}', "f.jsonl:2 does not end with an answer"),
        ('{"messages": [{"role": "assistant", "content": "x"}]}', "f.jsonl:2 asks nothing"),
        (
            '{"messages": [{"role": "user", "content": "x"}, {"role": "pretraining", "content": "y"}]}',
            "f.jsonl:2: a turn of the role pretraining stands alone",
        ),
        (
            '{"messages": [{"role": "user", "content": "x"}, '
            '{"role": "assistant", "content": "y", "tool_calls": [{}]}]}',
            "f.jsonl:2: message 2 has 'tool_calls', which labtune cannot train",
        ),
        (
            '{"unmask": 1, "messages": [{"role": "user", "content": "x"}, '
            '{"role": "assistant", "content": "y"}]}',
            "f.jsonl:2: unmask is 1, not true or false",
        ),
        (
            '{"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "\\ud800"}]}',
            "f.jsonl:2 holds half a character",
        ),
        ("[" * 100_000, "f.jsonl:2 is nested too deeply"),
    ],
)
def test_a_bad_line_is_named_with_file_and_line(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "f.jsonl"
    path.write_text(f"{encode({'messages': [USER, ANSWER]})}\n{line}\n")
    with pytest.raises(DataError, match=message):
        list(read_chats(path, "f.jsonl"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (pickle.dumps([1]), "f.jsonl is a Python pickle, which can run code"),
        (b"PAR1 pickled", "f.jsonl is a Parquet file"),
        (gzip.compress(b"{}"), "f.jsonl is a gzip file"),
        (b"\xff\xfe{}", "f.jsonl:1 is not UTF-8 text"),
    ],
    # Named here, because a gzip header holds the time, and two pytest workers must collect the same names.
    ids=["pickle", "parquet", "gzip", "utf-16"],
)
def test_files_of_another_kind_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "f.jsonl").write_bytes(content)
    with pytest.raises(DataError, match=message):
        list(read_chats(tmp_path / "f.jsonl", "f.jsonl"))


def test_a_broken_gzip_file_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "f.jsonl.gz").write_bytes(gzip.compress(b"\n" * 1000)[:20])
    with pytest.raises(DataError, match=r"f\.jsonl\.gz cannot be read"):
        list(read_chats(tmp_path / "f.jsonl.gz", "f.jsonl.gz"))


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_but_a_data_error(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.mktemp("f") / "f.jsonl"
    path.write_bytes(content)
    try:
        rows = list(read_chats(path, "f.jsonl"))
    except DataError as error:
        assert error.message.startswith("f.jsonl")
    else:
        assert all(row.messages or row.text for row in rows)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from(["user", "assistant"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["role", "content", "messages", "unmask"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["messages", "unmask", "id", "metadata"]), _JSON, max_size=4))
def test_no_json_raises_anything_but_a_data_error(
    tmp_path_factory: pytest.TempPathFactory, value: dict[str, Any]
) -> None:
    path = write(tmp_path_factory.mktemp("f") / "f.jsonl", value)
    try:
        rows = list(read_chats(path, "f.jsonl"))
    except DataError as error:
        assert error.message.startswith("f.jsonl:1")
    else:
        assert [restore(r.columns, r.messages, r.text) for r in rows] == [value]
