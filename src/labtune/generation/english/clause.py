"""Finds subject, verb and adjuncts of a plain English sentence. What does not parse gives None."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

from labtune.generation.english.adjuncts import Adjunct, split_adjuncts
from labtune.generation.english.inflect import verb_form
from labtune.generation.english.tag import BE, MODALS, NAMING, Token, cut_brackets, plural_phrase
from labtune.generation.lexicon import word_set


@dataclass(frozen=True, slots=True)
class Clause:
    """A parsed sentence.

    `subject` is empty for an imperative. `auxiliaries` holds the words before the main verb (with `not`).
    `verb` is the main verb, or the form of be when it is the main verb. `rest` follows the verb: `object`,
    then `adjuncts`. `lead` is an adverbial before the subject.
    """

    lead: tuple[Token, ...]
    subject: tuple[Token, ...]
    auxiliaries: tuple[Token, ...]
    verb: Token
    object: tuple[Token, ...]
    adjuncts: tuple[Adjunct, ...]
    plural: bool

    @property
    def imperative(self) -> bool:
        """True for an instruction."""
        return not self.subject

    @property
    def negative(self) -> bool:
        """True when the verb is negated."""
        words = {token.low for token in (*self.auxiliaries, self.verb)}
        return bool(words & {"not", "never", "cannot"}) or any(word.endswith("n't") for word in words)

    @property
    def copula(self) -> bool:
        """True when the main verb is a form of be."""
        return self.verb.low in BE

    @property
    def passive(self) -> bool:
        """True for be + participle."""
        return self.verb.form == "part" and any(token.low in BE for token in self.auxiliaries)

    @property
    def past(self) -> bool:
        """True for a past tense without auxiliary."""
        return not self.auxiliaries and (self.verb.form == "past" or self.verb.low in ("was", "were"))


def parse_all(tokens: list[Token]) -> list[Clause]:
    """The main clause, its coordinated predicates, and later clauses that stand on their own."""
    clauses: list[Clause] = []
    for part in _clause_parts(tokens):
        clause = parse(part)
        while clause is not None and len(clauses) < 6:
            first, second = _split_predicate(clause)
            clauses.append(first)
            clause = second
    return clauses


def _clause_parts(tokens: list[Token]) -> list[list[Token]]:
    """Cut before `, and/but/while/although/where` and `;` where both sides have a verb of their own."""
    parts: list[list[Token]] = [[]]
    depth = 0
    for index, token in enumerate(tokens):
        depth += (token.text in "([") - (token.text in ")]")
        following = tokens[index + 1] if index + 1 < len(tokens) else None
        joint = token.text == ";" or (
            token.text == ","
            and following is not None
            and following.low in ("and", "but", "while", "although", "whereas", "so")
        )
        if joint and depth == 0 and following is not None:
            skip = 1 if token.text == ";" else 2
            rest = tokens[index + skip :]
            if parse(parts[-1]) is not None and parse(rest) is not None and _has_subject(rest):
                parts.append([])
                continue
        if (
            not parts[-1]
            and len(parts) > 1
            and token.tag in ("CONJ", "SUB")
            and token.low not in ("if", "when")
        ):
            continue
        parts[-1].append(token)
    return parts


def _has_subject(tokens: list[Token]) -> bool:
    clause = parse(tokens)
    return clause is not None and bool(clause.subject)


def _split_predicate(clause: Clause) -> tuple[Clause, Clause | None]:
    """`X is free and can be printed` -> two clauses with one subject."""
    if clause.imperative:
        return clause, None
    rest = [*clause.object, *(token for adjunct in clause.adjuncts for token in adjunct.tokens)]
    for index in range(1, len(rest) - 1):
        if rest[index].tag == "SUB" or rest[index].text == ":":
            break
        if rest[index].low not in ("and", "but") or rest[index - 1].tag in ("VERB",):
            continue
        after = rest[index + 1 :]
        if _finite_start(after, clause):
            first_rest = [
                token for token in rest[:index] if token.text != "," or token is not rest[index - 1]
            ]
            complement, adjuncts = split_adjuncts(first_rest)
            first = replace(clause, object=tuple(complement), adjuncts=tuple(adjuncts))
            body = [*clause.subject, *after]
            return first, _declarative([], body, len(clause.subject))
    return clause, None


def _finite_start(after: list[Token], clause: Clause) -> bool:
    token = after[0]
    if token.tag == "AUX":
        return token.low not in ("be", "been", "being")
    form = verb_form(token.low)
    if form is None or clause.auxiliaries or len(after) < 2:
        return False
    if clause.past:
        return "past" in form.forms and token.tag != "ADJ"
    nounish = token.lemma in word_set("en_words", "noun_first") and after[1].tag not in ("DET", "PREP", "NUM")
    return "s" in form.forms and not clause.plural and not nounish and token.tag != "NOUN"


def parse(tokens: list[Token]) -> Clause | None:
    """The main clause, or None when the sentence has no shape that the rules know."""
    body = list(tokens)
    while body and body[-1].tag == "PUNCT":
        body.pop()
    if len(body) < 2 or any(token.text in ':;()[]“”"' for token in body):
        body = cut_brackets(body)
    if len(body) < 2:
        return None
    if body[0].low in ("do", "don't") and _imperative_start(body):
        return _imperative(body)
    if body[0].tag == "VERB" and body[0].form == "base" and body[0].text[0].isupper():
        clause = _imperative(body)
        if clause is not None:
            return clause
    lead, body = _split_lead(body)
    place = _main_verb(body)
    if place is None:
        return None
    return _declarative(lead, body, place)


def _imperative_start(body: list[Token]) -> bool:
    return (len(body) > 2 and body[1].low in ("not",)) or body[0].low == "don't"


def _imperative(body: list[Token]) -> Clause | None:
    index = 0
    auxiliaries: list[Token] = []
    while index < len(body) and body[index].low in ("do", "don't", "not", "never", "always"):
        auxiliaries.append(body[index])
        index += 1
    if index >= len(body):
        return None
    form = verb_form(body[index].low)
    base = "base" in form.forms if form is not None else body[index].form == "base"
    if not base:
        return None
    lemma = form.lemma if form is not None else body[index].low
    verb = replace(body[index], tag="VERB", lemma=lemma, form="base")
    rest = body[index + 1 :]
    if _has_finite_auxiliary(rest):
        return None
    complement, adjuncts = split_adjuncts(rest)
    if not complement and not adjuncts:
        return None
    return Clause((), (), tuple(auxiliaries), verb, tuple(complement), tuple(adjuncts), False)


def _has_finite_auxiliary(rest: list[Token]) -> bool:
    """A finite auxiliary outside a subordinate clause says that the first word was a noun after all."""
    for token in rest:
        if token.tag == "SUB" or token.tag == "PUNCT" or token.low == "and":
            return False
        if token.tag == "AUX" and token.low not in ("be", "been", "being"):
            return True
    return False


def _split_lead(body: list[Token]) -> tuple[list[Token], list[Token]]:
    """Split `In 1997, ...` and `However, ...` off."""
    starts = body[0].tag in ("PREP", "ADV", "SUB", "TO") or (body[0].tag == "ADJ" and body[0].form == "ing")
    if not starts:
        return [], body
    for index, token in enumerate(body[:22]):
        if token.text == "," and index + 2 < len(body):
            return body[:index], body[index + 1 :]
    return [], body


def _main_verb(body: list[Token]) -> int | None:
    best: tuple[int, int] | None = None
    for index, token in enumerate(body):
        if index == 0:
            if token.tag == "SUB":
                return None
            continue
        if (token.tag == "SUB" and token.low != "once") or token.text == ",":
            break
        score = _verb_score(body, index)
        if score and (best is None or score > best[0] or (best[0] <= 2 and index == best[1] + 1)):
            best = (score, index)
        if best is not None and best[0] >= 3 and index > best[1]:
            break
    if best is None or best[0] < 1 or best[1] > 14:
        return None
    return best[1]


def _verb_score(body: list[Token], index: int) -> int:
    token = body[index]
    if token.tag == "AUX":
        return 4 if token.low not in ("be", "been", "being", "having") else 0
    form = verb_form(token.low)
    if form is None or not _may_be_finite(token, body[index - 1]):
        return 0
    subject = [replace(item, tag="NOUN") if item.tag == "?" else item for item in body[:index]]
    previous = subject[-1]
    plural = plural_phrase(subject) or previous.low in ("i", "you", "we", "they")
    if token.form == "s" and (plural_phrase([previous]) and previous.tag == "NOUN" and len(subject) <= 3):
        return 0
    if token.form == "base" and "past" not in form.forms and not plural:
        return 0
    score = 1 if token.lemma in word_set("en_words", "noun_first") else 3
    if token.form == "past" and "part" in form.forms:
        score = 2
    following = body[index + 1] if index + 1 < len(body) else None
    if following is not None and following.low == "by" and token.form == "past":
        return 0
    likely = ("DET", "NUM", "PRON") if score == 2 else ("DET", "PREP", "TO", "NUM", "ADV", "PRON")
    if following is not None and following.tag in likely:
        score += 1
    return score


def _may_be_finite(token: Token, previous: Token) -> bool:
    form = verb_form(token.low)
    if form is None or token.tag not in ("VERB", "?") or token.form == "ing":
        return False
    if token.form == "part" and "past" not in form.forms:
        return False
    return previous.tag not in ("DET", "PREP", "TO", "NUM") and (
        previous.tag != "ADJ" or previous.form in ("part", "ing")
    )


def _declarative(lead: list[Token], body: list[Token], place: int) -> Clause | None:
    subject = [replace(token, tag="NOUN") if token.tag == "?" else token for token in body[:place]]
    while len(subject) > 1 and subject[-1].tag == "ADV":
        subject.pop()
    if not _is_nominal(subject):
        return None
    auxiliaries: list[Token] = []
    index = place
    while index < len(body) and (body[index].tag == "AUX" or (auxiliaries and body[index].tag == "ADV")):
        auxiliaries.append(body[index])
        index += 1
    verb = _pick_verb(body, index, auxiliaries)
    if verb is None:
        return None
    cut = next((n for n, token in enumerate(auxiliaries) if token.start == verb.start), None)
    if cut is not None:
        # Adverbs after a form of be belong to the complement, `not` to the verb.
        index = place + cut + 1
        auxiliaries = auxiliaries[:cut]
        if index < len(body) and body[index].low == "not":
            auxiliaries.append(body[index])
            index += 1
    else:
        index += 1
    rest = body[index:]
    if not rest and not auxiliaries and not lead:
        return None
    complement, adjuncts = split_adjuncts(rest)
    if _second_verb(complement):
        return None
    return Clause(
        tuple(lead),
        tuple(subject),
        tuple(auxiliaries),
        verb,
        tuple(complement),
        tuple(adjuncts),
        _number(subject, body[place]),
    )


def _second_verb(complement: list[Token]) -> bool:
    """A finite verb right after a name inside the object: the sentence is not as simple as it looked."""
    for left, right in pairwise(complement):
        if left.tag == "SUB":
            return False
        if (
            left.tag in ("PROPN", "PRON")
            and right.tag in ("VERB", "?", "AUX")
            and right.form in ("past", "s", "")
        ):
            return True
    return False


def _number(subject: list[Token], verb: Token) -> bool:
    if verb.low in ("are", "were", "have", "do", "aren't", "weren't", "don't", "haven't"):
        return True
    if verb.low in ("is", "was", "has", "does", "isn't", "wasn't", "doesn't", "hasn't") or verb.form == "s":
        return False
    return plural_phrase(subject)


def _pick_verb(body: list[Token], index: int, auxiliaries: list[Token]) -> Token | None:
    token = body[index] if index < len(body) else None
    if token is not None and token.tag in ("VERB", "?", "ADJ", "NOUN"):
        form = verb_form(token.low)
        if not auxiliaries and form is not None and token.tag in ("VERB", "?"):
            shape = token.form if token.form != "part" else "past"
            return replace(token, tag="VERB", form=shape, lemma=form.lemma)
        if auxiliaries and form is not None:
            wanted = _wanted_form(auxiliaries)
            if wanted & form.forms:
                shape = sorted(wanted & form.forms)[-1]
                return replace(token, tag="VERB", form=shape, lemma=form.lemma)
    for auxiliary in auxiliaries:
        if auxiliary.low in BE and auxiliary is [a for a in auxiliaries if a.tag == "AUX"][-1]:
            return replace(auxiliary, lemma="be")
    last = [a for a in auxiliaries if a.tag == "AUX"]
    if (
        token is not None
        and token.low.endswith("ed")
        and token.tag != "NUM"
        and last
        and last[-1].low[:2] == "ha"
    ):
        return None
    if last and last[-1].low in ("has", "have", "had", "does", "do", "did") and last[-1] is auxiliaries[-1]:
        lemma = "have" if last[-1].low.startswith("ha") else "do"
        forms = {"has": "s", "does": "s", "had": "past", "did": "past"}
        return replace(last[-1], tag="VERB", lemma=lemma, form=forms.get(last[-1].low, "base"))
    return None


def _wanted_form(auxiliaries: list[Token]) -> frozenset[str]:
    last = [token for token in auxiliaries if token.tag == "AUX"][-1].low
    if last in BE:
        return frozenset(("part", "ing"))
    if last in ("has", "have", "had"):
        return frozenset(("part",))
    return frozenset(("base",))


def _is_nominal(subject: list[Token]) -> bool:
    if not subject or len(subject) > 14:
        return False
    if len(subject) == 1 and subject[0].tag == "PRON":
        return subject[0].low not in ("there",)
    if subject[0].tag in ("PREP", "SUB", "AUX", "PUNCT", "CONJ", "TO"):
        return False
    if subject[0].low in ("there", "here", "that", "what", "which", "who"):
        return False
    if any(token.tag == "PUNCT" and token.text != "," for token in subject):
        return False
    return (
        any(token.tag in NAMING for token in subject)
        or subject[0].form == "ing"
        or (subject[0].tag == "PRON" and len(subject) == 1)
    )


def modal(clause: Clause) -> str:
    """The modal verb of the clause in lower case, or nothing."""
    for token in clause.auxiliaries:
        if token.low in MODALS:
            return token.low
    return ""
