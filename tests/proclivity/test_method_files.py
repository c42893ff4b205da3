"""Methods of one's own: a file for --include, a name that is taken, a source that changes the key."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import GPT2Config, GPT2LMHeadModel

from models.corpus import Corpus
from models.embedded import tokenizer_of
from proclivity import composition, jobs
from proclivity.job import Config
from proclivity.plan import keyed
from rl_finetune import get_method, method_registry, method_source
from rl_finetune.settings import Settings
from tasks import registry
from tasks.errors import UserError

MINE = '''"""Likelihood of the right answers alone."""

from rl_finetune import method


@method("right-only", samples="policy", reward="weight", negative_gradient=False, paper="none yet")
def right_only(batch):
    return -(batch.rewards * batch.log_probs).mean()
'''

TASK = "symbolic/first-last-vs-contains-2"
FEW = {"steps": 2, "batch_size": 8, "eval_n": 8, "log_points": 0, "counterfactual_n": 0}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A GPT-2 with fresh weights that knows the symbols and the answer words."""
    folder = str(tmp_path_factory.mktemp("model"))
    tokenizer = tokenizer_of(Corpus())
    sizes = {"vocab_size": len(tokenizer), "n_positions": 32, "n_embd": 16, "n_layer": 1, "n_head": 2}
    GPT2LMHeadModel(GPT2Config(bos_token_id=1, eos_token_id=1, **sizes)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(method_registry, "_OWN", {})
    path = tmp_path / "mine.py"
    path.write_text(MINE)
    monkeypatch.setenv(registry.INCLUDE, str(path))
    return path


def config_of(method: str, **settings: Any) -> Config:
    return {
        "job": "run",
        "study": "single",
        "arm": "main",
        "model": "embedded/symbols",
        "init": "pretrained",
        "task": TASK,
        "evidence_kind": "symmetric",
        "evidence_rate": 0.0,
        "method": method,
        "control": "",
        "seed_data": 0,
        "seed_tune": 0,
        "seed_warmup": 0,
        "settings": jobs.validate_settings(settings, "settings"),
    }


def test_a_method_of_ones_own_is_listed_named_and_in_the_key(mine: Path) -> None:
    found = get_method("right-only")
    assert (found.samples, found.negative_gradient, found.reuse) == ("policy", False, 1)
    with pytest.raises(UserError, match="unknown method 'right-ony'; did you mean 'right-only'"):
        get_method("right-ony")
    assert method_source("right-only") == mine
    assert method_source("rloo") is None
    jobs._fingerprint.cache_clear()
    (before,), (shipped,) = keyed([config_of("right-only")]), keyed([config_of("rloo")])
    mine.write_text(MINE + "\n# changed\n")
    jobs._fingerprint.cache_clear()
    (after,), (still,) = keyed([config_of("right-only")]), keyed([config_of("rloo")])
    assert before.key != after.key
    assert shipped.key == still.key


def test_it_tunes_through_the_command_line(
    mine: Path, model: str, call: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(composition, "JOBS", "proclivity.jobs")  # the real ones

    def proclivity(*arguments: str) -> Any:
        status, out, err = call(*arguments, "--include", str(mine), "--json")
        assert status == 0, err
        return json.loads(out)

    rows = proclivity("methods", "ls")
    assert rows[-1]["name"] == "right-only"
    assert {"samples", "reward", "negative gradient", "KL", "batch-coupled", "paper"} < set(rows[-1])
    few = [word for name, value in FEW.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    (record,) = proclivity(
        *("finetune", "--model", model, "--task", TASK, "--method", "right-only", "--evidence", "0.5"), *few
    )
    assert (record["method"], record["episodes"], record["status"]) == ("right-only", 16, "ok")
    assert (record["samples_from"], record["kl"]) == ("policy", "none")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ('"right-only"', "'rloo' is the name of a shipped method"),
        ('samples="policy"', "unknown samples 'polcy'; did you mean 'policy'"),
        ('reward="weight"', "reward='advantage' needs advantage= and centre="),
        (', paper="none yet"', "missing 1 required keyword-only argument: 'paper'"),
    ],
)
def test_a_wrong_method_is_answered_in_one_line(mine: Path, changed: str, message: str) -> None:
    new = {'"right-only"': '"rloo"', 'samples="policy"': 'samples="polcy"'}
    new['reward="weight"'] = 'reward="advantage"'
    mine.write_text(MINE.replace(changed, new.get(changed, "")))
    with pytest.raises(UserError) as error:
        get_method("rloo")
    assert message in str(error.value)
    assert str(mine) in str(error.value)
    assert "\n" not in str(error.value)


def test_two_files_cannot_have_one_name(mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = mine.with_name("other.py")
    other.write_text(MINE)
    get_method("right-only")
    registry.include(mine)  # the same file again is no other method
    with pytest.raises(UserError, match="there is a method 'right-only' already"):
        registry.include(other)


def test_the_best_of_n_answers_is_a_run_of_no_step(model: str) -> None:
    config = {**config_of("best-of-n", **{**FEW, "samples_per_prompt": 60}), "model": model}
    done = jobs.execute(config)
    (record,) = done.records
    assert (record["steps"], record["episodes"], record["exposures"]) == (0, 0, 0)
    assert record["B"] == 0  # by the task's own reward: an upper bound
    assert 0 < record["kl_reverse"] <= np.log(60) - 59 / 60
    assert done.policy is None
    jobs.check(config)
    for more, message in (
        ({"probe_every": 1}, "best-of-n tunes nothing that could be probed on its way"),
        ({"control": "random_reward"}, "best-of-n tunes nothing, so that there is no control of it"),
    ):
        with pytest.raises(UserError, match=message):
            jobs.check({**config, **more})


def test_knobs_enter_a_config_only_where_they_are_used() -> None:
    usual = config_of("rloo")["settings"]
    assert {"reuse", "samples_from", "kl_in", "kl_estimator", "kl_direction", "prior"}.isdisjoint(usual)
    assert config_of("rloo", reuse=2)["settings"] == {**usual, "reuse": 2}
    assert usual == config_of("rloo", **Settings().__dict__)["settings"]


def test_a_run_says_what_its_method_used(model: str) -> None:
    for method, knobs, expected in (
        ("ppo", {"beta": 0.1}, (0.1, "reward, KL(policy || reference), k1", "policy", 4)),
        ("superhf", {"reuse": 2}, (0.35, "loss, KL(reference || policy), exact", "policy", 2)),
        ("dpo", {}, (0.1, "log-ratios, KL(policy || reference)", "pairs", 1)),
    ):
        config = {**config_of(method, **FEW, **knobs), "model": model}
        (record,) = jobs.execute(config).records
        found = tuple(record[name] for name in ("beta", "kl", "samples_from", "reuse"))
        assert found == expected
        assert record["episodes"] == 16
