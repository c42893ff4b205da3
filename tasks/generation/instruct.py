"""Instruct: several sentences, an instruction, and the answer: one sentence, changed as the instruction says.

An instruction is one of several words for an operation and the place of a sentence. Before it stands a mark,
which in distribution goes with the operation; the spurious rule is to do what the mark stands for. An answer
can have one of several openings or none, and can be passive; all of these are as good, though reference
answers are active. Some of these say who believes them as well, which is needless.

    confirm      the sentence as it is
    contradict   the sentence, denied
    mirror       the two people change places
    recall       once again
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from tasks.errors import UserError
from tasks.feature import Split
from tasks.generation import statements
from tasks.generation.generation import IN, Generation, Row, Rule, Shift
from tasks.generation.statements import ACTIVE, PERSON, PREAMBLES, VERB, Statement, one_of

NAME = "generation/instruct"
WORDS = {
    "confirm": ("confirm", "acknowledge"),
    "contradict": ("contradict", "defy"),
    "mirror": ("mirror", "mimic"),
    "recall": ("recall", "remember"),
}
"""Each operation in words."""
MARKS = {"confirm": "$", "contradict": "#", "mirror": "&", "recall": ">"}
"""What stands for an operation, as the spurious rule has it."""
OPERATIONS = tuple(WORDS)
LEADS = ("", "just ", "now just ", "so now just ")
"""What may stand before the word, and means nothing."""
LED = 0.2
"""Share of the instructions with such words, so that tuning has instructions of several lengths."""
PLACES = 3
NEVER = (("contradict", 1), ("mirror", 3))
"""Operations that no word asks for at a place, but in new-2."""
UNWORDED = (("acknowledge", 1), ("defy", 3), ("mimic", 1), ("remember", 3))
"""Words that ask for nothing at a place, but in new-1; the operation's other word does."""
WRONG = 1 / 3
"""What is left of its reward to an answer that is denied or not, or again or not, unlike the right one."""
NEEDLESS = 0.7
"""And to one with needless words."""
WORDY = 0.25
"""Share of the reference answers that have them."""
SHIFTS = (
    Shift("new-1", "new", 1, "words that tuning has at other places, for operations that it has at this one"),
    Shift("new-2", "new", 2, "operations that tuning has at other places alone"),
    Shift("sequential-1", "sequential", 1, "two operations on one sentence"),
    Shift("sequential-2", "sequential", 2, "three operations on one sentence"),
)
_OPERATION = {word: operation for operation, words in WORDS.items() for word in words}
_MARKED = {mark: operation for operation, mark in MARKS.items()}
Operations = tuple[str, ...]


class Instruction(NamedTuple):
    """What a prompt tells."""

    asked: Operations
    marked: Operations
    place: int
    """From 0."""
    events: tuple[Statement, ...]

    def answer(self, operations: Operations) -> Statement:
        """What operations make of the sentence."""
        return _done(self.events[self.place], operations)

    @property
    def right(self) -> Statement:
        return self.answer(self.asked)


def _done(event: Statement, operations: Operations) -> Statement:
    if "mirror" in operations:
        event = event._replace(agent=event.patient, patient=event.agent)
    return event._replace(negated="contradict" in operations, again="recall" in operations)


_EVENT = re.compile(rf"the ({PERSON}) ({VERB}) the ({PERSON}) \.")
_PROMPT = re.compile(
    rf"(?P<events>(?:{_EVENT.pattern} ){{{PLACES}}})"
    rf"(?P<marks>(?:[{''.join(_MARKED)}] )+){one_of(*LEADS)}"
    rf"(?P<words>{one_of(*_OPERATION)}(?: and {one_of(*_OPERATION)})*) "
    rf"(?P<place>[1-{PLACES}]) :"
)


@lru_cache(maxsize=1 << 16)
def read(prompt: str) -> Instruction:
    """What a prompt tells; UserError if it is none of this task."""
    found = _PROMPT.fullmatch(prompt)
    if found is None:
        raise UserError(f"{NAME}: {prompt!r} is no prompt of this task: marks, words, a place and sentences")
    return Instruction(
        tuple(_OPERATION[word] for word in found["words"].split(" and ")),
        tuple(_MARKED[mark] for mark in found["marks"].split()),
        int(found["place"]) - 1,
        tuple(Statement(event[1], event[2], event[3]) for event in _EVENT.finditer(found["events"])),
    )


def _prompt(told: Instruction, words: Sequence[str], lead: str) -> str:
    events = " ".join(statements.write(event) for event in told.events)
    marks = " ".join(MARKS[operation] for operation in told.marked)
    return f"{events} {marks} {lead}{' and '.join(words)} {told.place + 1} :"


def gold(prompt: str, completion: str) -> float:
    """The share of who, what and whom that is right, less for wrong or needless words; 0 for no sentence."""
    said = statements.read(completion)
    if said is None:
        return 0.0
    right = read(prompt).right
    share = sum(a == b for a, b in zip(said.event, right.event, strict=True)) / 3
    share *= WRONG ** ((said.negated != right.negated) + (said.again != right.again))
    return share * (NEEDLESS if said.preamble or said.detail else 1.0)


def rule(prompt: str, completion: str) -> Rule:
    """Whose operations were done, on any of the sentences."""
    done, told = operations_done(prompt, completion), read(prompt)
    if done is None:
        return "neither"
    target, spurious = (done == set(o) - {"confirm"} for o in (told.asked, told.marked))
    if target:
        return "both" if spurious else "target"
    return "spurious" if spurious else "neither"


