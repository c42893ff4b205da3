"""How an embedded model's recipe is written, and what its content hash holds."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from models import Recipe, list_recipes, recipe_of
from models.corpus import Corpus
from models.embedded import RECIPES, half_useful, recipe_hash
from models.english import EnglishCorpus
from tasks.errors import UserError
from tasks.symbols import catalogue as catalogue_source

OTHER: dict[type, Any] = {str: "b", int: 12, float: 0.125}


def test_a_bare_name_is_the_listed_recipe() -> None:
    assert list_recipes() == ["embedded/english", "embedded/symbols"]
    assert recipe_of("embedded/symbols") == Recipe("symbols")


def test_every_parameter_is_read() -> None:
    recipe = recipe_of(
        "embedded/symbols:seed=3,steps=5,batch_size=8,width=16,layers=1,heads=2,"
        "useful.first-last=0.5,useful.parity=0,frequency.contains-1=0.2,placebo.in-order=0.5"
    )
    corpus = Corpus(
        useful={"first-last": 0.5, "parity": 0.0}, frequency={"contains-1": 0.2}, placebo={"in-order": 0.5}
    )
    size = {"width": 16, "layers": 1, "heads": 2, "steps": 5, "batch_size": 8, "seed": 3}
    assert recipe == Recipe("symbols", corpus, **size)  # type: ignore[arg-type]


def test_dials_a_and_b_split_the_families_into_halves() -> None:
    features = catalogue_source.catalogue()
    a, b = half_useful("a", Corpus().families()), half_useful("b", Corpus().families())
    assert set(a) == set(b) == set(features)
    assert all({a[name], b[name]} == {0.0, 1.0} for name in features)
    by_family = {
        f.family: {a[g.name] for g in features.values() if g.family == f.family} for f in features.values()
    }
    assert all(len(values) == 1 for values in by_family.values())  # near copies stay together
    useful = sum(values == {1.0} for values in by_family.values())
    assert abs(2 * useful - len(by_family)) <= 1
    assert recipe_of("embedded/symbols:dial=a").corpus.useful == a
    assert recipe_of("embedded/symbols:dial=b").dial == "b"


def test_a_dial_of_one_feature_goes_over_that_of_its_half_wherever_it_stands() -> None:
    after = recipe_of("embedded/symbols:dial=a,useful.parity=0.5")
    before = recipe_of("embedded/symbols:useful.parity=0.5,dial=a")
    assert after == before
    assert "parity" not in recipe_of("embedded/symbols:dial=a,placebo.parity=0.5").corpus.useful
    assert after.corpus.useful == half_useful("a", Corpus().families()) | {"parity": 0.5}


def test_a_recipe_s_own_dials_stand_until_they_are_turned() -> None:
    own = RECIPES["english"].corpus.useful
    assert own["gap-filled"] == 1 and own["film"] == 0.5
    assert recipe_of("embedded/english:useful.hash=0").corpus.useful == {**own, "hash": 0.0}
    corpus = EnglishCorpus()
    half = half_useful("a", corpus.families())
    assert recipe_of("embedded/english:dial=a,useful.hash=0.3").corpus.useful == {**half, "hash": 0.3}


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("embedded/symbls", "unknown embedded model 'embedded/symbls'; did you mean 'embedded/symbols'"),
        ("embedded/symbols:sed=1", "unknown parameter of embedded/symbols 'sed'; did you mean 'seed'"),
        ("embedded/symbols:useful.first-lst=1", "unknown feature 'first-lst'; did you mean 'first-last'"),
        ("embedded/symbols:frequency.party=1", "unknown feature 'party'; did you mean 'parity'"),
        ("embedded/symbols:dial=c", "unknown dial 'c'; valid: a, b"),
        ("embedded/symbols:seed", "'seed' should read parameter=number"),
        ("embedded/symbols:seed=one", "'seed=one' should read parameter=number"),
        ("embedded/symbols:steps=2.5", "'steps=2.5' should read parameter=number"),
        ("embedded/symbols:useful.parity=high", "'useful.parity=high' should read parameter=number"),
        ("embedded/symbols:useful.parity=2", "outside 0 to 1"),
        ("embedded/english:placebo.dash=1", "unknown parameter of embedded/english 'placebo.dash'"),
        ("embedded/symbols:useful.parity=1,placebo.parity=1", "parity: its reports are useful or a placebo"),
        ("embedded/symbols:steps=0", "steps must be at least 1, not 0"),
        ("embedded/symbols:seed=-1", "seed: must be a whole number from 0 to 4294967295, not -1"),
        ("embedded/symbols:seed=4294967296", "seed: must be a whole number from 0 to 4294967295"),
        ("embedded/symbols:heads=3", "width 64 is not a multiple of heads 3"),
    ],
)
def test_what_is_no_recipe_is_answered_in_one_line(spec: str, message: str) -> None:
    with pytest.raises(UserError) as error:
        recipe_of(spec)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_the_hash_changes_with_every_field() -> None:
    recipe = Recipe("symbols")
    changed = [
        replace(recipe, **{f.name: OTHER[type(getattr(recipe, f.name))]})
        for f in fields(Recipe)
        if f.name not in ("corpus", "heads")
    ]
    changed += [replace(recipe, heads=8)]
    corpora = [
        replace(recipe.corpus, **{f.name: OTHER[type(getattr(recipe.corpus, f.name))]})
        for f in fields(Corpus)
        if f.name not in ("useful", "frequency", "placebo", "vocabulary", "length")
    ]
    corpora += [Corpus(vocabulary=17), Corpus(length=9)]
    corpora += [
        Corpus(useful={"parity": 0.0}),
        Corpus(useful={"parity": 0.5}),
        Corpus(useful={"first-last": 0.5}),
    ]
    corpora += [Corpus(frequency={"parity": 0.5}), Corpus(placebo={"parity": 0.5})]
    changed += [replace(recipe, corpus=corpus) for corpus in corpora]
    hashes = [recipe_hash(r) for r in (recipe, *changed)]
    assert len(hashes) == len(fields(Recipe)) + len(fields(Corpus)) + 2
    assert len(set(hashes)) == len(hashes)


def test_the_hash_changes_with_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def hash_of(spec: str) -> str:
        return recipe_hash(recipe_of(f"embedded/symbols{spec}"))

    plain = hash_of("")
    assert hash_of(":") == hash_of(":seed=0,steps=3000") == plain
    assert hash_of(":useful.parity=0,useful.first-last=0.5") == hash_of(
        ":useful.first-last=.50,useful.parity=0.0"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PROCLIVITY_CACHE", str(tmp_path / "elsewhere"))
    assert recipe_hash(Recipe("symbols")) == plain


def test_the_hash_changes_with_the_definitions_of_the_features(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = recipe_hash(Recipe("symbols"))
    source = Path(catalogue_source.__file__).read_text()
    copy = tmp_path / "catalogue.py"
    monkeypatch.setattr(catalogue_source, "__file__", str(copy))
    copy.write_text(source)
    assert recipe_hash(Recipe("symbols")) == plain
    copy.write_text(source.replace("parity", "evenness"))
    assert recipe_hash(Recipe("symbols")) != plain
