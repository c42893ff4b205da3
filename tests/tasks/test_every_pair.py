"""Every shipped pair keeps every promise."""

from dataclasses import replace
from itertools import count

import datasets.arrow_dataset
import pytest

from tasks import QUADRANTS, get_feature, get_task, list_features, list_tasks, promises
from tasks.english.pairs import list_pairs as list_english
from tasks.english.reviews import list_pairs as list_reviews
from tasks.english.sources import HELDOUT
from tasks.errors import UserError
from tasks.symbols import draw
from tasks.symbols.pairs import COIN, list_pairs
from tasks.validate import _draw, _mixtures, _Recorder, validate

CHUNKS = 16


@pytest.fixture
def quick(monkeypatch):
    """Small proposals, and no hash of every column of every data set: nothing here reads either."""
    numbers = count()
    monkeypatch.setattr(draw, "_CHUNK", 1 << 10)
    monkeypatch.setattr(datasets.arrow_dataset, "generate_fingerprint", lambda *_: f"{next(numbers):016}")


def broken(names):
    return {name: problems for name in names if (problems := validate(get_task(name)))}


def mirror(name):
    target, spurious = name.removeprefix("symbolic/").split("-vs-")
    return f"symbolic/{spurious}-vs-{target}"


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_every_pair_keeps_every_promise(chunk, quick):
    names = [name for name in list_pairs() if name < mirror(name)][chunk::CHUNKS]
    assert len(names) >= 10
    assert broken(names) == {}


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_every_pair_with_its_roles_swapped_is_the_same_task_and_keeps_the_promises_of_its_rows(chunk, quick):
    """Properties 1, 3, 4 and 5 once more; what swaps no role is shared with the pair tested in full above."""
    names = [name for name in list_pairs() if name > mirror(name)][chunk::CHUNKS]
    assert len(names) >= 10
    for name in names:
        task, other = get_task(name), get_task(mirror(name))
        assert (task.target, task.spurious) == (other.spurious, other.target)
        assert replace(task, name="", target=task.spurious, spurious=task.target) == replace(other, name="")
        recorder = _Recorder(task.inputs)
        watched = replace(task, inputs=recorder)
        data, problems = _draw(
            {what: mixture for what, mixture in _mixtures(watched, 8).items() if "symmetric" in what}, seed=1
        )
        again, _ = _draw(
            {"mixture symmetric 0.5 train": _mixtures(task, 8)["mixture symmetric 0.5 train"]}, seed=1
        )
        problems += promises.predicates(task, data, recorder.truth)
        problems += promises.counts(task, data, 8)
        problems += promises.splits(data)
        problems += promises.equal_seeds(data, again)
        problems += promises.nested(data, ["symmetric"])
        assert problems == [], name


@pytest.mark.parametrize("heldout", HELDOUT)
def test_every_other_pair_keeps_every_promise(heldout):
    names = sorted(set(list_tasks()) - set(list_pairs()))
    assert names == [*list_english(), *list_reviews()]
    assert broken(f"{name}:heldout={heldout}" for name in list_english()) == {}


@pytest.mark.parametrize("chunk", range(4))
def test_every_pair_of_reviews_keeps_every_promise(chunk, quick):
    """With nothing, words or templates held out in turn; every fourth is answered by going on."""
    names = [
        f"{name}:heldout={HELDOUT[i % 3]}{',answers=sentiment' * (i % 4 == 0)}"
        for i, name in enumerate(list_reviews())
    ]
    assert broken(names[chunk::4]) == {}


def test_a_few_pairs_keep_every_promise_as_drawn_by_users():
    assert broken(list_tasks()[:: len(list_tasks()) // 5]) == {}


def test_a_feature_alone_keeps_every_promise(quick):
    assert broken(f"symbolic/{name}-vs-{COIN.name}" for name in list_features()[::6]) == {}
    listed = [*list_pairs()[::400], *list_english()[::5], list_reviews()[7], "english/fillergap-hard-none"]
    names = [f"{name}:alone={role}" for name in listed for role in ("target", "spurious")]
    assert broken(names) == {}


def test_a_task_alone_is_its_feature_and_a_coin():
    pair = get_task("symbolic/first-last-vs-contains-2:length=10")
    for role, feature in (("target", pair.target), ("spurious", pair.spurious)):
        task = get_task(f"{pair.name}:length=10,alone={role}")
        assert (task.target.name, task.spurious, task.inputs) == (feature.name, COIN, pair.inputs)
    with pytest.raises(UserError, match="unknown role 'targt'; did you mean 'target'"):
        get_task("symbolic/first-last-vs-contains-2:alone=targt")


@pytest.mark.parametrize("answers", ["label", "run"])
@pytest.mark.parametrize("size", ["vocabulary=24,length=10", "vocabulary=128,length=6"])
def test_other_sizes_and_ways_to_answer_keep_every_promise(size, answers, quick):
    names = list_pairs()[:: len(list_pairs()) // 12]
    assert broken(f"{name}:{size},answers={answers}" for name in names if possible(name, size)) == {}


def possible(name, size):
    sizes = {key: int(value) for key, value in (item.split("=") for item in size.split(","))}
    return name in list_pairs(**sizes)


def test_twenty_symbolic_families_and_two_hundred_pairs_each_with_all_quadrants():
    families = {get_feature(name).family for name in list_features()}
    pairs = [get_task(name) for name in list_pairs()]
    assert len(families) >= 20
    assert len(pairs) >= 200
    assert all(task.target.family != task.spurious.family for task in pairs)
    assert {task.target.family for task in pairs} == {task.spurious.family for task in pairs} == families
    assert len({task.name for task in pairs}) == len(pairs)
    assert QUADRANTS == ("both", "neither", "target_only", "spurious_only")
