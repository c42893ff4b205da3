"""A run: tune a policy on a pair under evidence, and measure which feature it uses."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from proclivity import label_calibration, policy_job, reward_job
from proclivity.job import Config, JobResult, identity, model_of, plain_row, recipe
from proclivity.measured import (
    answered_by_quadrant,
    answers_by_quadrant,
    cell_columns,
    counterexamples_columns,
    reliance_columns,
    use_columns,
)
from proclivity.policy_job import Made
from proclivity.probe_along import probing_observer
from proclivity.probe_job import probed
from rl_finetune.settings import Settings, settings_from
from tasks import QUADRANTS, Evidence, Task, bayes_accuracy, get_task, third_feature
from tasks.evidence import Joint, evidence_of, information

if TYPE_CHECKING:
    from models import LanguageModel
    from rl_finetune import Policy


@cache
def _third(task: str) -> tuple[str, float | None]:
    return third_feature(get_task(task)) or ("", None)


@dataclass(frozen=True)
class Prepared:
    """A run of which all is there but what its method makes."""

    config: Config
    settings: Settings
    task: Task
    """As the policy is rewarded on it."""
    lm: LanguageModel
    reference: LanguageModel
    policy: Policy
    evidence: Evidence
    joint: Joint
    rows: Mapping[str, Any]
    log_rows: Mapping[str, Mapping[str, Any]]
    judge: LanguageModel | None
    """The reward model that it is tuned on."""
    seconds: float


def run_tuning(config: Config) -> JobResult:
    start = time.perf_counter()
    run = prepared(config)
    bits: list[dict[str, Any]] = []
    made = _made(run, bits)
    return finished(run, made, bits, start)


def prepared(config: Config, device: str | None = None) -> Prepared:
    """A run's model, rows and policy; `device`: where the model is, if not where it is by itself."""
    from rl_finetune import judged_by, policy_of

    start = time.perf_counter()
    settings = settings_from(dict(config["settings"]))
    task = get_task(config["task"]).for_seed(config["seed_tune"])
    lm = model_of(config, device)
    evidence = evidence_of(config)
    joint = evidence.joint(settings.rows, len(task.others))
    seed = config["seed_data"]
    rows: Mapping[str, Any]
    if config["job"] == "reward_model":
        rows = reward_job.pairs(config, task, evidence, settings.rows)
    else:
        rows = task.mixture(evidence, settings.rows, np.random.default_rng([seed, 1])).to_dict()
    reference = policy_job.reference_of(config, lm, task, settings)
    policy = policy_of(reference, task, settings.answers)
    judge = reward_job.judge(config, task)
    if judge:
        task = judged_by(task, judge, reference)
    log_rows = {
        q: task.quadrant(q, settings.log_n, np.random.default_rng([seed, 2, i]), "validation").to_dict()
        for i, q in enumerate(QUADRANTS if config["job"] != "use" else ())
        if q in task.quadrants
    }
    seconds = time.perf_counter() - start
    return Prepared(
        config, settings, task, lm, reference, policy, evidence, joint, rows, log_rows, judge, seconds
    )


def _made(run: Prepared, bits: list[dict[str, Any]]) -> Made:
    """What is measured: a reward model, a policy, or the model as it is; probes on the way join `bits`."""
    config, task, settings, reference = run.config, run.task, run.settings, run.reference
    if config["job"] == "reward_model":
        return reward_job.train(config, task, run.rows, reference, run.policy, settings, run.log_rows)
    if config["job"] != "run":
        return Made(reference, run.policy, None, settings.steps, {})
    observe = None
    if "probe_every" in config:
        observe = probing_observer(
            config,
            task,
            settings.steps,
            lambda now: use_columns(answers_by_quadrant(now, run.policy, task, run.log_rows)),
            bits,
        )
        observe(0, reference)
    elif settings.answers == "free":
        # The warmed-up model is the reference, so it is probed; a job of its own probes it before.
        bits += probed({**config, **config["reference_probe"]}, task, reference)
    return policy_job.make(
        config, task, run.rows, run.lm, reference, run.policy, settings, run.log_rows, observe
    )


def finished(run: Prepared, made: Made, bits: Sequence[dict[str, Any]], start: float) -> JobResult:
    """The record of what was made, its log and the tables beside it; `start`: when its wall time began."""
    import torch

    from analysis import RunRecord
    from rl_finetune import RewardPolicy, count_answers

    config, settings, task, rows, judge = run.config, run.settings, run.task, run.rows, run.judge
    reference, evidence, joint, seed = run.reference, run.evidence, run.joint, config["seed_data"]
    training = config["job"] == "reward_model"
    third, third_accuracy = _third(config["task"])
    embedded = recipe(config["model"])
    values = dict(made.columns)
    if made.log is not None:
        values |= counterexamples_columns(rows, task, made.lm, made.answering)
    asked = {
        q: task.quadrant(q, settings.eval_n, np.random.default_rng([seed, 3, i]))
        for i, q in enumerate(QUADRANTS)
        if q in task.quadrants
    }
    far_end = None if training else reference.model
    answered = answered_by_quadrant(made.lm, made.answering, task, asked, far_end)
    counts = {q: said.counts for q, said in answered.items()}
    probabilities = label_calibration.rows_of(task.answers.words, asked, answered)
    values |= label_calibration.columns(probabilities)
    if judge:
        judged = answers_by_quadrant(judge, RewardPolicy(judge, task), task, asked)
        values |= {
            "reward_model": reward_job.name_of(judge),
            "reward_model_U": use_columns(judged)["U"],
            "reward_learned": (counts["both"].reward_learned + counts["neither"].reward_learned) / 2,
        }
    cells = [
        cell_columns(
            task,
            cell,
            joint,
            count_answers(
                made.lm,
                made.answering,
                task,
                task.cell(cell, settings.eval_n, np.random.default_rng([seed, 6, i])),
            ),
        )
        for i, cell in enumerate(task.cells if task.others else ())
    ]
    if made.steps or judge:  # edits have no labels for the task's own reward to choose an answer by
        values |= reliance_columns(config, task, made.lm, made.answering, settings.counterfactual_n)
    conflicts = ["spurious_only"] if evidence.kind != "symmetric" else ["spurious_only", "target_only"]
    record = RunRecord(
        **identity(config, reference, rows["prompt"]),
        **(use_columns(counts) | (reward_job.NO_REFERENCE if training else {})),
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
        precision="bfloat16" if settings.bf16 else "float32",
        lora=settings.lora,
        processes=settings.processes,
        answers=settings.answers,
        control=config["control"],
        seed_pretrain=embedded.seed if embedded else 0,
        seed_warmup=config["seed_warmup"],
        seed_tune=config["seed_tune"],
        episodes=made.steps * settings.batch_size,
        steps=made.steps,
        batch_size=settings.batch_size,
        samples_per_prompt=settings.samples_per_prompt,
        learning_rate=settings.learning_rate,
        fresh_errors=sum(counts[q].errors for q in conflicts),
        fresh_n=sum(counts[q].n for q in conflicts),
        threads=torch.get_num_threads(),
        wall_s=time.perf_counter() - start,
    )
    return JobResult(
        [plain_row(asdict(record)), *bits],
        made.log,
        cells,
        made.lm if made.steps else None,
        {label_calibration.TABLE: probabilities},
    )
