"""Questions for a table cell: row, column, value."""

from __future__ import annotations

from collections.abc import Iterator

from labtune.generation.english.inflect import article, third_person, verb_form
from labtune.generation.english.marks import NAME, render
from labtune.generation.english.names import Names
from labtune.generation.english.situations import row_pieces
from labtune.generation.english.tag import tag
from labtune.generation.lexicon import word_set
from labtune.generation.rows import Ask, Piece
from labtune.types import TableStatement

_SIGNS = word_set("en_words", "signs")
_MEANINGS = ("meaning", "cause", "problem", "what it means", "reason", "explanation")
_REMEDIES = ("what to do", "action", "remedy", "solution", "fix", "measure", "what you do", "help")


def row_asks(statement: TableStatement, start: int, end: int, names: Names, topic: str = "") -> Iterator[Ask]:
    """Asks for one cell. `start:end` is the statement's place; the value stands at its end."""
    row = render(tag(_low(statement.row)))
    column = render(tag(_low(statement.column)))
    label = statement.column.lower().strip(" ?:")
    value_start = _value_start(statement, start, end)
    short = (value_start, value_start + len(statement.value)) if value_start is not None else None
    if label in _MEANINGS:
        yield from _meaning(row, statement.row, names, short)
    elif label in _REMEDIES:
        yield from _remedy(row, names, short)
    else:
        yield from _attribute(row, column, short)
    yield from _reverse(statement, row, names)


def cell_pieces(statement: TableStatement) -> Iterator[Piece]:
    """What people's own ways to ask for the cell are built around."""
    label = statement.column.lower().strip(" ?:")
    first, _, colour = statement.row.lower().partition(" ")
    yield from row_pieces(
        render(tag(_low(statement.row))),
        render(tag(_low(statement.column))),
        tag(statement.value.strip(" .")),
        light=f"{first} {colour}" if colour and _light(statement.row) else "",
        problem=label in (*_MEANINGS, *_REMEDIES),
    )


def _low(text: str) -> str:
    words = text.split()
    if not words or (len(words[0]) > 1 and not words[0][1:].islower()) or words[0].isdigit():
        return text
    return (
        words[0].lower() + text[len(words[0]) :]
        if (len(words) > 1 and words[1].islower()) or len(words) == 1
        else text
    )


def _value_start(statement: TableStatement, start: int, end: int) -> int | None:
    room = end - start - len(statement.value)
    return end - len(statement.value) - 1 if room > 0 else None


def _light(row_text: str) -> bool:
    first = row_text.split()[0].lower() if row_text else ""
    return first in (
        "flashing",
        "pulsing",
        "solid",
        "blinking",
        "steady",
        "glowing",
        "red",
        "green",
        "blue",
        "yellow",
        "white",
        "orange",
    )


def _meaning(row: str, row_text: str, names: Names, short: tuple[int, int] | None) -> Iterator[Ask]:
    yield Ask(f"What does {row} mean?", "table_cell", f"what {row} means", short, weight=4)
    yield Ask(
        f"What is the meaning of {row}?", "table_cell", f"what the meaning of {row} is", short, weight=2
    )
    yield Ask(f"What does {row} tell me?", "table_cell", f"what {row} tells me", short)
    yield Ask(f"What is wrong when I see {row}?", "table_cell", f"what is wrong when I see {row}", short)
    if _light(row_text):
        yield from _light_asks(row_text, names, short)


_FLASHING = (
    ("The light is {d}.", "complaint", "why the light is {d}", 5),
    ("Why is the light {d}?", "why", "why the light is {d}", 4),
    ("What does it mean when the light {t} {c}?", "table_cell", "what it means when the light {t} {c}", 3),
    ("Why is {o} {d}?", "why", "why {o} is {d}", 3),
    ("{o} is {d}.", "complaint", "why {o} is {d}", 3),
    ("What do I do when the light {t} {c}?", "remedy", "what I do when the light {t} {c}", 3),
    ("What should I do if the light is {d}?", "remedy", "what I should do if the light is {d}", 3),
    ("There is {a} {c} light that {t}.", "complaint", "", 2),
    ("The {c} light keeps {f}.", "complaint", "", 3),
)
_STEADY = (
    ("The light is {d}.", "complaint", "why the light is {d}", 4),
    ("The light stays {c}.", "complaint", "why the light stays {c}", 4),
    ("Why is the light {d}?", "why", "why the light is {d}", 4),
    ("Why is the light {c} all the time?", "why", "", 3),
    ("There is {n} {d} light.", "complaint", "", 3),
    ("What should I do if the light is {d}?", "remedy", "what I should do if the light is {d}", 3),
    ("{o} shows {a} {c} light.", "complaint", "why {o} shows {a} {c} light", 3),
)


