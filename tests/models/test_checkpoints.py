"""Checkpoints: where they stand, that keeping them changes nothing, and how a folder of them is read."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import checkpoints_in, load, pretrain_keeping, pretrained_folder, recipe_of, step_in
from models.checkpoints import checkpoint_steps
from tasks.errors import UserError

TINY = "embedded/symbols:width=16,layers=1,heads=2,steps=9,batch_size=8"


@given(st.data())
def test_checkpoints_are_so_many_from_the_first_to_the_last_and_ever_further_apart(
    data: st.DataObject,
) -> None:
    steps = data.draw(st.integers(1, 5000))
    n = data.draw(st.integers(2, min(steps + 1, 60)))
    placed = checkpoint_steps(n, steps)
    assert (len(placed), placed[0], placed[-1]) == (n, 0, steps)
    gaps = [b - a for a, b in pairwise(placed)]
    assert min(gaps) >= 1
    # Rounding moves a step by less than one, and so a gap by less than two.
    assert all(later >= earlier - 1 for earlier, later in pairwise(gaps[1:]))


@pytest.mark.parametrize("n", [-1, 0, 1, 11])
def test_too_few_or_too_many(n: int, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"{n} checkpoints of 9 steps cannot be kept; valid: 2 to 10"):
        pretrain_keeping(recipe_of(TINY), tmp_path / "new", n)
    assert not list(tmp_path.iterdir())


def test_keeping_checkpoints_leaves_the_last_weights_as_they_are(cache: Path) -> None:
    folder = pretrained_folder(recipe_of(TINY))
    kept = pretrain_keeping(recipe_of(TINY), cache / "kept", 4)
    assert [path.name for path in kept] == ["step-000000", "step-000001", "step-000003", "step-000009"]
    weights = [(path / "model.safetensors").read_bytes() for path in kept]
    assert weights[-1] == (folder / "model.safetensors").read_bytes() and len(set(weights)) == 4
    assert load(str(kept[0])).weights_hash == load(TINY, init="random").weights_hash
    for name in ("config.json", "tokenizer.json"):
        assert len({(path / name).read_bytes() for path in [folder, *kept]}) == 1
    with pytest.raises(UserError, match="exists and is left as it is"):
        pretrain_keeping(recipe_of(TINY), cache / "kept", 2)


def test_stopped_on_the_way_leaves_nothing(tmp_path: Path) -> None:
    def stop(what: str, done: int, of: int) -> None:
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pretrain_keeping(recipe_of(TINY), tmp_path / "kept", 4, stop)
    assert not list(tmp_path.iterdir())


def test_a_folder_is_read_in_the_order_of_steps(tmp_path: Path) -> None:
    for name in ("step-10", "checkpoint-9", "step-000100", "notes", "step-10-old", "steps"):
        (tmp_path / name).mkdir()
    (tmp_path / "step-7").touch()
    assert [path.name for path in checkpoints_in(tmp_path)] == ["checkpoint-9", "step-10", "step-000100"]
    (tmp_path / "checkpoint-10").mkdir()
    with pytest.raises(UserError, match="holds two checkpoints of step 10: checkpoint-10 and step-10"):
        checkpoints_in(tmp_path)
    for folder, told in ((tmp_path / "notes", "holds no checkpoints"), (tmp_path / "no", "is no folder")):
        with pytest.raises(UserError, match=told):
            checkpoints_in(folder)


@pytest.mark.parametrize(
    ("name", "step"),
    [("step1000", 1000), ("stage1-step140000-tokens294B", 140000), ("checkpoint-7", 7), ("main", None)],
)
def test_the_step_that_a_name_tells(name: str, step: int | None) -> None:
    assert step_in(name) == step
