"""Probing along a training, over revisions and while tuning, through the command line and the real jobs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from analysis import read_study
from analysis.pairs.pairs import pairs_table
from models import load, pretrain_keeping, recipe_of
from models.language_model import weights_hash
from proclivity import jobs
from proclivity.job import load_model
from proclivity.run_job import run_tuning

TASK = "symbolic/contains-1-vs-first-class"
TINY = "embedded/symbols:width=16,layers=1,heads=2,steps=20,batch_size=8"
SMALL = ("--n", "80", "--shuffles", "2", "--orders", "1")
RUN = ("--model", TINY, "--task", TASK, "--steps", "5", "--batch-size", "8", "--eval-n", "20",
       "--counterfactual-n", "0", "--learning-rate", "0.01")  # fmt: skip
WALL = ["wall_s", "step_s", "started"]


@pytest.fixture
def call(real_call: Callable[..., tuple[int, str, str]]) -> Callable[..., tuple[int, str, str]]:
    return real_call


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "kept"
    pretrain_keeping(recipe_of(TINY), folder, 3)
    return folder


@pytest.fixture
def hub(checkpoints: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The first and the last checkpoint as revisions of a hub's model."""
    cache = tmp_path / "models--org--tiny"
    (cache / "refs").mkdir(parents=True)
    for i, (revision, step) in enumerate((("step1000", "step-000020"), ("step200", "step-000000"))):
        shutil.copytree(checkpoints / step, cache / "snapshots" / (f"{i}" * 40))
        (cache / "refs" / revision).write_text(f"{i}" * 40)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    load_model.cache_clear()
    jobs._files_hash.cache_clear()
    return "org/tiny"


def config(model: str, **more: Any) -> dict[str, Any]:
    return {"job": "probe", "model": model, "init": "pretrained", "task": TASK, **more}


def test_a_revision_is_part_of_what_names_a_record(call: Any, hub: str) -> None:
    weights = [jobs.fingerprint(config(f"{hub}@{name}"))["weights"] for name in ("step200", "step1000")]
    assert weights[0] != weights[1]
    rows = json.loads(call("probe", "--model", f"{hub}@step200", "--task", TASK, *SMALL, "--json")[1])
    assert {(row["model"], row["revision"]) for row in rows} == {(f"{hub}@step200", "step200")}


def test_revisions_stand_in_the_order_of_their_steps(call: Any, hub: str) -> None:
    told = ("probe", "--model", hub, "--revisions", "step1000,step200", "--task", TASK, *SMALL)
    rows = json.loads(call(*told, "--json")[1])
    assert [(row["at"], row["revision"], row["role"]) for row in rows] == [
        (at, f"step{at}", role) for at in (200, 1000) for role in ("target", "spurious")
    ]
    assert len({row["key"] for row in rows}) == len({row["weights_hash"] for row in rows}) == 2
    (alone, _) = json.loads(call("probe", "--model", f"{hub}@step200", *told[5:], "--json")[1])
    assert (alone["key"], alone["bits_per_label"]) == (rows[0]["key"], rows[0]["bits_per_label"])


def test_a_study_of_revisions(call: Any, hub: str, write_study: Callable[..., str], tmp_path: Path) -> None:
    study = write_study(
        models=[hub + "@step{200|1000}"],
        pairs={"list": [TASK]},
        probe={"n": 80, "shuffles": 2, "inputs": ["model"]},
        settings={"steps": 2, "batch_size": 8, "eval_n": 20, "counterfactual_n": 0, "log_points": 0},
        arms={"main": {"methods": ["rloo"], "evidence": {"rates": [0]}}},
    )
    out = tmp_path / "out"
    told = call("study", "run", study, "--out", str(out), "--workers", "0", "--json")
    assert json.loads(told[1])["done"] == 4
    found = read_study(out)
    assert set(found.runs["revision"]) == set(found.probes["revision"]) == {"step200", "step1000"}
    each = pairs_table(found, by="model").set_index("model")["x_target"]
    bits = found.probes[found.probes["role"] == "target"].set_index("model")["bits_per_label"]
    assert dict(2**each) == pytest.approx(dict(bits)) and each.nunique() == 2


