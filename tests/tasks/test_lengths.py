"""Problems of length: rewards of texts written by hand, lengths of demonstrations, and what may be asked."""

from __future__ import annotations

import numpy as np
import pytest

from tasks import UserError
from tasks.lengths import CUT, MOST, OPENING, mode_of
from tasks.problems import get_problem, is_problem, list_problems, problem_sources
from tasks.registry import task_sources

SHORT, LONG = "saw it .", "saw it in the town before the others came ."
MIN, MODE, SKEW = "lengths/min-length", "lengths/mode-length", "lengths/skew-length"


@pytest.mark.parametrize("name", [MIN, SKEW])
def test_the_reward_is_minus_the_number_of_words(name: str) -> None:
    problem = get_problem(name).on([LONG])
    assert problem.reward(["we"] * 3, ["", SHORT, LONG], label=[0, 0, 0]) == [0.0, -3.0, -10.0]
    assert problem.optimum == 0.0
    assert problem.reward([""], [" ".join(["word"] * MOST)]) == [problem.chance]


def test_the_mode_is_that_of_the_data() -> None:
    data = [SHORT] * 3 + [LONG] * 2 + ["", ""]
    assert mode_of(data) == 3
    assert mode_of([SHORT, LONG]) == 3  # of equals the smallest
    problem = get_problem(MODE).on(data)
    assert problem.reward(["we"] * 3, ["", SHORT, LONG]) == [-3.0, 0.0, -7.0]
    assert problem.reward([""], [" ".join(["word"] * MOST)]) == [problem.chance]
    assert max(problem.reward([""] * 20, ["word " * k for k in range(20)])) == problem.optimum


def test_without_data_there_is_no_mode() -> None:
    with pytest.raises(UserError, match="data that are not there yet"):
        get_problem(MODE).reward([""], [SHORT])


def test_only_the_skewed_problem_prefers_long_texts() -> None:
    assert get_problem(MIN).coverage(SHORT) == get_problem(MIN).coverage(LONG)
    assert get_problem(SKEW).coverage(LONG) > 50 * get_problem(SKEW).coverage(SHORT)


def test_splits_share_no_prompt() -> None:
    problem, rng = get_problem(MIN), np.random.default_rng(3)
    train, validation, test = (
        problem.prompts(300, rng, split)["prompt"] for split in ("train", "validation", "test")
    )
    assert all(len(prompt.split()) == OPENING for prompt in (*train, *validation, *test))
    assert not set(train) & {*validation, *test} and not set(validation) & set(test)


def test_a_share_of_the_demonstrations_breaks_off() -> None:
    texts = get_problem(MIN).demonstrations(4000, np.random.default_rng(0))["completion"]
    broken = np.mean([not text.endswith(".") for text in texts])
    assert abs(broken - CUT) < 4 * (CUT / 4000) ** 0.5 + 0.01  # one cut just before the end is no cut
    lengths = np.array([len(text.split()) for text in texts])
    assert 0 < (lengths == 0).mean() < 0.05  # the shortest are there, and are rare
    assert lengths.max() < MOST


def test_names() -> None:
    assert {MIN, MODE, SKEW} <= set(list_problems()) and not is_problem("lengths/longest")
    with pytest.raises(UserError, match="did you mean 'lengths/min-length'"):
        get_problem("lengths/min-lenght")


def test_a_problem_is_no_part_of_the_sources_of_tasks() -> None:
    """Runs on English tasks stay the runs they were."""
    names = {path.name for path in problem_sources(MIN)}
    assert {"lengths.py", "text_problem.py", "agreement.py"} <= names
    assert "lengths.py" not in {path.name for path in task_sources("english/polarity-tense")}
