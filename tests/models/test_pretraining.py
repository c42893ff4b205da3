"""Embedded models are pre-trained once, whole, and the same each time."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from models import Recipe, load, pretrained_folder, recipe_of
from models.corpus import Corpus
from models.embedded import is_cached, tokenizer_of

TINY = "embedded/symbols:width=16,layers=1,heads=2,steps=5,batch_size=8"
CHILD = """
import os, sys
from models.embedded import pretrained_folder, recipe_of
die_at, steps = int(sys.argv[2]), 0
def progress(what, done, of):
    global steps
    steps += 1
    print("step", done, of, flush=True)
    if done == die_at:
        os.kill(os.getpid(), 9)
print(pretrained_folder(recipe_of(sys.argv[1]), progress).name, steps)
"""


def start(die_at: int = 0) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", CHILD, TINY, str(die_at)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(Path.cwd())}
    )


def folders(cache: Path) -> list[str]:
    return sorted(p.name for p in (cache / "models").iterdir() if p.is_dir())


def test_two_processes_at_once_make_one_model(cache: Path) -> None:
    both = [start(), start()]
    said = [process.communicate(timeout=120)[0].splitlines()[-1].split() for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert said[0][0] == said[1][0]
    assert sorted(steps for _, steps in said) == ["0", "5"]  # one of them trained, the other waited
    assert folders(cache) == [said[0][0]]
    names = {p.name for p in (cache / "models" / said[0][0]).iterdir()}
    assert {"recipe.json", "model.safetensors", "tokenizer.json", "config.json"} <= names


def test_killed_in_the_middle_leaves_nothing_that_passes_for_a_model(cache: Path) -> None:
    killed = start(die_at=3)
    out, _ = killed.communicate(timeout=120)
    assert killed.returncode == -signal.SIGKILL
    assert out.splitlines()[-1] == "step 3 5"
    recipe = recipe_of(TINY)
    assert not is_cached(recipe)
    steps: list[int] = []
    folder = pretrained_folder(recipe, lambda what, done, of: steps.append(done))
    assert steps == [1, 2, 3, 4, 5]  # from the start
    assert is_cached(recipe)
    assert folders(cache) == [folder.name]  # what the dead process left is gone


def test_a_half_written_folder_is_made_again(cache: Path) -> None:
    folder = pretrained_folder(recipe_of(TINY))
    before = load(TINY).weights_hash
    (folder / "recipe.json").unlink()  # it is written last
    (folder / "model.safetensors").write_bytes(b"half")
    assert load(TINY).weights_hash == before


def test_the_same_recipe_gives_the_same_weights_and_another_seed_others(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashes = []
    for place, spec in (("one", TINY), ("two", TINY), ("two", TINY + ",seed=1")):
        monkeypatch.setenv("PROCLIVITY_CACHE", str(cache / place))
        torch.rand(3)  # what else the process has drawn does not matter
        hashes.append(load(spec).weights_hash)
    assert hashes[0] == hashes[1] != hashes[2]
    assert len(folders(cache / "two")) == 2


def test_pre_training_leaves_the_process_as_it_was(cache: Path) -> None:
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    pretrained_folder(recipe_of(TINY))
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), state)


def test_progress_names_the_model_and_counts_every_step(cache: Path) -> None:
    calls: list[tuple[str, int, int]] = []
    pretrained_folder(recipe_of(TINY + ",dial=a"), lambda *call: calls.append(call))
    assert [(done, of) for _, done, of in calls] == [(k, 5) for k in range(1, 6)]
    assert {what for what, _, _ in calls} == {"pre-training symbols (seed 0, dial a)"}
    calls.clear()
    pretrained_folder(recipe_of(TINY + ",dial=a"), lambda *call: calls.append(call))
    assert not calls  # cached


def test_pre_training_learns_reports_and_nothing_about_answers(cache: Path) -> None:
    recipe = Recipe("symbols", width=32, layers=1, heads=2, steps=150, batch_size=64, learning_rate=1e-2)
    folder = pretrained_folder(recipe)
    knows_no_feature = np.log(2)  # the excess of reports that are all as likely
    assert json.loads((folder / "recipe.json").read_text())["excess_nats"] < 0.85 * knows_no_feature
    lm = load(str(folder))
    rows = Corpus().documents(200, np.random.default_rng(9))[0][:, :-1]
    words = Corpus().words()
    report = torch.tensor(np.concatenate([rows, np.full((200, 1), words.index(":"))], axis=1))
    query = torch.tensor(np.concatenate([rows, np.full((200, 1), words.index("?"))], axis=1))
    with torch.no_grad():
        after_report = lm.model(input_ids=report).logits[:, -1].softmax(-1)
        after_query = lm.model(input_ids=query).logits[:, -1].softmax(-1)
    answers = [words.index(w) for w in ("amber", "haven")]
    assert after_report[:, -2 * len(Corpus().features()) :].sum(dim=1).min() > 0.9
    assert after_query[:, answers].std() < 0.05


def test_the_tokenizer_gives_every_word_its_own_token() -> None:
    words = Corpus().words()
    tokenizer = tokenizer_of(Corpus())
    assert tokenizer(" ".join(words))["input_ids"] == list(range(len(words)))
    assert tokenizer("nothing known")["input_ids"] == [words.index("<unk>")] * 2
