import random

import pytest

from labtune.generation.chinese.teacher import swap as swap_chinese
from labtune.generation.english.inflect import (
    gerund,
    inflect_verb,
    past,
    plural,
    singular,
    third_person,
    verb_form,
)
from labtune.generation.english.keywords import keyword_question
from labtune.generation.english.marks import NOUN, VERB, strip
from labtune.generation.english.paraphrase import swap, synonyms
from labtune.generation.lexicon import load_lexicon


@pytest.mark.parametrize(
    ("lemma", "form", "word"),
    [
        ("carry", "s", "carries"),
        ("stop", "past", "stopped"),
        ("take", "part", "taken"),
        ("make", "ing", "making"),
        ("turn on", "s", "turns on"),
        ("tie", "ing", "tying"),
        ("go", "s", "goes"),
    ],
)
def test_verbs_inflect(lemma: str, form: str, word: str) -> None:
    assert inflect_verb(lemma, form) == word


def test_lemmas_come_back_from_their_forms() -> None:
    for lemma in ("carry", "stop", "write", "find", "leave", "press"):
        for inflect in (third_person, past, gerund):
            form = verb_form(inflect(lemma))
            assert form is not None and form.lemma == lemma


@pytest.mark.parametrize(
    ("one", "many"),
    [("box", "boxes"), ("battery", "batteries"), ("leaf", "leaves"), ("dust bin", "dust bins")],
)
def test_nouns_inflect(one: str, many: str) -> None:
    assert plural(one) == many
    assert singular(many) == one


def test_a_swap_takes_over_the_inflection_of_the_word() -> None:
    seen = {
        strip(swap(f"Who {VERB}repairs the {NOUN}batteries?", random.Random(seed), 2)) for seed in range(60)
    }
    assert {"Who fixes the accumulators?", "Who mends the power cells?"} <= seen


def test_the_article_follows_the_swapped_word() -> None:
    texts = {swap(f"Is this a {NOUN}battery?", random.Random(seed), 1) for seed in range(40)}
    assert "Is this an accumulator?" in texts


def test_words_with_many_senses_are_never_swapped() -> None:
    for part in ("verb", "noun", "adjective", "adverb"):
        never = load_lexicon("en_synonyms")["never"][part].split()
        assert not set(never) & set(synonyms(part))


def test_the_lexicons_are_as_large_as_promised() -> None:
    groups = load_lexicon("en_synonyms")
    assert sum(len(groups[part]) for part in ("verb", "noun", "adjective", "adverb")) >= 600
    assert all(
        len(group.split(",")) > 1
        for part in ("verb", "noun", "adjective", "adverb")
        for group in groups[part]
    )
    assert all(len(str(group).split(",")) > 1 for group in load_lexicon("zh_synonyms")["groups"])


def test_chinese_words_are_swapped_whole() -> None:
    seen = {swap_chinese("患者要带社保卡吗", random.Random(seed), 2) for seed in range(40)}
    assert "病人要带医保卡吗" in seen


def test_search_words_hold_one_that_points_to_the_fact() -> None:
    pool = ("dust bin", "hold", "millilitre", "robot", "floor", "water")
    for seed in range(50):
        text = keyword_question(pool, (2, 1, 1, 9, 3, 4), (), random.Random(seed))
        used = [word for word in pool if word in text]
        assert 2 <= len(used) <= 5 or used == ["dust bin"]
        assert {"dust bin", "hold", "millilitre"} & set(used)