def _light_asks(row_text: str, names: Names, short: tuple[int, int] | None) -> Iterator[Ask]:
    """A row such as `Flashing blue`: people describe what they see."""
    first, _, colour = row_text.lower().partition(" ")
    if not colour:
        yield Ask(f"What does {article(first)} {first} light mean?", "table_cell", "", short, weight=3)
        return
    form = verb_form(first)
    flashing = form is not None and "ing" in form.forms
    slots = {
        "d": f"{first} {colour}",
        "c": colour,
        "f": first,
        "t": third_person(form.lemma) if form is not None else "",
        "o": NAME if names.one else "it",
        "a": article(colour),
        "n": article(first),
    }
    for text, kind, indirect, weight in _FLASHING if flashing else _STEADY:
        yield Ask(
            text.format_map(slots),
            "table_cell" if kind == "remedy" else kind,
            indirect.format_map(slots),
            None if kind == "remedy" else short,
            weight=weight,
            family="statement" if kind == "complaint" else "sentence",
        )


def _remedy(row: str, names: Names, short: tuple[int, int] | None) -> Iterator[Ask]:
    for text in (
        f"What should I do about {row}?",
        f"What do I do in case of {row}?",
        f"What helps with {row}?",
        f"How do I fix {row}?",
    ):
        yield Ask(text, "table_cell", "", short)


def _attribute(row: str, column: str, short: tuple[int, int] | None) -> Iterator[Ask]:
    yield Ask(
        f"What is the {column} of {row}?", "table_cell", f"what the {column} of {row} is", short, weight=4
    )
    yield Ask(f"What {column} does {row} have?", "table_cell", f"what {column} {row} has", short, weight=3)
    yield Ask(f"Which {column} does {row} have?", "table_cell", f"which {column} {row} has", short, weight=2)
    yield Ask(f"What {column} applies to {row}?", "table_cell", f"what {column} applies to {row}", short)
    yield Ask(f"I need the {column} of {row}.", "table_cell", "", short)
    yield Ask(f"Can you give me the {column} for {row}?", "table_cell", "", short)
    yield Ask(f"What does the table give as {column} for {row}?", "table_cell", "", short, weight=1)


def _reverse(statement: TableStatement, row: str, names: Names) -> Iterator[Ask]:
    """From the value back to the row: `The dust bin is full. What should I do?`."""
    value = statement.value.strip(" .")
    tokens = tag(value)
    if len(tokens) < 2:
        return
    if any(token.tag == "AUX" for token in tokens):
        text = render(tokens)
        yield Ask(f"{value}.", "complaint", "", None, weight=3, family="statement")
        yield Ask(f"How do I see that {text}?", "table_reverse", f"how I see that {text}", weight=3)
        yield Ask(f"What shows me that {text}?", "table_reverse", f"what shows me that {text}", weight=2)
        yield Ask(f"What do I do when {text}?", "table_reverse", f"what I do when {text}", weight=3)
        yield Ask(f"What does it look like when {text}?", "table_reverse", weight=1)
        if _light(statement.row):
            yield Ask(
                f"Which light tells me that {text}?",
                "table_reverse",
                f"which light tells me that {text}",
                weight=3,
            )
            yield Ask(
                f"What colour is the light when {text}?",
                "table_reverse",
                f"what colour the light is when {text}",
                weight=3,
            )
            yield Ask(
                f"How does the light look when {text}?",
                "table_reverse",
                f"how the light looks when {text}",
                weight=2,
            )
    elif tokens[0].tag == "VERB" and tokens[0].form == "base":
        text = render(tokens)
        yield Ask(f"When should I {text}?", "table_reverse", f"when I should {text}", weight=2)
        yield Ask(f"When do I have to {text}?", "table_reverse", f"when I have to {text}", weight=2)
