"""METEOR between inputs is NLTK's, pair by pair, and its interval is right for pairs that share inputs."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nltk.stem.porter import PorterStemmer
from nltk.translate.meteor_score import single_meteor_score

from analysis.outputs.between_inputs import pair_mean, pairs_between
from analysis.outputs.meteor import meteor_similarity
from tasks.errors import UserError

WORDS = ["The", "the", "cat", "cats", "running", "runs", "run", "dog", "dogs.", "a"]
TEXTS = st.lists(st.sampled_from(WORDS), max_size=6).map(" ".join)
NO_SYNONYMS = SimpleNamespace(synsets=lambda word: [])


def both_ways(a: str, b: str) -> float:
    """NLTK's own, with nothing remembered."""
    one, other = a.split(), b.split()
    return (
        single_meteor_score(one, other, wordnet=NO_SYNONYMS)
        + single_meteor_score(other, one, wordnet=NO_SYNONYMS)
    ) / 2


def all_pairs(outputs: list[list[str]]) -> list[float]:
    """One mean a pair of inputs."""
    kept = [[text for text in texts if text.split()] for texts in outputs]
    kept = [texts for texts in kept if texts]
    return [
        float(np.mean([both_ways(a, b) for a in kept[i] for b in kept[j]]))
        for i in range(len(kept))
        for j in range(i)
    ]


@given(st.lists(st.lists(TEXTS, max_size=3), max_size=5))
def test_it_is_nltks_over_all_pairs_of_inputs(outputs: list[list[str]]) -> None:
    found, pairs = meteor_similarity(outputs), all_pairs(outputs)
    empty = sum(not text.split() for texts in outputs for text in texts)
    assert found.left_out == empty and found.outputs == sum(map(len, outputs)) - empty
    if not pairs:
        assert found.value is None and found.low is None
        return
    assert found.value == pytest.approx(np.mean(pairs), abs=1e-12)
    assert found.ceiling is not None and 0 <= found.value <= found.ceiling + 1e-12


def test_each_distinct_word_is_stemmed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    stemmed: list[str] = []
    stem = PorterStemmer.stem
    monkeypatch.setattr(PorterStemmer, "stem", lambda self, word: stemmed.append(word) or stem(self, word))
    words = [f"running{i}" for i in range(40)]
    found = meteor_similarity([[f"{a} {b} walks"] for a, b in zip(words, words[::-1], strict=True)])
    assert found.value is not None and {*words} <= {*stemmed} and len(stemmed) == len({*stemmed})


def test_outputs_that_repeat_each_other_are_at_the_ceiling_and_foreign_ones_at_the_floor() -> None:
    same = meteor_similarity([["two words", "two words"]] * 5)
    assert same.value == same.ceiling == same.low == same.high == pytest.approx(1 - 0.5 / 8)
    foreign = meteor_similarity([[f"x{i} y{i}"] for i in range(5)])
    assert foreign.value == foreign.floor == 0 and foreign.ceiling == pytest.approx(1 - 0.5 / 8)


def test_drawn_pairs_are_distinct_pairs_of_different_inputs_and_estimate_the_whole() -> None:
    inputs = np.repeat([0, 1, 2, 3, 4], [3, 1, 2, 3, 2])
    whole = {(a, b) for a in range(11) for b in range(a, 11) if inputs[a] != inputs[b]}
    left, right = pairs_between(inputs, 100, np.random.default_rng(0))
    assert len(left) == len(whole) and {*zip(left.tolist(), right.tolist(), strict=True)} == whole
    left, right = pairs_between(inputs, 20, np.random.default_rng(0))
    drawn = {*zip(left.tolist(), right.tolist(), strict=True)}
    assert len(drawn) == 20 and drawn <= whole

    rng = np.random.default_rng(1)
    outputs = [[" ".join(rng.choice(WORDS[2:8], 4)) for _ in range(3)] for _ in range(12)]
    exact = float(np.mean(all_pairs(outputs)))
    estimates = [meteor_similarity(outputs, pairs=150, seed=seed).value for seed in range(40)]
    error = np.std(estimates) / np.sqrt(len(estimates))  # type: ignore[arg-type]
    assert error > 0 and abs(np.mean(estimates) - exact) < 4 * error  # type: ignore[arg-type]


@pytest.mark.parametrize("share", [1.0, 0.1])
def test_intervals_cover_though_pairs_share_inputs(share: float) -> None:
    """Values are a part of either input plus noise; the plain interval over pairs would be far too narrow."""
    rng = np.random.default_rng(2)
    first, second = np.triu_indices(20, 1)
    covered, plain = 0, 0
    for _ in range(400):
        kept = np.sort(rng.choice(len(first), int(share * len(first)), replace=False))
        left, right = first[kept], second[kept]
        of_input = rng.exponential(size=20) - 1
        values = of_input[left] + of_input[right] + rng.normal(size=len(kept))
        value, low, high = pair_mean(values, np.ones(len(kept)), left, right)
        covered += low <= 0 <= high
        plain += abs(value) <= 1.96 * values.std(ddof=1) / np.sqrt(len(kept))
    assert 0.88 < covered / 400 < 0.99
    assert plain < covered - 40


def test_three_inputs_have_a_value_and_no_interval() -> None:
    found = meteor_similarity([["a b"], ["a c"], ["b c"]])
    assert found.value is not None and found.low is None and found.high is None


def test_the_published_variant_scores_empty_outputs_0_and_takes_first_outputs() -> None:
    outputs = [["same words here", "other"], ["", "same words here"], ["same words here"]]
    found = meteor_similarity(outputs, compat="superhf2023")
    assert found.measure == "METEOR (exact + stem, superhf2023)" and found.n == found.outputs == 3
    same = 1 - 0.5 / 27
    assert found.value is not None and 0 < found.value < same  # of 128 draws some have the empty one
    assert found.value * 128 / same == pytest.approx(round(found.value * 128 / same))
    ours = meteor_similarity([texts[:1] for texts in outputs])
    assert ours.value == pytest.approx(same) and ours.left_out == 1


def write_wordnet(folder: Path) -> Path:
    """A WordNet of one synset: car, auto."""
    folder.mkdir(parents=True)
    for name in ("adj", "adv", "verb", "noun"):
        for file in (f"index.{name}", f"data.{name}", f"{name}.exc"):
            (folder / file).write_text("")
    (folder / "lexnames").write_text("0\tnoun.all\t1\n")
    (folder / "index.sense").write_text("")
    (folder / "cntlist.rev").write_text("")
    (folder / "data.noun").write_text("00000000 00 n 02 car 0 auto 0 000 | a vehicle\n")
    (folder / "index.noun").write_text("auto n 1 0 1 0 00000000\ncar n 1 0 1 0 00000000\n")
    return folder


def test_a_wordnet_folder_adds_synonyms_and_the_whole_name(tmp_path: Path) -> None:
    outputs = [["my car stops"], ["my auto stops"]]
    without = meteor_similarity(outputs)
    assert without.measure == "METEOR (exact + stem)"
    for root in (tmp_path / "data", write_wordnet(tmp_path / "data/corpora/wordnet")):
        found = meteor_similarity(outputs, wordnet=root)
        assert found.measure == "METEOR" and found.value == pytest.approx(1 - 0.5 / 27)
        assert without.value is not None and without.value < found.value  # type: ignore[operator]
    with pytest.raises(UserError, match="no WordNet there"):
        meteor_similarity(outputs, wordnet=tmp_path / "nothing")
