"""Study files: strict reading, and the grid that comes of them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from analysis.stage_schema import STAGES
from proclivity import composition
from proclivity.bandit_study import BanditStudy
from proclivity.expand import draw_pairs, expand, expand_probes, swap, written_out
from proclivity.learnability import learnability_study
from proclivity.plan import plan
from proclivity.stage_study import StageStudy, expand_stages
from proclivity.study import ProbeStudy, Study, list_studies, load_study, study_from
from proclivity.text_study import TextStudy
from tasks import get_task
from tasks.errors import UserError

STUDIES = Path(composition.__file__).parent / "studies"
CATALOGUE = [f"symbolic/a{i}-vs-b{i}" for i in range(20)] + ["english/x-vs-y"]


BASE = """name: small
paper: cruz2023
question: Does it run?
scale: smoke
primary: {claim: H1a, arm: main, method: rloo, statistic: spearman, test: family_permutation, pairs: all}
models: [embedded/symbols]
pairs: {draw: 3, seed: 1, from: symbolic}
probe:
  n: 2000
arms:
  main:
    methods: [rloo]
    seeds: [0]
    evidence:
      kind: symmetric
      rates: [0, 0.2]
"""


def study(**changes: Any) -> Study:
    return study_from({**yaml.safe_load(BASE), **changes}, "small.yaml")


@pytest.mark.parametrize(
    ("old", "new", "line", "says"),
    [
        ("question:", "qestion:", 3, "did you mean 'question'"),
        ("    methods:", "    method:", 12, "arms.main.method: unknown key 'method'; did you mean 'methods'"),
        ("scale: smoke", "scale: smok", 4, "did you mean 'smoke'"),
        ("n: 2000", "n: many", 9, "probe.n: must be a whole number, not 'many'"),
        ("n: 2000", "n: 2", 9, "probe.n: must be a multiple of 4, 8 or more"),
        ("n: 2000", "n: 30", 9, "probe.n: must be a multiple of 4, 8 or more"),
        ("n: 2000", "layers: lst", 9, "layers: must be last, all, or numbers"),
        ("n: 2000", "probe: lniear", 9, "did you mean 'linear'"),
        ("claim: H1a", "claim: H1z", 5, "did you mean 'H1"),
        ("spearman", "spaerman", 5, "did you mean 'spearman'"),
        ("family_permutation", "permut", 5, "primary.test: unknown value 'permut'"),
        ("pairs: all}", "pairs: learnabel}", 5, "did you mean 'learnable'"),
        ("cruz2023", "cruz2032", 2, "did you mean 'cruz2023'"),
        ("name: small", "name: ../small", 1, "make a name, not '../small'"),
        ("probe:", "settings: {learning_rate: {rlo: 0.1}}\nprobe:", 8, "did you mean 'rloo'"),
        ("n: 2000", "n: true", 9, "must be a whole number, not True"),
        ("seeds: [0]", "seeds: 0", 13, "arms.main.seeds: must be a list, not 0"),
        (
            "seeds: [0]",
            "seeds: [-1]",
            13,
            "arms.main.seeds: must be a whole number from 0 to 4294967295, not -1",
        ),
        (
            "seeds: [0]",
            "seeds: [0, 99999999999999999999]",
            13,
            "arms.main.seeds: must be a whole number from",
        ),
        ("seeds: [0]", "seeds: []", 13, "arms.main.seeds: must name at least one seed"),
        ("seed: 1", "seed: -1", 7, "pairs.seed: must be a whole number from 0 to 4294967295, not -1"),
        ("n: 2000", "seed: 99999999999999999999", 9, "probe.seed: must be a whole number from 0 to"),
        ("0.2", "0.7", 16, "arms.main.evidence.rates: evidence 0.7 is outside 0 to 0.5"),
        ("0.2", "-0.1", 16, "outside 0 to 0.5"),
        (
            "rates: [0, 0.2]",
            "noise: 0.7",
            16,
            "arms.main.evidence.noise: label noise 0.7 is outside 0 to 0.5",
        ),
        ("symmetric", "symetric", 14, "did you mean 'symmetric'"),
        ("arm: main", "arm: mian", 5, "primary: unknown arm 'mian'; did you mean 'main'"),
        ("method: rloo", "method: sft", 5, "unknown method of its arm 'sft'"),
        (", pairs: all}", "}", 5, "primary: 'pairs' is missing"),
        (
            "family_permutation",
            "dyadic_robust",
            5,
            "dyadic_robust goes with claim H1b, statistic slope; not with claim H1a, statistic spearman",
        ),
        (
            "claim: H1a",
            "claim: inherits",
            5,
            "claim average, statistic spearman; claim methods, statistic slope",
        ),
        ("statistic: spearman", "statistic: trend", 5, "not with claim H1a, statistic trend"),
        ("draw: 3", "draw: 0", 7, "give either 'draw'"),
        ("from: symbolic", "form: symbolic", 7, "did you mean 'from'"),
        ("models: [embedded/symbols]", "models: [[embedded/symbols]]", 6, "assign: all takes names"),
        ("models: [embedded/symbols]", "models: embedded/symbols", 6, "must be a list"),
        ("    seeds: [0]", "    pairs: half", 13, "must be 'all' or 'first N'"),
        ("scale: smoke", "scale: smoke\nname: again", 5, "'name' is given twice"),
        ("seeds: [0]", "seeds: [0", 14, "not YAML"),
        ("name: small", "name: {{ name }}", 1, "a key must be plain text"),
        ("question: Does it run?", "question: x\n? [a, b]\n: 1", 4, "a key must be plain text"),
        ("seeds: [0]", "seeds: &a [*a]", 13, "it refers to a value that it is itself a part of"),
        ("    seeds: [0]", "    settings: &a {steps: {x: *a}}", 13, "itself a part of"),
        ("Does it run?", "Does it\x07run?", 3, "not YAML (special characters are not allowed)"),
        ("Does it run?", "2020-13-45", 3, "not YAML (month must be in 1..12"),
        ("name: small", "name: " + 2000 * "[", 1, "nested too deeply"),
    ],
)
def test_a_mistake_is_one_line_with_its_place(
    tmp_path: Path, old: str, new: str, line: int, says: str
) -> None:
    assert old in BASE
    path = tmp_path / "small.yaml"
    path.write_text(BASE.replace(old, new, 1))
    with pytest.raises(UserError) as caught:
        load_study(path)
    message = str(caught.value)
    assert message.startswith(f"{path} line {line}: ") and says in message and "\n" not in message


def test_a_right_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "small.yaml"
    path.write_text(BASE.replace("0.2", "1e-2"))
    found, _ = load_study(path)
    assert found.arms["main"].evidence.rates == (0.0, 0.01)
    assert found.pairs.from_ == "symbolic"


def test_label_noise_is_part_of_a_run_and_of_a_study_only_where_there_is_some() -> None:
    arm = {"methods": ["rloo"], "evidence": {"rates": [0, 0.2]}}
    noisy = {**arm, "evidence": {**arm["evidence"], "noise": 0.1}}
    silent = {**arm, "evidence": {**arm["evidence"], "noise": 0.0}}
    plain, same, other = (study(arms={"main": one}) for one in (arm, silent, noisy))
    assert plain.definition() == same.definition() != other.definition()
    assert study_from(other.definition(), "again") == other
    runs = [
        [c for c in expand(one, catalogue=CATALOGUE) if c["job"] == "run"] for one in (plain, same, other)
    ]
    assert runs[0] == runs[1] == [{k: v for k, v in c.items() if k != "evidence_noise"} for c in runs[2]]
    assert {c["evidence_noise"] for c in runs[2]} == {0.1}


def test_an_unknown_study_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="unknown study 'cruz'"):
        load_study("cruz")
    with pytest.raises(UserError, match="no such study file"):
        load_study(tmp_path / "none.yaml")


@pytest.mark.parametrize("name", list_studies())
def test_shipped_studies_expand(name: str) -> None:
    found, document = load_study(name)
    assert found.name == name
    if isinstance(found, BanditStudy | TextStudy):
        (job,) = {job.config["job"] for job in plan(found, document).jobs}
        assert job == ("bandit" if isinstance(found, BanditStudy) else "text")
        return
    if isinstance(found, ProbeStudy):
        configs = [job.config for job in plan(found, document).jobs]
        assert {c["job"] for c in configs} == {"probe"}
        cells = {(c["model"], c["task"]) for c in configs}
        runs = [r for name in found.probes.studies for r in expand(load_study(name)[0])]
        assert len(cells) == len(configs) == (found.probes.draw or len(cells))
        assert cells <= {(r["model"], r["task"]) for r in runs if r["job"] == "run"}
        return
    if isinstance(found, StageStudy):
        jobs = composition.jobs()
        configs = expand_stages(found, jobs.validate_settings)
        for config in configs:
            jobs.check(config)
        assert [c["stage"] for c in configs] == sorted((c["stage"] for c in configs), key=STAGES.index)
        tuned = [c for c in configs if c["stage"] == "policy"]
        assert {c["policy"] for c in tuned} == {"sft", *found.stages.policies}
        return
    kinds = {"run"} | ({"probe"} if found.probe.inputs else set())
    kinds |= {"reward_model" for arm in found.arms.values() if arm.reward_model}
    assert {c["job"] for c in expand(found)} == kinds


def test_a_study_of_probes_measures_what_the_runs_started_from() -> None:
    """All references and tasks of the named arms, less random weights and controls; a draw is of these."""
    told = yaml.safe_load((STUDIES / "prediction-baselines.yaml").read_text())
    told["probes"] = {"studies": ["cruz2023-smoke"]}
    whole = study_from(told, "x")
    assert isinstance(whole, ProbeStudy)
    cells = [(c["model"], c["task"]) for c in expand_probes(whole)]
    runs = [r for r in expand(load_study("cruz2023-smoke")[0]) if r["job"] == "run"]
    wanted = {(r["model"], r["task"]) for r in runs if r["arm"] in whole.probes.arms}
    assert cells == sorted(wanted)
    assert all(c["frozen"] and c["init"] == "pretrained" for c in expand_probes(whole))
    drawn = study_from({**told, "probes": {**told["probes"], "draw": 1}}, "x")
    assert {(c["model"], c["task"]) for c in expand_probes(drawn)} < wanted  # type: ignore[arg-type]
    assert study_from(json.loads(json.dumps(whole.definition())), "x") == whole
    with pytest.raises(UserError, match="to draw from"):
        expand_probes(study_from({**told, "probes": {**told["probes"], "draw": 99}}, "x"))  # type: ignore[arg-type]
    with pytest.raises(UserError, match="tunes on no pair"):
        expand_probes(study_from({**told, "probes": {"studies": ["tajwar2024-smoke"]}}, "x"))  # type: ignore[arg-type]


def test_definition_survives_json() -> None:
    original = study(
        assign="rotate", models=[["m:seed=0", "m:seed=1"], ["n"]], settings={"steps": {"rloo": 3}}
    )
    assert study_from(json.loads(json.dumps(original.definition())), "study.json") == original


@given(seed=st.integers(0, 10**6), draw=st.integers(1, 19))
def test_a_smaller_draw_begins_a_larger_one(seed: int, draw: int) -> None:
    small = draw_pairs(study(pairs={"draw": draw, "seed": seed}), CATALOGUE)
    large = draw_pairs(study(pairs={"draw": draw + 1, "seed": seed}), list(reversed(CATALOGUE)))
    assert large[:draw] == small and len(set(large)) == draw + 1
    assert set(large) <= set(CATALOGUE[:-1])


def test_the_draw_is_uniform() -> None:
    """Over 600 seeds each of 20 pairs is drawn 150 times in expectation, standard deviation 10.6."""
    drawn = Counter(
        pair for seed in range(600) for pair in draw_pairs(study(pairs={"draw": 5, "seed": seed}), CATALOGUE)
    )
    assert len(drawn) == 20 and all(abs(n - 150) < 5 * 10.6 for n in drawn.values())


def test_too_large_a_draw_and_an_unknown_task_are_refused() -> None:
    with pytest.raises(UserError, match="fewer than 21"):
        draw_pairs(study(pairs={"draw": 21}), CATALOGUE)
    with pytest.raises(UserError, match=r"did you mean 'symbolic/first-last-vs-contains-2'"):
        draw_pairs(study(pairs={"list": ["symbolic/first-lst-vs-contains-2"]}))


def jobs(**changes: Any) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    found = expand(study(**changes), catalogue=CATALOGUE)
    return [c for c in found if c["job"] == "probe"], [c for c in found if c["job"] == "run"]


def test_probes_come_first_and_cover_every_run() -> None:
    arms = {
        "main": {"methods": ["rloo", "sft"], "seeds": [0, 1], "evidence": {"rates": [0, 0.1]}},
        "random_init": {"methods": ["rloo"], "init": "random", "pairs": "first 2"},
        "swapped": {"methods": ["rloo"], "swapped": True, "pairs": "first 1"},
    }
    found = expand(study(arms=arms), catalogue=CATALOGUE)
    kinds = [c["job"] for c in found]
    assert kinds == sorted(kinds)
    probed = [(c["model"], c["init"], c["task"], c["input"]) for c in found if c["job"] == "probe"]
    assert len(set(probed)) == len(probed) == 3 * 4  # three pairs, one of them swapped too
    for run in (c for c in found if c["job"] == "run"):
        for init, form in ((run["init"], "model"), ("random", "model"), ("pretrained", "raw")):
            assert (run["model"], init, run["task"], form) in probed
    assert kinds.count("run") == 3 * 2 * 2 * 2 + 2 + 1
    assert expand(study(arms=arms), catalogue=CATALOGUE) == found


def test_what_is_also_probed_is_probed_on_every_model_and_tuned_on_none() -> None:
    further = "symbolic/parity-vs-contains-2"
    probe = {"inputs": ["model", "raw"], "also": [further]}
    models = ["m:dial=a,seed={0|1}", "m:dial={b|c},seed={2|3}"]
    probes, runs = jobs(models=models, probe=probe)
    names = [
        f"m:dial={tail}" for tail in ("a,seed=0", "a,seed=1", "b,seed=2", "b,seed=3", "c,seed=2", "c,seed=3")
    ]
    assert sorted({run["model"] for run in runs}) == names
    assert further not in {run["task"] for run in runs}
    asked = [(p["model"], p["input"]) for p in probes if p["task"] == further]
    assert sorted(asked) == sorted([*((name, "model") for name in names), (names[0], "raw")])


def test_a_model_beside_is_probed_on_what_models_of_its_base_are_tuned_on() -> None:
    probe: dict[str, Any] = {"inputs": ["model", "untrained"], "beside": ["m:seed={7|8}"]}
    probes, runs = jobs(models=["m:seed=0", "m:seed=1"], probe=probe)
    tasks = sorted({run["task"] for run in runs})
    beside = sorted((p["task"], p["model"]) for p in probes if p["model"] not in ("m:seed=0", "m:seed=1"))
    assert beside == sorted((task, f"m:seed={seed}") for task in tasks for seed in (7, 8))
    assert all(p["init"] == "pretrained" for p in probes if "seed=7" in p["model"])
    for wrong in ({"beside": ["n:seed=9"]}, {"also": ["english/fillergap-hard-none"]}, {"also": ["x/y"]}):
        with pytest.raises(UserError):
            jobs(models=["m:seed=0"], probe=wrong)


@pytest.mark.parametrize("name", ["m:seed={0|1", "m:seed=0}", "m:{a|{b|c}}"])
def test_braces_that_are_not_closed_are_refused(name: str) -> None:
    with pytest.raises(UserError, match="a brace is not closed"):
        jobs(models=[name])
    assert written_out(["a|b:{x|y}=1"]) == ["a|b:x=1", "a|b:y=1"]


def test_rotation_visits_the_groups_at_one_place() -> None:
    models = [[f"m:dial={dial},seed={seed}" for seed in range(3)] for dial in "ab"]
    arms = {"main": {"methods": ["rloo"], "seeds": [0, 1]}}
    probes, runs = jobs(models=models, assign="rotate", arms=arms, pairs={"draw": 6})
    by_pair: dict[str, list[str]] = {}
    for run in runs:
        by_pair.setdefault(run["task"], []).append(run["model"])
    raw = [(p["task"], p["model"]) for p in probes if p["input"] == "raw"]
    assert raw == [(task, models[0]) for task, models in by_pair.items()]
    assert list(by_pair.values()) == [[f"m:dial={d},seed={i % 3}" for d in "ab"] for i in range(6)]


def test_a_pair_runs_on_the_models_that_read_its_language() -> None:
    mixed = {"list": ["symbolic/first-last-vs-contains-2", "english/agreement-base-lexical"]}
    models = {"symbolic": ["m", "n"], "english": ["e"]}
    found = study(models=models, pairs=mixed)
    assert study_from(found.definition(), "again") == found
    ran = {(job["task"].partition("/")[0], job["model"]) for job in expand(found)}
    assert ran == {("symbolic", "m"), ("symbolic", "n"), ("english", "e")}
    with pytest.raises(UserError, match="'english'; valid: symbolic"):
        expand(study(models={"symbolic": ["m"]}, pairs=mixed))
    for wrong in ({"models": {"symbolic": []}}, {"models": models, "assign": "rotate"}):
        with pytest.raises(UserError, match="models"):
            study(pairs=mixed, **wrong)


def test_a_cell_in_two_arms_is_one_job() -> None:
    arms = {
        "main": {"methods": ["rloo"], "evidence": {"rates": [0, 0.2]}},
        "again": {"methods": ["rloo"], "evidence": {"rates": [0.2, 0.4]}},
    }
    _, runs = jobs(arms=arms)
    assert Counter((r["arm"], r["evidence_rate"]) for r in runs) == {
        ("main", 0.0): 3,
        ("main", 0.2): 3,
        ("again", 0.4): 3,
    }


def test_a_setting_may_differ_by_method_and_by_arm() -> None:
    settings = {"steps": 10, "learning_rate": {"rloo": 1e-3, "sft": 5e-4}}
    arms = {
        "main": {"methods": ["rloo", "sft"]},
        "long": {"methods": ["rloo"], "settings": {"steps": 20}},
    }
    _, runs = jobs(settings=settings, arms=arms)
    assert {
        (r["arm"], r["method"], r["settings"]["steps"], r["settings"]["learning_rate"]) for r in runs
    } == {
        ("main", "rloo", 10, 1e-3),
        ("main", "sft", 10, 5e-4),
        ("long", "rloo", 20, 1e-3),
    }
    with pytest.raises(UserError, match=r"settings.learning_rate: gives no value for sft"):
        jobs(settings={"learning_rate": {"rloo": 1}}, arms=arms)


@given(st.sampled_from(["", ":length=8", ":vocabulary=16,length=8"]))
def test_swapping_twice_changes_nothing(parameters: str) -> None:
    name = f"symbolic/first-last-vs-contains-2{parameters}"
    assert swap(name) == f"symbolic/contains-2-vs-first-last{parameters}"
    assert swap(swap(name)) == name


@pytest.mark.parametrize("parameters", ["", ":heldout=vocabulary", ":heldout=templates,alone=target"])
def test_a_pair_that_is_not_named_by_its_features_is_swapped_by_a_parameter(parameters: str) -> None:
    name = f"english/fillergap-hard-tense{parameters}"
    assert swap(swap(name)) == name != swap(name)
    if "alone" not in parameters:
        task, other = get_task(name), get_task(swap(name))
        assert (task.target.name, task.spurious.name) == (other.spurious.name, other.target.name)
        rows = other.quadrant("target_only", 20, np.random.default_rng(0))
        drawn = task.quadrant("spurious_only", 20, np.random.default_rng(0))
        assert rows["prompt"] == drawn["prompt"] and set(rows["label"]) == {1} != set(drawn["label"])
    assert get_task("english/fillergap-hard-none:swapped=yes").missing == ("spurious_only",)
    with pytest.raises(UserError, match="swapped is yes or no"):
        get_task("english/fillergap-hard-tense:swapped=true")


def test_learnability_is_tried_on_the_model_that_reads_the_task(monkeypatch: pytest.MonkeyPatch) -> None:
    symbols, _ = learnability_study(["symbolic/first-last-vs-contains-2", "symbolic/parity-vs-contains-2"])
    tried = {get_task(name).target.name for name in symbols.pairs.list}
    assert tried == {"first-last", "contains-2", "parity"}
    for tasks in (["english/polarity-plural", "english/polarity-tense"], ["reviews/film-vs-opener"]):
        text, _ = learnability_study(tasks)
        assert len(text.pairs.list) == 2 * len(tasks)  # each feature in each of its tasks
        assert {job["model"] for job in expand(text)} == {"embedded/english"}
    with pytest.raises(UserError, match="one kind of task at a time"):
        learnability_study(["symbolic/first-last-vs-contains-2", "english/polarity-tense"])
    monkeypatch.setattr("proclivity.learnability.get_task", lambda name: get_task("english/polarity-tense"))
    with pytest.raises(UserError, match="know no words but their own"):
        learnability_study(["mine/a-vs-b"])


def test_dry_run_says_what_would_run(call: Callable[..., Any], write_study: Callable[..., str]) -> None:
    status, out, _ = call("study", "run", write_study(), "--dry-run", "--workers", "1", "--json")
    plan = json.loads(out)
    assert status == 0 and (plan["runs"], plan["probes"], len(plan["pairs"])) == (6, 9, 3)
    assert plan["seconds"] == pytest.approx(15 * 1.5)
    status, out, _ = call("study", "run", write_study(), "--dry-run")
    assert status == 0 and all(pair in out for pair in plan["pairs"]) and "family_permutation" in out


def test_a_task_that_lacks_a_quadrant_is_never_drawn_and_refused_by_name() -> None:
    """A study measures all four quadrants."""
    lacking = "english/fillergap-hard-none"
    assert len(draw_pairs(study(pairs={"draw": 19, "seed": 1, "from": "english"}))) == 19
    assert lacking not in draw_pairs(study(pairs={"draw": 19, "seed": 1, "from": "english"}))
    with pytest.raises(UserError, match="19 tasks begin with"):
        draw_pairs(study(pairs={"draw": 20, "seed": 1, "from": "english"}))
    with pytest.raises(UserError, match=f"{lacking} has no target_only rows"):
        draw_pairs(study(pairs={"list": [lacking]}))
