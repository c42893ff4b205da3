"""Summarise: a report of several events, and one sentence that keeps the main one.

The main event is the one done for all to see, by the word for its manner. The spurious rule is to keep the
first event. A sentence can be active or passive and have an opening or none; all of these are as good. Some
of the reference answers say when or where as well, which is needless.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from tasks.errors import UserError
from tasks.feature import Split
from tasks.generation import statements
from tasks.generation.generation import IN, Generation, Row, Rule, Shift
from tasks.generation.statements import ENDING, ENDINGS, FORMS, PERSON, VERB, Statement, one_of

NAME = "generation/summarise"
FOR_ALL = ("openly", "suddenly")
"""Manners of a main event."""
UNNOTICED = ("quietly", "secretly")
"""Manners of the others."""
DETAILED = 0.25
"""Share of the reference answers that say when or where, in distributions whose reports say it."""
TRUE_DETAIL, FALSE_DETAIL = 0.7, 0.4
"""What of its reward is left to an answer that says so, and to one that says it wrongly."""
EVENTS = (2, 3)
"""Of a report; each number is as likely."""
LONGER = {"longer-1": 4, "longer-2": 5}
"""Events where they are more; these are told without when and where, which keeps the number of words near."""
SHIFTS = (
    Shift("topic-1", "topic", 1, "a quarter of the people and verbs are words that tuning does not have"),
    Shift("topic-2", "topic", 2, "half of the people and verbs are words that tuning does not have"),
    Shift("longer-1", "longer", 1, "four events, without when or where"),
    Shift("longer-2", "longer", 2, "five events, without when or where"),
    Shift("format-1", "format", 1, "events are set apart by semicolons"),
    Shift("format-2", "format", 2, "a list with marks, in which when or where comes before what"),
)


class Report(NamedTuple):
    """What a prompt tells."""

    events: tuple[Statement, ...]
    main: int


class _Told(NamedTuple):
    statement: Statement
    manner: str


def report(events: Sequence[_Told], shift: str = IN) -> str:
    """A prompt."""
    stop = ";" if shift == "format-1" else "."
    told = [["-", s.detail, _event(s, manner)] for s, manner in events]
    if shift != "format-2":
        told = [[_event(s, manner), s.detail, stop] for s, manner in events]
    return " ".join([*(part for parts in told for part in parts if part), "report :"])


def _event(s: Statement, manner: str) -> str:
    return f"{manner} the {s.agent} {s.verb} the {s.patient}"


_EVENT = re.compile(
    rf"(?:(?P<before>{ENDING}) )?(?P<manner>{one_of(*FOR_ALL, *UNNOTICED)}) the (?P<agent>{PERSON}) "
    rf"(?P<verb>{VERB}) the (?P<patient>{PERSON})(?: (?P<after>{ENDING}))?"
)


@lru_cache(maxsize=1 << 16)
def read(prompt: str) -> Report:
    """What a prompt tells; UserError if it is none of this task."""
    found = list(_EVENT.finditer(prompt))
    main = [i for i, event in enumerate(found) if event["manner"] in FOR_ALL]
    if len(main) != 1:
        raise UserError(f"{NAME}: {prompt!r} is no prompt of this task: it has {len(main)} main events")
    events = [
        Statement(e["agent"], e["verb"], e["patient"], detail=e["before"] or e["after"] or "") for e in found
    ]
    return Report(tuple(events), main[0])


def gold(prompt: str, completion: str) -> float:
    """The share of who, what and whom that is right, less for what is needless; 0 for no such sentence."""
    said = statements.read(completion)
    if said is None or said.negated or said.again or said.preamble:
        return 0.0
    told = read(prompt)
    right = told.events[told.main]
    share = sum(a == b for a, b in zip(said.event, right.event, strict=True)) / 3
    if said.detail:
        share *= TRUE_DETAIL if said.detail == right.detail else FALSE_DETAIL
    return share


def rule(prompt: str, completion: str) -> Rule:
    """Whose event it is: one that has two of its who, what and whom."""
    said, told = statements.read(completion), read(prompt)
    if said is None:
        return "neither"
    near = [
        i
        for i, event in enumerate(told.events)
        if sum(a == b for a, b in zip(said.event, event.event, strict=True)) > 1
    ]
    if near == [told.main]:
        return "both" if told.main == 0 else "target"
    return "spurious" if near == [0] else "neither"


def _draw(n: int, rng: Generator, split: Split, conflicts: int, shift: str) -> list[Row]:
    sizes = (LONGER[shift],) if shift in LONGER else EVENTS
    unseen = {"topic-1": 0.25, "topic-2": 0.5}.get(shift, 0.0)
    events = statements.draw_events(n, rng, split, sizes, unseen)
    # All that is drawn is the same whatever the number of conflicts: those of a lower one are among them.
    later = [int(rng.integers(1, len(row))) for row in events]
    main = np.where(rng.permutation(n) < conflicts, later, 0)
    manners = rng.integers(len(FOR_ALL), size=(n, max(sizes)))
    details = rng.integers(len(ENDINGS), size=(n, max(sizes)))
    forms = rng.integers(len(FORMS), size=n)
    detailed = rng.random(n) < DETAILED
    rows = []
    for i in range(n):
        told = [
            _Told(
                Statement(*event, detail="" if shift in LONGER else ENDINGS[details[i, k]]),
                (FOR_ALL if k == main[i] else UNNOTICED)[manners[i, k]],
            )
            for k, event in enumerate(events[i])
        ]
        rows.append(_row(told, int(main[i]), shift, forms[i], bool(detailed[i])))
    return rows


def _row(told: list[_Told], main: int, shift: str, form: int, detailed: bool) -> Row:
    full = [each.statement for each in told]
    plain = [each._replace(detail="") for each in full]
    kept = full if detailed else plain
    right = [main, *(k for k in range(len(told)) if k != main)]
    return Row(
        report(told, shift),
        statements.write(kept[main], FORMS[form]),
        statements.write(kept[0], FORMS[form]),
        tuple(statements.write(plain[k]) for k in right),
    )


def _flaws(told: Report, rng: Generator) -> list[Statement]:
    """What can be wrong: the event, the roles, one of the words, a needless detail."""
    right = told.events[told.main]
    other = told.events[int(rng.choice([k for k in range(len(told.events)) if k != told.main]))]
    flaws = [
        other,
        right._replace(agent=right.patient, patient=right.agent),
        right._replace(agent=other.agent),
        right._replace(verb=other.verb),
        right._replace(patient=other.patient),
    ]
    return [*(flaw._replace(detail="") for flaw in flaws), *flaws, right, right._replace(detail=other.detail)]


@dataclass(frozen=True)
class Summarise(Generation):
    """The main event of a report in one sentence. Target: the event done for all to see, by the word for its
    manner; spurious: the first event."""

    def draw(self, n: int, rng: Generator, split: Split, *, conflicts: int, shift: str) -> list[Row]:
        return _draw(n, rng, split, conflicts, shift)

    def flawed(self, row: Row, rng: Generator) -> str:
        limit = gold(row.prompt, row.completion)
        texts = [statements.write(f, FORMS[rng.integers(len(FORMS))]) for f in _flaws(read(row.prompt), rng)]
        return str(rng.choice([text for text in texts if gold(row.prompt, text) < limit]))

    def follows(self, prompts: Sequence[str], completions: Sequence[str]) -> list[Rule]:
        return [rule(*pair) for pair in zip(prompts, completions, strict=True)]

    def entailment(self, premises: Sequence[str], hypotheses: Sequence[str]) -> NDArray[np.float64]:
        return statements.entailment(premises, hypotheses)


SUMMARISE = Summarise(
    NAME,
    lambda n, rng, split: [row.prompt for row in _draw(n, rng, split, 0, IN)],
    most=14,  # a sentence has 11 words at most: words that go on to the limit are none
    in_words=True,
    optimum=1.0,
    chance=0.0,
    show=lambda n, rng, split: [(row.prompt, row.completion) for row in _draw(n, rng, split, 0, IN)],
    rewards=lambda prompts, completions: [gold(*pair) for pair in zip(prompts, completions, strict=True)],
    shifts=SHIFTS,
)
