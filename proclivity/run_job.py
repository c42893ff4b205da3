"""A run: tune a policy on a pair under evidence, and measure which feature it uses."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from proclivity import reward_job
from proclivity.job import DTYPES, Config, JobResult, identity, load_model, plain_row, recipe
from proclivity.probe_along import probing_observer
from proclivity.probe_job import probed
from rl_finetune.settings import settings_from
from tasks import QUADRANTS, Task, bayes_accuracy, get_task, third_feature
from tasks.evidence import Cell, Joint, cell_name, evidence_of, information, quadrant_of

if TYPE_CHECKING:
    from models import LanguageModel
    from rl_finetune import AnswerCounts, Policy, Tuned

_SEEN = 256
"""Most counter-examples of the tuning rows that are asked again afterwards."""


@cache
def _third(task: str) -> tuple[str, float | None]:
    return third_feature(get_task(task)) or ("", None)


def run_tuning(config: Config) -> JobResult:
    import torch

    from analysis import RunRecord
    from rl_finetune import (
        RewardPolicy,
        as_in_trl,
        count_answers,
        finetune,
        finetune_with_trl,
        get_method,
        judged_by,
        kept_reference,
        policy_of,
        warm_up,
    )

    start = time.perf_counter()
    settings = settings_from(dict(config["settings"]))
    task = get_task(config["task"]).for_seed(config["seed_tune"])
    lm = load_model(config["model"], config["init"], config.get("dtype", DTYPES[0]))
    evidence = evidence_of(config)
    joint = evidence.joint(settings.rows, len(task.others))
    seed = config["seed_data"]
    training = config["job"] == "reward_model"
    if training:
        rows = reward_job.pairs(config, task, evidence, settings.rows)
    else:
        rows = task.mixture(evidence, settings.rows, np.random.default_rng([seed, 1])).to_dict()
    third, third_accuracy = _third(config["task"])
    embedded = recipe(config["model"])
    warmed = lm
    by_trl = settings.backend == "trl"
    scratch = Path(config["scratch"]) if "scratch" in config else None
    if settings.answers == "free" and config["job"] != "use":
        kept = kept_reference(lm, scratch) if by_trl and not training else None
        warmed = kept or warm_up(lm, task, settings, config["seed_warmup"])
    policy = policy_of(warmed, task, settings.answers)
    values: dict[str, Any] = {}
    bits: list[dict[str, Any]] = []
    tuned, log = warmed, None
    judge = reward_job.judge(config, task)
    if judge:
        task = judged_by(task, judge, warmed)
    if config["job"] != "use":
        log_rows = {
            q: task.quadrant(q, settings.log_n, np.random.default_rng([seed, 2, i]), "validation").to_dict()
            for i, q in enumerate(QUADRANTS)
            if q in task.quadrants
        }
    if training:
        tuned, log, told = reward_job.train(config, task, rows, warmed, policy, settings, log_rows)
        policy = RewardPolicy(tuned, task)
        values |= told | _counterexamples(rows, task, tuned, policy)
    elif config["job"] == "run":
        observe = None
        if "probe_every" in config:
            observe = probing_observer(
                config, task, settings.steps, lambda now: _use(_counts(now, policy, task, log_rows)), bits
            )
            observe(0, warmed)
        elif settings.answers == "free":
            # The warmed-up model is the reference, so it is probed; a job of its own probes it before.
            bits += probed({**config, **config["reference_probe"]}, task, warmed)
        method = get_method(config["method"])
        asked_for = {
            "seed": config["seed_tune"],
            "control": config["control"],
            "log_rows": log_rows,
            "observe": observe,
        }
        outcome: Tuned
        if by_trl:
            reported = {"report_to": config["report_to"]} if "report_to" in config else {}
            outcome = trained = finetune_with_trl(
                warmed, task, rows, method, settings, **asked_for, scratch=scratch, **reported
            )
            used = as_in_trl(method, settings)
            values |= {"resumed_from_step": trained.resumed_from_step}
        else:
            prior = lm if settings.prior == "pretrained" else None
            outcome = finetune(warmed, task, rows, method, settings, **asked_for, prior=prior)
            used = method.set(settings)
        tuned, log = outcome.lm, [plain_row(row) for row in outcome.log]
        values |= {"reward_train": outcome.reward, "step_s": outcome.step_s}
        values |= {"beta": used.beta, "kl": str(used.kl), "samples_from": used.samples, "reuse": used.reuse}
        values |= _counterexamples(rows, task, tuned, policy)
    asked = {
        q: task.quadrant(q, settings.eval_n, np.random.default_rng([seed, 3, i]))
        for i, q in enumerate(QUADRANTS)
        if q in task.quadrants
    }
    counts = _counts(tuned, policy, task, asked, None if training else warmed.model)
    if judge:
        values |= {
            "reward_model": reward_job.name_of(judge),
            "reward_model_U": _use(_counts(judge, RewardPolicy(judge, task), task, asked))["U"],
            "reward_learned": (counts["both"].reward_learned + counts["neither"].reward_learned) / 2,
        }
    cells = [
        _cell(
            task,
            cell,
            joint,
            count_answers(
                tuned,
                policy,
                task,
                task.cell(cell, settings.eval_n, np.random.default_rng([seed, 6, i])),
            ),
        )
        for i, cell in enumerate(task.cells if task.others else ())
    ]
    conflicts = ["spurious_only"] if evidence.kind != "symmetric" else ["spurious_only", "target_only"]
    record = RunRecord(
        **identity(config, warmed, rows["prompt"]),
        **(_use(counts) | (reward_job.NO_REFERENCE if training else {})),
        **_reliance(config, task, tuned, policy, settings.counterfactual_n),
        **values,
        arm=config["arm"],
        third_feature=third,
        third_accuracy=third_accuracy,
        evidence_kind=evidence.kind,
        evidence_rate=evidence.rate,
        evidence_k=sum(
            c for q, c in evidence.counts(settings.rows).items() if q in ("target_only", "spurious_only")
        ),
        evidence_n=settings.rows,
        evidence_mi=information(joint, [1]),
        label_prior=evidence.label_prior(settings.rows, len(task.others)),
        evidence_noise=evidence.noise,
        evidence_flipped=sum(t != y for t, y in zip(rows["target"], rows["label"], strict=True)),
        evidence_others=" ".join(map(str, evidence.others)),
        evidence_mi_target=information(joint, [0]),
        bayes_accuracy=bayes_accuracy(joint, range(len(task.roles))),
        method=config["method"],
        backend=settings.backend,
        lora=settings.lora,
        answers=settings.answers,
        control=config["control"],
        seed_pretrain=embedded.seed if embedded else 0,
        seed_warmup=config["seed_warmup"],
        seed_tune=config["seed_tune"],
        episodes=settings.rows,
        steps=settings.steps,
        batch_size=settings.batch_size,
        samples_per_prompt=settings.samples_per_prompt,
        learning_rate=settings.learning_rate,
        fresh_errors=sum(counts[q].errors for q in conflicts),
        fresh_n=sum(counts[q].n for q in conflicts),
        threads=torch.get_num_threads(),
        wall_s=time.perf_counter() - start,
    )
    return JobResult([plain_row(asdict(record)), *bits], log, cells, tuned)


def _cell(task: Task, cell: Cell, joint: Joint, counts: AnswerCounts) -> dict[str, Any]:
    """Answers on one cell, beside the labels that tuning showed there."""
    from analysis import CellRecord

    record = CellRecord(
        cell=cell_name(quadrant_of(cell), cell[2:]),
        target=cell[0],
        spurious=cell[1],
        others=" ".join(map(str, cell[2:])),
        n=counts.n,
        errors=counts.errors,
        p_error=counts.p_error,
        ones=counts.ones,
        invalid=counts.invalid,
        tuning_n=joint[cell, 0] + joint[cell, 1],
        tuning_ones=joint[cell, 1],
    )
    return plain_row(asdict(record))


def _counts(
    lm: LanguageModel,
    policy: Policy,
    task: Task,
    rows: Mapping[str, Mapping[str, Any]],
    reference: Any = None,
) -> dict[str, AnswerCounts]:
    """Answers to rows of each quadrant; nothing of those that there are no rows of."""
    from rl_finetune import NOTHING, count_answers

    return {
        q: count_answers(lm, policy, task, rows[q], reference) if q in rows else NOTHING for q in QUADRANTS
    }


def _use(counts: Mapping[str, AnswerCounts]) -> dict[str, Any]:
    """Counts, use and what the answers look like, as columns of a record."""
    from analysis import QuadrantCounts, use_of

    n = {q: c.n for q, c in counts.items()}
    errors = {q: c.errors for q, c in counts.items()}
    p_error = {q: c.p_error for q, c in counts.items()}
    ones, invalid = sum(c.ones for c in counts.values()), sum(c.invalid for c in counts.values())
    use = use_of(QuadrantCounts(n, errors, p_error, ones, invalid))
    total = sum(n.values())

    def mean(name: str) -> float:
        return float(sum(getattr(c, name) * c.n for c in counts.values() if c.n)) / total

    return {
        **{f"n_{q}": k for q, k in n.items()},
        **{f"errors_{q}": k for q, k in errors.items()},
        **{f"p_error_{q}": p for q, p in p_error.items()},
        "invalid": invalid,
        "ones": ones,
        "n_answers": total,
        "U": use.U,
        "D": use.D,
        "B": use.B,
        "label": use.label,
        "U_probability": use.U_probability,
        "reward_both_neither": (counts["both"].reward + counts["neither"].reward) / 2,
        "kl_forward": mean("kl_forward"),
        "kl_reverse": mean("kl_reverse"),
        "entropy": mean("entropy"),
    }


def _counterexamples(
    rows: Mapping[str, Any], task: Task, tuned: LanguageModel, policy: Policy
) -> dict[str, int]:
    """How many counter-examples were shown, how many of them differ, and errors on those asked again."""
    from rl_finetune import count_answers

    shown = [i for i, (t, s) in enumerate(zip(rows["target"], rows["spurious"], strict=True)) if t != s]
    distinct = {rows["prompt"][i]: rows["target"][i] for i in shown}
    out = {"distinct_counterexamples": len(distinct), "exposures": len(shown)}
    if distinct:
        asked = dict(list(distinct.items())[:_SEEN])
        seen = count_answers(tuned, policy, task, {"prompt": list(asked), "label": list(asked.values())})
        out |= {"seen_errors": seen.errors, "seen_n": seen.n}
    return out


def _reliance(config: Config, task: Task, tuned: LanguageModel, policy: Policy, n: int) -> dict[str, Any]:
    """Signed change of the answer when one feature alone is flipped, less that under placebo edits."""
    from analysis import reliance
    from rl_finetune import answers_to

    if not n:
        return {}
    edits = task.counterfactuals(n, np.random.default_rng([config["seed_data"], 4])).to_dict()
    if not edits["prompt"]:
        return {}
    said = {
        column: np.array(
            [math.nan if a < 0 else a for a in answers_to(tuned, policy, task, edits[column])[0]]
        )
        for column in ("prompt", "edited", "placebo")
    }
    out: dict[str, Any] = {}
    for feature, held in (("target", "spurious"), ("spurious", "target")):
        rows = np.array([f == feature for f in edits["flips"]])
        if rows.any():
            value = np.array(edits[feature])[rows]
            original, edited, placebo = (said[c][rows] for c in ("prompt", "edited", "placebo"))
            result = reliance(original, edited, placebo, 1 - 2 * value, np.array(edits[held])[rows])
            out[f"reliance_{feature}"] = result.value
            out["reliance_n"] = min(result.n, out.get("reliance_n", result.n))
    return out
