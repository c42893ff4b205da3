"""Text-out tasks: what is gold, which rule a text keeps to, what entails what, and what shifts shift."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.english import EnglishCorpus
from tasks import UserError
from tasks.feature import Split
from tasks.generation import instruct, statements, summarise
from tasks.generation.generation import IN, Generation, Row
from tasks.generation.instruct import INSTRUCT
from tasks.generation.promises import checks
from tasks.generation.statements import ENDINGS, FORMS, PEOPLE, PREAMBLES, VERBS, Form, Statement, read, write
from tasks.generation.summarise import SUMMARISE
from tasks.problems import get_problem, is_problem, list_problems, list_text_out, problem_sources, text_out
from tasks.registry import task_sources

BOTH = pytest.mark.parametrize("problem", [SUMMARISE, INSTRUCT], ids=lambda problem: problem.name)
REPORT = (
    "quietly the chef admired the poet at home . suddenly the baker blamed the diver at work . "
    "secretly the clerk greeted the singer at night . report :"
)
ORDER = "the chef admired the poet . the baker blamed the diver . the clerk greeted the singer . $ mirror 2 :"
GENERATORS = np.random.default_rng


def rows(problem: Generation, n: int = 150, split: Split = "train", evidence: float = 0.5) -> list[Row]:
    """Of every distribution."""
    shifts = [IN, *(shift.name for shift in problem.shifts)]
    return [row for s in shifts for row in problem.rows(n, GENERATORS(1), split, evidence=evidence, shift=s)]


def gold(problem: Generation, prompt: str, *texts: str) -> list[float]:
    return problem.reward([prompt] * len(texts), texts)


def test_names_and_sources() -> None:
    names = ["generation/instruct", "generation/summarise"]
    assert list_text_out() == names and {*names} < {*list_problems()} and all(map(is_problem, names))
    assert get_problem(names[1]) is SUMMARISE and text_out(names[0]) is INSTRUCT
    assert {"summarise.py", "statements.py", "lexicon.py"} <= {
        path.name for path in problem_sources(names[1])
    }
    others = {path.name for path in problem_sources("lengths/min-length")}
    others |= {path.name for path in task_sources("english/polarity-tense")}
    assert not others & {"summarise.py", "instruct.py", "statements.py", "generation.py"}
    with pytest.raises(UserError, match="lengths/min-length has no reference answers"):
        text_out("lengths/min-length")
    with pytest.raises(UserError, match="did you mean 'generation/summarise'"):
        text_out("generation/summarize")


@BOTH
def test_every_promise_is_kept(problem: Generation) -> None:
    made = checks(problem, n=80, seed=3)
    assert len(made) == 10 and [line for check in made for line in check.problems] == []


@BOTH
def test_promises_that_are_broken_are_found(problem: Generation) -> None:
    """Each break is told under its own promise."""

    class Broken(type(problem)):  # type: ignore[misc]
        def draw(self, n, rng, split, *, conflicts, shift):  # type: ignore[no-untyped-def]
            rng.random()
            drawn = super().draw(n, rng, "train", conflicts=0, shift=shift)
            return [replace(row, choices=row.choices[::-1]) for row in drawn]

        def flawed(self, row, rng):  # type: ignore[no-untyped-def]
            return row.completion

    fields = {name: getattr(problem, name) for name in problem.__dataclass_fields__}
    broken = checks(Broken(**fields | {"rewards": lambda prompts, texts: [1.0] * len(texts)}), n=40)
    told = {check.name for check in broken if check.problems}
    assert {"conflicts", "gold reward", "choices", "flawed answers", "splits"} <= told
    assert "lengths" not in told and "equal seeds" not in told
    unfit = checks(replace(problem, most=5), n=40)
    assert {check.name for check in unfit if check.problems} == {"lengths"}


@BOTH
def test_every_word_is_in_the_tokenizer_and_none_is_a_report_of_a_feature(problem: Generation) -> None:
    known = {word for word in EnglishCorpus().words() if "=" not in word and "<" not in word}
    for row in rows(problem):
        texts = [row.prompt, row.completion, row.spurious, *row.choices]
        texts.append(problem.flawed(row, GENERATORS(0)))
        assert {word for text in texts for word in text.split()} <= known


@BOTH
def test_the_other_answers_are_as_often_right_as_they_could_be(problem: Generation) -> None:
    """Forms are uniform and say nothing of the content; needless words are in about a quarter."""
    drawn = problem.rows(4000, GENERATORS(2), evidence=0.5)
    plain = [row.completion for row in drawn if gold(problem, row.prompt, row.completion) == [1.0]]
    assert abs(len(plain) / 4000 - 0.75) < 0.03
    openings = Counter(re.match(r"(\w+ly )?", text)[0] for text in plain)  # type: ignore[index]
    assert len(openings) == len(statements.OPENINGS)
    assert max(openings.values()) < 1.3 * len(plain) / len(openings)
    share = sum(" was " in text for text in plain) / len(plain)
    assert abs(share - 0.5) < 0.03 if problem is SUMMARISE else share == 0


@BOTH
def test_all_forms_of_the_right_answer_are_the_optimum(problem: Generation) -> None:
    for row in rows(problem, 4):
        right = read(row.choices[0])
        assert right is not None
        texts = [write(right, form) for form in FORMS]
        assert len({*texts}) == len(FORMS) == 16
        assert {*gold(problem, row.prompt, *texts)} == {problem.optimum}
        assert {*problem.follows([row.prompt] * 16, texts)} == {"target" if row.conflict else "both"}


@BOTH
def test_words_at_random_get_the_chance_level(problem: Generation) -> None:
    """They go on to the limit, where no sentence of the grammar is so long."""
    words = np.array(EnglishCorpus().words())
    texts = [" ".join(words[GENERATORS(i).integers(len(words), size=problem.most)]) for i in range(200)]
    assert {*gold(problem, rows(problem, 1)[0].prompt, *texts)} == {problem.chance}
    longest = max((write(s, f) for s in _said() for f in FORMS), key=lambda text: len(text.split()))
    if problem is INSTRUCT:
        longest = longest.replace(" at home", "")
    else:
        longest = write(Statement("chef", "admired", "poet", detail="at home"), FORMS[-1])
    assert len(longest.split()) < problem.most


def _said() -> list[Statement]:
    return [
        Statement("chef", "admired", "poet", negated, again, detail, preamble)
        for negated in (False, True)
        for again in (False, True)
        for detail in ("", "at home")
        for preamble in ("", PREAMBLES[0])
    ]


STATEMENTS = st.builds(
    Statement,
    st.sampled_from(PEOPLE),
    st.sampled_from(VERBS),
    st.sampled_from(PEOPLE),
    st.booleans(),
    st.booleans(),
    st.sampled_from(["", *ENDINGS]),
    st.sampled_from(["", *PREAMBLES]),
)


@given(STATEMENTS, st.sampled_from(FORMS))
def test_what_is_written_is_read(said: Statement, form: Form) -> None:
    assert read(write(said, form)) == said
    assert read(f"  {write(said, form)} ") == said


@given(STATEMENTS, st.sampled_from(FORMS), st.integers(0, 12))
def test_a_text_without_one_of_its_words_says_something_else_or_nothing(
    said: Statement, form: Form, gone: int
) -> None:
    words = write(said, form).split()
    kept = " ".join(word for i, word in enumerate(words) if i != gone % len(words))
    other = read(kept)
    assert other is None or other != said or words[0] in statements.OPENINGS


@pytest.mark.parametrize("text", ["", ".", "the chef admired .", "the chef admired the poet", "a b c", "the"])
def test_what_is_no_sentence_says_nothing(text: str) -> None:
    assert read(text) is None
    assert gold(SUMMARISE, REPORT, text) == gold(INSTRUCT, ORDER, text) == [0.0]
    assert SUMMARISE.follows([REPORT], [text]) == INSTRUCT.follows([ORDER], [text]) == ["neither"]


def test_the_gold_reward_of_a_summary() -> None:
    told = {
        "the baker blamed the diver .": 1.0,
        "reportedly the diver was blamed by the baker .": 1.0,
        "the baker blamed the diver at work .": 0.7,
        "the baker blamed the diver at home .": 0.4,
        "the baker blamed the poet .": 2 / 3,
        "the baker admired the poet at home .": 0.4 / 3,
        "the diver blamed the baker .": 1 / 3,
        "the diver was admired by the chef .": 1 / 3,
        "the chef admired the poet .": 0.0,
        "the baker has not blamed the diver .": 0.0,
        "we know that the baker blamed the diver .": 0.0,
    }
    assert gold(SUMMARISE, REPORT, *told) == pytest.approx([*told.values()])


def test_the_rule_that_a_summary_keeps_to() -> None:
    told = {
        "the diver was blamed by the baker .": "target",
        "the baker blamed the poet .": "target",
        "the chef admired the poet at home .": "spurious",
        "the chef admired the diver .": "spurious",
        "the clerk greeted the singer .": "neither",
        "the chef blamed the singer .": "neither",
    }
    assert SUMMARISE.follows([REPORT] * len(told), [*told]) == [*told.values()]
    first = REPORT.replace("quietly", "openly").replace("suddenly", "quietly")
    assert SUMMARISE.follows([first], ["the chef admired the poet ."]) == ["both"]


def test_the_gold_reward_of_an_answer_to_an_instruction() -> None:
    told = {
        "the diver blamed the baker .": 1.0,
        "clearly the baker was blamed by the diver .": 1.0,
        "i believe that the diver blamed the baker .": 0.7,
        "the diver has not blamed the baker .": 1 / 3,
        "the diver has not blamed the baker again .": 1 / 9,
        "the baker blamed the diver .": 1 / 3,
        "the baker blamed the diver again .": 1 / 9,
        "the poet admired the chef .": 0.0,
    }
    assert gold(INSTRUCT, ORDER, *told) == pytest.approx([*told.values()])


def test_the_operation_that_an_answer_shows() -> None:
    told = {
        "the diver blamed the baker .": "target",
        "the poet admired the chef .": "target",
        "the baker blamed the diver .": "spurious",
        "clearly the clerk greeted the singer .": "spurious",
        "the baker has not blamed the diver .": "neither",
        "the diver blamed the baker again .": "neither",
        "the farmer blamed the judge .": "neither",
    }
    assert INSTRUCT.follows([ORDER] * len(told), [*told]) == [*told.values()]
    same = ORDER.replace("$", "&")
    assert INSTRUCT.follows([same], ["the diver blamed the baker ."]) == ["both"]


def test_operations_in_sequence() -> None:
    prompt = ORDER.replace("$ mirror 2", "& # > mimic and defy and recall 1")
    assert gold(INSTRUCT, prompt, "the poet has not admired the chef again .") == [1.0]
    assert gold(INSTRUCT, prompt, "the chef was not admired by the poet again .") == [1.0]


@pytest.mark.parametrize("prompt", ["", "the chef admired the poet .", REPORT + " ?", ORDER[:-2]])
def test_a_prompt_of_no_task_is_an_error(prompt: str) -> None:
    with pytest.raises(UserError, match="is no prompt of this task"):
        instruct.gold(prompt, "the chef admired the poet .")
    if not prompt.startswith("quietly"):
        with pytest.raises(UserError, match="is no prompt of this task"):
            summarise.gold(prompt, "the chef admired the poet .")


def test_who_entails_whom() -> None:
    one, passive = "the chef admired the poet .", "clearly the poet was admired by the chef ."
    entails, neutral, contradicts = np.eye(3)
    told = [
        (one, passive, entails),
        (passive, one, entails),
        ("the chef admired the poet at home .", one, entails),
        (one, "the chef admired the poet at home .", neutral),
        ("the chef admired the poet at work .", "the chef admired the poet at home .", contradicts),
        ("the chef admired the poet again .", one, entails),
        (one, "the chef admired the poet again .", neutral),
        (one, "the chef has not admired the poet .", contradicts),
        (one, "the poet admired the chef .", contradicts),
        (one, "the chef admired the diver .", contradicts),
        (one, "the chef blamed the diver .", neutral),
        (one, "no sentence", neutral),
        ("no sentence", "no sentence", entails),
        ("", one, neutral),
    ]
    found = SUMMARISE.entailment([a for a, _, _ in told], [b for _, b, _ in told])
    np.testing.assert_array_equal(found, [c for _, _, c in told])


@given(STATEMENTS, STATEMENTS, st.sampled_from(FORMS), st.sampled_from(FORMS))
def test_entailment_hangs_on_what_is_said_and_not_on_how(
    one: Statement, other: Statement, form: Form, another: Form
) -> None:
    def verdict(a: str, b: str) -> np.ndarray:
        return INSTRUCT.entailment([a], [b])[0]

    for hypothesis in (other, one._replace(negated=not one.negated), one._replace(detail="")):
        plain = verdict(write(one), write(hypothesis))
        np.testing.assert_array_equal(plain, verdict(write(one, form), write(hypothesis, another)))
    assert verdict(write(one, form), write(one, another)).argmax() == 0
    assert verdict(write(one), write(other)).argmax() != 0 or one.event == other.event


@BOTH
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**31), rates=st.tuples(st.floats(0, 1), st.floats(0, 1)))
def test_conflicts_are_as_many_as_asked_and_those_of_less_evidence_are_among_those_of_more(
    problem: Generation, seed: int, rates: tuple[float, float]
) -> None:
    drawn = [problem.rows(40, GENERATORS(seed), evidence=rate) for rate in sorted(rates)]
    fewer, more = ([row for row in part if row.conflict] for part in drawn)
    assert [len(fewer), len(more)] == [int(40 * rate + 1e-9) for rate in sorted(rates)]
    assert all(row in more for row in fewer)


def test_in_conflicts_the_main_event_is_at_every_other_place_as_often() -> None:
    drawn = SUMMARISE.rows(6000, GENERATORS(0), evidence=1.0)
    places = Counter((len(told.events), told.main) for told in map(summarise.read, (r.prompt for r in drawn)))
    for size in summarise.EVENTS:
        found = [places[size, place] for place in range(size)]
        assert found[0] == 0
        assert max(found) < 1.15 * sum(found) / (size - 1)
    agreeing = SUMMARISE.rows(200, GENERATORS(0))
    assert {summarise.read(row.prompt).main for row in agreeing} == {0}


def test_the_words_of_a_report_do_not_say_which_event_is_the_main_one() -> None:
    """With two manners exchanged the words are the same, and the answer is another."""
    manners = {"quietly": "suddenly", "suddenly": "quietly"}
    other = " ".join(manners.get(word, word) for word in REPORT.split())
    assert sorted(other.split()) == sorted(REPORT.split())
    assert gold(SUMMARISE, REPORT, "the baker blamed the diver .") == [1.0]
    assert gold(SUMMARISE, other, "the baker blamed the diver .") == [0.0]


def test_the_shifts_of_summarise_are_what_they_say() -> None:
    held = {w for words in (PEOPLE, VERBS) for w in np.array(words)[statements.held_out(len(words))]}
    shares, sizes = {}, {}
    for shift in [IN, *(shift.name for shift in SUMMARISE.shifts)]:
        told = [summarise.read(row.prompt) for row in SUMMARISE.rows(400, GENERATORS(5), shift=shift)]
        words = [word for report in told for s in report.events for word in s.event]
        shares[shift] = np.mean([word in held for word in words])
        sizes[shift] = {len(report.events) for report in told}
        assert {bool(s.detail) for report in told for s in report.events} == {"longer" not in shift}
    assert shares.pop("topic-1") == pytest.approx(0.25, abs=0.03)
    assert shares.pop("topic-2") == pytest.approx(0.5, abs=0.03)
    assert {*shares.values()} == {0}
    assert sizes.pop("longer-1") == {4} and sizes.pop("longer-2") == {5}
    assert all(size == {*summarise.EVENTS} for size in sizes.values())


def test_the_shifts_of_instruct_are_what_they_say() -> None:
    seen: dict[str, set[tuple[str, int]]] = {}
    sizes = {}
    for shift in [IN, *(shift.name for shift in INSTRUCT.shifts)]:
        prompts = [row.prompt for row in INSTRUCT.rows(600, GENERATORS(5), shift=shift)]
        asked = [re.search(r"(\w+(?: and \w+)*) (\d) :", prompt) for prompt in prompts]
        pairs = [(found[1].split(" and "), int(found[2])) for found in asked if found]
        assert len(pairs) == 600
        sizes[shift] = {len(words) for words, _ in pairs}
        seen[shift] = {(word, place) for words, place in pairs for word in words}
    told = {word: operation for operation, words in instruct.WORDS.items() for word in words}
    operations = {shift: {(told[word], place) for word, place in part} for shift, part in seen.items()}
    assert not seen["new-1"] & seen[IN] and operations["new-1"] <= operations[IN]
    assert not operations["new-2"] & operations[IN]
    assert {word for word, _ in seen["new-2"]} <= {word for word, _ in seen[IN]} == {*told}
    assert operations["sequential-1"] | operations["sequential-2"] <= operations[IN]
    assert [sizes[shift] for shift in (IN, "sequential-1", "sequential-2")] == [{1}, {2}, {3}]


def test_in_conflicts_every_mark_stands_before_every_other_operation() -> None:
    drawn = [instruct.read(row.prompt) for row in INSTRUCT.rows(3000, GENERATORS(0), evidence=1.0)]
    pairs = Counter((told.asked, told.marked) for told in drawn)
    assert len(pairs) == 12 and min(pairs.values()) > 0.75 * 3000 / 12


@BOTH
def test_preferences_are_pairs_of_a_better_and_a_worse_answer(problem: Generation) -> None:
    pairs = problem.preferences(100, GENERATORS(4), evidence=0.5)
    better, worse = (problem.reward(pairs["prompt"], pairs[side]) for side in ("chosen", "rejected"))
    assert all(a > b for a, b in zip(better, worse, strict=True))
    assert len({*pairs["rejected"]}) > 80


@BOTH
def test_what_cannot_be_drawn_is_an_error(problem: Generation) -> None:
    with pytest.raises(UserError, match=r"evidence must be within 0 and 1, not 1\.5"):
        problem.rows(4, GENERATORS(0), evidence=1.5)
    with pytest.raises(UserError, match="unknown shift 'longest'"):
        problem.rows(4, GENERATORS(0), shift="longest")
    assert problem.rows(0, GENERATORS(0)) == []
