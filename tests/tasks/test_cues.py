"""What one word or the length tells: by hand on small files, and on sentences whose cues are known."""

import pytest

from tasks import QUADRANTS, get_task, text_feature, text_pair
from tasks.cues import cues
from tasks.tsv import Line, write_table

NOT = text_feature("negated", "negation", lambda text: " not " in text)
NOW = text_feature("timed", "time", lambda text: text.startswith("now"))
WORDS = {"who": [f"w{i}" for i in range(40)], "verb": [f"v{i}" for i in range(40)]}


def found(task):
    return {(cue.role, "words or more" in cue.rule): (cue.rule, cue.accuracy, cue.n) for cue in cues(task)}


def test_words_of_the_features_and_a_length_that_comes_with_one():
    def compose(words, target, spurious):
        opening, polarity = "now" if spurious else "so", "not at all" if target else "indeed"
        return f"{opening} {words['who']} did {polarity} {words['verb']}"

    task = text_pair("mine/own", NOT, NOW, WORDS, compose)
    told = found(task)
    assert told["target", True] == ("6 words or more", 1.0, 2000)
    assert told["spurious", True][1] == 0.5
    assert told["target", False][0] in ("'not'", "'indeed'", "'at'", "'all'")
    assert told["spurious", False][0] in ("'now'", "'so'")
    assert told["target", False][1] == told["spurious", False][1] == 1.0


def test_accuracy_is_the_mean_over_the_other_feature(tmp_path):
    """`and` in 3 of 4 rows of both and in none of spurious_only; in 1 of 2 of target_only and of neither."""
    held = {"both": "1110", "spurious_only": "0000", "target_only": "10", "neither": "01"}
    rows = [
        Line(f"{q}{i} {'and' if bit == '1' else 'or'}", q, f"{q}{i}")
        for q in QUADRANTS
        for i, bit in enumerate(held[q])
    ]
    write_table(tmp_path / "rows.tsv", rows)
    rule, accuracy, n = found(get_task(f"tsv:{tmp_path / 'rows.tsv'}"))["target", False]
    assert rule in ("'and'", "'or'")
    assert (accuracy, n) == (pytest.approx((0.875 + 0.5) / 2), 12)