def test_steps_of_the_same_weights_are_told(call: Any, hub: str, tmp_path: Path) -> None:
    refs = tmp_path / "models--org--tiny" / "refs"
    (refs / "step300").write_text((refs / "step200").read_text())
    asked = ("probe", "--model", hub, "--task", TASK, *SMALL, "--revisions")
    assert "the same weights: step200, step300\n" in call(*asked, "step1000,step200,step300")[1]
    assert "the same weights" not in call(*asked, "step1000,step200")[1]


def test_checkpoints_are_probed_on_the_same_rows(call: Any, checkpoints: Path, tmp_path: Path) -> None:
    told = (
        "probe",
        "--checkpoints",
        str(checkpoints),
        "--task",
        TASK,
        *SMALL,
        "--out",
        str(tmp_path / "out"),
    )
    status, text, err = call(*told)
    assert (status, err) == (0, "") and text.count("█") + text.count("▇") > 0
    rows = json.loads(call(*told, "--json")[1])
    assert [row["at"] for row in rows] == [0, 0, 1, 1, 20, 20] and len(
        {row["data_hash"] for row in rows}
    ) == 1
    for name in ("0", "1", "20"):
        line = next(line for line in text.splitlines() if line.split()[:1] == [name])
        target = next(row for row in rows if row["name"] == name and row["role"] == "target")
        assert line.split()[1].startswith(f"{target['bits_per_label']:.3f}")
    figures = sorted(path.suffix for path in (tmp_path / "out" / "figures").iterdir() if path.is_file())
    assert figures == [".pdf", ".png"]
    (csv,) = (tmp_path / "out" / "figures" / "tables").glob("*.csv")
    drawn = pd.read_csv(csv)
    assert list(drawn["bits_per_label"].round(5)) == [round(row["bits_per_label"], 5) for row in rows]
    assert len(read_study(tmp_path / "out").probes) == 6


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("--task t", "give either --model or --checkpoints"),
        ("--task t --model m --checkpoints c", "give either --model or --checkpoints"),
        ("--task t --checkpoints c --revisions a", "--revisions is for a Hub model"),
        ("--task t --checkpoints nowhere", "nowhere is no folder of checkpoints"),
        (
            "--task t --checkpoints .",
            "holds no checkpoints: no folder in it is called step-N or checkpoint-N",
        ),
        ("--task t --model . --revisions a", "--revisions is for a Hub model named without one, not ."),
        ("--task t --model a/b@c --revisions a", "not a/b@c"),
        (f"--task {TASK} --model embedded/symbols --revisions a", "an embedded model has no revisions"),
        ("--task t --model a/b --revisions ,", "--revisions names none"),
        ("--task t --model a/b --revisions a --layers all", "a series is of one layer"),
        (f"--task {TASK} --model a/b --dtype float16", "'float16'"),
    ],
)
def test_a_series_that_cannot_be(
    call: Any, line: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    status, out, err = call("probe", *line.split())
    assert (status, out) == (2, "") and says in err and err.count("\n") == 1


def test_a_broken_checkpoint_is_named(call: Any, checkpoints: Path, tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    shutil.copytree(checkpoints, folder)
    (folder / "step-000001" / "model.safetensors").write_bytes(b"half")
    status, out, err = call("probe", "--checkpoints", str(folder), "--task", TASK, *SMALL)
    assert (status, out, err.count("\n")) == (2, "", 1) and "step-000001': its weights are corrupt" in err


def test_a_type_of_weights_is_part_of_the_record_where_it_is_not_the_usual(call: Any) -> None:
    told = ("probe", "--model", TINY, "--task", TASK, *SMALL, "--json")
    usual, same, half = (
        json.loads(call(*told, *more)[1])[0] for more in ((), ("--dtype", "float32"), ("--dtype", "bfloat16"))
    )
    assert usual["key"] == same["key"] != half["key"] and usual["weights_hash"] != half["weights_hash"]
    assert [row["dtype"] for row in (usual, half)] == ["float32", "bfloat16"]
    assert abs(usual["bits_per_label"] - half["bits_per_label"]) < 0.1
    assert load(TINY, dtype=torch.bfloat16).weights_hash == half["weights_hash"]
    used = ("use", *RUN[:4], "--eval-n", "20", "--counterfactual-n", "0", "--dtype", "bfloat16", "--json")
    assert json.loads(call(*used)[1])[0]["dtype"] == "bfloat16"


@pytest.mark.parametrize("kind", [(True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")])
def test_the_device(kind: tuple[bool, bool, str], monkeypatch: pytest.MonkeyPatch) -> None:
    from proclivity.job import device_of

    cuda, mps, device = kind
    monkeypatch.setattr("torch.cuda.is_available", lambda: cuda)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: mps)
    assert (device_of("org/name"), device_of(TINY)) == (device, "cpu")


@pytest.mark.parametrize("method", ["sft", "rloo"])
def test_probing_on_the_way_leaves_the_tuned_weights_as_they_are(
    call: Any, method: str, tmp_path: Path
) -> None:
    """The policy, its record and torch's own state of chance are the same; only probes are added."""
    out = tmp_path / "out"
    told = ("finetune", *RUN, "--method", method, "--out", str(out), "--json")
    (plain,) = json.loads(call(*told)[1])
    state = torch.get_rng_state()
    run, *probes = json.loads(call(*told, "--probe-every", "3")[1])
    assert torch.equal(torch.get_rng_state(), state)
    other = {*WALL, "key", "config_hash"}
    assert {k: v for k, v in run.items() if k not in other} == {
        k: v for k, v in plain.items() if k not in other
    }
    files = [out / "runs" / row["key"] / "policy" / "model.safetensors" for row in (plain, run)]
    assert files[0].read_bytes() == files[1].read_bytes()
    assert [(row["step"], row["role"]) for row in probes] == [
        (step, role) for step in (0, 3, 5) for role in ("target", "spurious")
    ]
    hashes = [row["weights_hash"] for row in probes[::2]]
    assert len(set(hashes)) == 3 and hashes[0] == run["weights_hash"]
    policy = load(str(files[1].parent))
    assert hashes[-1] == weights_hash(policy.model)
    again = json.loads(
        call("probe", "--model", str(files[1].parent), "--task", TASK, "--json", "--orders", "1")[1]
    )
    assert [row["bits_per_label"] for row in again] == [row["bits_per_label"] for row in probes[-2:]]


def test_a_policy_on_its_way_is_no_reference(call: Any, tmp_path: Path) -> None:
    """Relative extractability is that of step 0, whatever the later probes say."""
    out = tmp_path / "out"
    told = ("finetune", *RUN, "--method", "sft", "--probe-every", "3", "--init", "random", "--out", str(out))
    text = call(*told)[1]
    assert "U " in text and len(list((out / "figures").glob("*.png"))) == 1
    probes = read_study(out).probes
    assert sorted(set(probes["step"])) == [0, 3, 5] and probes["B"].notna().all()
    (row,) = pairs_table(read_study(out)).to_dict("records")
    bits = probes[probes["step"] == 0].set_index("role")["bits_per_label"]
    assert 2 ** row["x_target_untrained"] == pytest.approx(bits["target"])


def test_free_answers_are_probed_after_their_warm_up(call: Any) -> None:
    told = ("finetune", *RUN, "--method", "sft", "--answers", "free", "--json")
    after = json.loads(call(*told)[1])
    _, *along = json.loads(call(*told, "--probe-every", "5")[1])
    reference = [
        row for row in after if row["kind"] == "probe" and row["weights_hash"] == along[0]["weights_hash"]
    ]
    assert [row["bits_per_label"] for row in along[:2]] == [row["bits_per_label"] for row in reference]


@pytest.mark.parametrize("k", ["0", "-3"])
def test_a_k_below_one(call: Any, k: str) -> None:
    status, _, err = call("finetune", *RUN, "--method", "sft", "--probe-every", k)
    assert status == 2 and f"--probe-every must be 1 or more, not {k}" in err and err.count("\n") == 1


def test_only_runs_that_are_probed_on_the_way_say_so_in_their_config() -> None:
    """`run_tuning` asks nothing of a config that earlier studies' configs lack."""
    from proclivity.cli import parser
    from proclivity.commands_single import tuning_config

    told = tuning_config(parser().parse_args(["finetune", *RUN, "--method", "sft"]))
    assert not {"probe_every", "reference_probe", "dtype"} & told.keys()
    assert len(run_tuning(told).records) == 1