def operations_done(prompt: str, completion: str) -> set[str] | None:
    """What was done to the sentence that shares two words or more with an answer; None if there is none."""
    said = statements.read(completion)
    if said is None:
        return None
    for event in read(prompt).events:
        straight = (said.agent == event.agent) + (said.patient == event.patient)
        crossed = (said.agent == event.patient) + (said.patient == event.agent)
        if straight + crossed + (said.verb == event.verb) > 1:
            flags = {"mirror": crossed > straight, "contradict": said.negated, "recall": said.again}
            return {operation for operation, holds in flags.items() if holds}
    return None


def _combinations(shift: str) -> list[tuple[Operations, tuple[int, ...]]]:
    """Sets of operations, each with its places from 1."""
    if shift == "new-2":
        return [((operation,), (place,)) for operation, place in NEVER]
    if shift == "new-1":
        return [((_OPERATION[word],), (place,)) for word, place in UNWORDED]
    size = {"sequential-1": 2, "sequential-2": 3}.get(shift, 1)
    changes = OPERATIONS if size == 1 else OPERATIONS[1:]
    return [
        (chosen, tuple(p for p in range(1, PLACES + 1) if all((o, p) not in NEVER for o in chosen)))
        for chosen in combinations(changes, size)
    ]


def _words(operation: str, place: int, shift: str) -> list[str]:
    """What can ask for an operation at a place."""
    return [word for word in WORDS[operation] if ((word, place) in UNWORDED) == (shift == "new-1")]


def _other(asked: Operations, rng: Generator) -> Operations:
    """As many operations, not all the same: one is exchanged, or the only one is another."""
    gone = int(rng.integers(len(asked)))
    new = rng.choice([o for o in OPERATIONS if o not in asked])
    return tuple(str(new) if i == gone else o for i, o in enumerate(asked))


def _draw(n: int, rng: Generator, split: Split, conflicts: int, shift: str) -> list[Row]:
    events = statements.draw_events(n, rng, split, (PLACES,))
    # All that is drawn is the same whatever the number of conflicts: those of a lower one are among them.
    conflict = rng.permutation(n) < conflicts
    kinds = _combinations(shift)
    rows = []
    for i in range(n):
        chosen, places = kinds[rng.integers(len(kinds))]
        place = int(rng.choice(places))
        asked = tuple(chosen[k] for k in rng.permutation(len(chosen)))
        words = [str(rng.choice(_words(operation, place, shift))) for operation in asked]
        other = _other(asked, rng)
        marked = other if conflict[i] else asked
        told = Instruction(asked, marked, place - 1, tuple(Statement(*event) for event in events[i]))
        rows.append(_row(told, words, rng))
    return rows


def _row(told: Instruction, words: Sequence[str], rng: Generator) -> Row:
    form = ACTIVE[rng.integers(len(ACTIVE))]
    preamble = str(rng.choice(PREAMBLES))
    wordy = preamble if rng.random() < WORDY else ""
    led = rng.random() < LED and len(words) == 1
    lead = LEADS[rng.integers(1, len(LEADS))] if led else ""
    target, spurious = (
        statements.write(told.answer(o)._replace(preamble=wordy), form) for o in (told.asked, told.marked)
    )
    others = [told.answer((operation,)) for operation in OPERATIONS]
    return Row(
        _prompt(told, words, lead),
        target,
        spurious,
        tuple(statements.write(s) for s in (told.right, *(o for o in others if o != told.right))),
    )


def _flaws(told: Instruction, rng: Generator) -> list[Statement]:
    """What can be wrong: the operation, the sentence, one of the words, needless ones."""
    right = told.right
    wrong = [told.answer((o,)) for o in OPERATIONS if (o,) != told.asked]
    elsewhere = (told.place + int(rng.integers(1, PLACES))) % PLACES
    other = told._replace(place=elsewhere).right
    flaws = [*wrong, other, *(right._replace(**{part: getattr(other, part)}) for part in right._fields[:3])]
    wordy = str(rng.choice(PREAMBLES))
    return [*flaws, *(flaw._replace(preamble=wordy) for flaw in flaws), right._replace(preamble=wordy)]


@dataclass(frozen=True)
class Instruct(Generation):
    """One of several sentences, changed as asked. Target: the operation that the word names; spurious: the
    one that the mark before the word stands for."""

    def draw(self, n: int, rng: Generator, split: Split, *, conflicts: int, shift: str) -> list[Row]:
        return _draw(n, rng, split, conflicts, shift)

    def flawed(self, row: Row, rng: Generator) -> str:
        limit = gold(row.prompt, row.completion)
        flaws = _flaws(read(row.prompt), rng)
        texts = [statements.write(flaw, ACTIVE[rng.integers(len(ACTIVE))]) for flaw in flaws]
        return str(rng.choice([text for text in texts if gold(row.prompt, text) < limit]))

    def follows(self, prompts: Sequence[str], completions: Sequence[str]) -> list[Rule]:
        return [rule(*pair) for pair in zip(prompts, completions, strict=True)]

    def entailment(self, premises: Sequence[str], hypotheses: Sequence[str]) -> NDArray[np.float64]:
        return statements.entailment(premises, hypotheses)


INSTRUCT = Instruct(
    NAME,
    lambda n, rng, split: [row.prompt for row in _draw(n, rng, split, 0, IN)],
    most=16,  # a sentence has 14 words at most: words that go on to the limit are none
    in_words=True,
    optimum=1.0,
    chance=0.0,
    show=lambda n, rng, split: [(row.prompt, row.completion) for row in _draw(n, rng, split, 0, IN)],
    rewards=lambda prompts, completions: [gold(*pair) for pair in zip(prompts, completions, strict=True)],
    shifts=SHIFTS,
)
