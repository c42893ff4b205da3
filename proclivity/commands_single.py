"""probe, finetune, reward-model, use: one job."""

from __future__ import annotations

import json
import os
from argparse import Namespace
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from proclivity import composition, label_calibration, shown
from proclivity.answer import Answer, plain
from proclivity.expand import reference_probe, trusted
from proclivity.job import DTYPES, REWARD_MODEL, TUNED
from proclivity.manifest import SINGLE, describe, make_folder, write_manifest
from proclivity.metric_files import Questions
from proclivity.plan import keyed, note, open_store
from proclivity.progress import step_bar
from proclivity.runner import Job, in_scratch, stamp
from proclivity.store import CorruptRecord, Store
from proclivity.study import BRADLEY_TERRY, Probe
from tasks import Evidence, get_task
from tasks.errors import UserError, one_line


def probe(arguments: Namespace) -> Answer:
    done = do(arguments, probe_config(arguments))
    told = answer(done)
    if done.folder is None or len({record["layer"] for record in done.records}) < 2:
        return told
    drawn = "\n".join(map(str, _bits_by_layer(done, Path(arguments.out) / "figures")))
    return replace(told, text=f"{told.text}\n\n{drawn}")


def _bits_by_layer(done: Done, out: Path) -> list[Path]:
    from pandas import DataFrame

    from figures import draw_bits_along, save

    last = 1 + max(record["layer"] for record in done.records)
    places = [
        {"at": last, "name": "last"} if layer == -1 else {"at": layer, "name": str(layer)}
        for layer in (record["layer"] for record in done.records)
    ]
    rows = [{**place, **record} for place, record in zip(places, done.records, strict=True)]
    return save([draw_bits_along("layer", DataFrame(rows), f"bits_by_layer-{done.records[0]['key']}")], out)


def probe_config(arguments: Namespace) -> dict[str, Any]:
    names = ("input", "layers", "n", "probe", "site", "shuffles", "orders", "use", "compat")
    usual = {"orders": 1, "use": 0, "site": "answer", "compat": ""}
    asked = {n: getattr(arguments, n) for n in names if getattr(arguments, n) != usual.get(n)}
    if arguments.use < 0:
        raise UserError("--use must be 0 or more")
    return _probe(arguments, asked)


def finetune(arguments: Namespace) -> Answer:
    return _tuned(arguments, tuning_config(arguments))


def tuning_config(arguments: Namespace) -> dict[str, Any]:
    evidence = Evidence(
        arguments.evidence_kind, arguments.evidence, arguments.evidence_noise, arguments.evidence_others
    )
    on = {"reward_model": arguments.reward_model} if arguments.reward_model else {}
    return {**_run(arguments), **evidence.config(), "method": arguments.method, **on}


def reward_model(arguments: Namespace) -> Answer:
    """Train a reward model on preference pairs and measure it as a policy is measured."""
    arguments.samples_per_prompt = 2  # of a pair
    arguments.method, arguments.reward_model = BRADLEY_TERRY, ""
    config = tuning_config(arguments)
    config.pop("reference_probe", None)
    asked = {"ties": arguments.ties, "half": arguments.half}
    return answer(do(arguments, {**config, "job": "reward_model", **{k: v for k, v in asked.items() if v}}))


def use(arguments: Namespace) -> Answer:
    """Measure a model. A policy that `finetune` kept says itself how it answers and with which words."""
    try:
        told = json.loads((Path(arguments.model) / TUNED).read_text())
    except (OSError, ValueError):
        told = {}
    if "answers" not in vars(arguments):
        arguments.answers = told.get("answers", "constrained")
    seed = told.get("seed_tune", 0)
    if arguments.seed is None:
        arguments.seed = seed
    elif told and arguments.seed != seed:
        note(f"{arguments.model} was tuned with --seed {seed}: under another, words may mean other labels")
    return _tuned(arguments, {**_run(arguments), "job": "use", "method": ""})


def _tuned(arguments: Namespace, config: dict[str, Any]) -> Answer:
    """A run, and, where a format warm-up made another reference, the bits before it beside those after."""
    done = do(arguments, config)
    if not any(record["kind"] == "probe" for record in done.records):
        return answer(done)
    return answer(done, before=do(arguments, _probe(arguments, config["reference_probe"])))


def _probe(arguments: Namespace, asked: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "job": "probe",
        "study": "single",
        "model": arguments.model,
        "init": arguments.init,
        "task": arguments.task,
        **_read_as(arguments),
        "seed_probe": arguments.seed,
        "seed_data": arguments.seed,
        **asked,
    }


def _run(arguments: Namespace) -> dict[str, Any]:
    jobs = composition.jobs()
    names = {field.name for field in fields(jobs.SETTINGS)}
    given = {name: value for name, value in vars(arguments).items() if name in names}
    settings = jobs.validate_settings(given, "settings")
    return {
        **reference_probe(settings, Probe()),
        "job": "run",
        "study": "single",
        "arm": "main",
        "model": arguments.model,
        "init": arguments.init,
        "task": arguments.task,
        **_read_as(arguments),
        **Evidence().config(),
        "control": getattr(arguments, "control", ""),
        "seed_data": arguments.seed,
        "seed_tune": arguments.seed,
        "seed_warmup": arguments.seed,
        "settings": settings,
    }


def _read_as(arguments: Namespace) -> dict[str, Any]:
    """Only what is not the usual, so that jobs without it are the jobs they were."""
    dtype = getattr(arguments, "dtype", DTYPES[0])
    return ({} if dtype == DTYPES[0] else {"dtype": dtype}) | trusted(
        arguments.model, arguments.trust_remote_code
    )


@dataclass(frozen=True)
class Done:
    """A job that was done."""

    records: list[dict[str, Any]]
    folder: Path | None = None
    """Where they are kept."""
    lost: str = ""
    """Why they could not be kept."""
    cells: list[dict[str, Any]] = field(default_factory=list)
    """Answers on every cell, of a run on a task with several spurious features."""
    questions: Mapping[str, Questions] = field(default_factory=dict)
    """Probabilities of the answers to each quadrant's test rows, of a run that has any."""


def do(arguments: Namespace, config: dict[str, Any]) -> Done:
    """Do one job here and now. With --out record and policy are kept, and not made again if they exist."""
    get_task(arguments.task)
    (job,) = keyed([config])
    reported = _reported(arguments, config)
    if not arguments.out:
        result = _execute(config)
        made = [stamp(record, job) for record in plain(result.records)]
        return Done(made, cells=plain(result.cells) or [], questions=label_calibration.made(result.tables))
    store = open_store(Path(arguments.out))
    make_folder(store.folder)
    with closing(store.claims):
        return _kept(store, job, reported)


def _kept(store: Store, job: Job, reported: Mapping[str, str]) -> Done:
    """A job's record in a folder, made if it is not there."""
    with store.claims.alone():
        write_manifest(store.folder, describe(SINGLE, "proclivity"))
    if not store.claims.take(job.key):
        raise UserError(f"another process is at work on this very job in {store.folder}")
    try:
        records = store.read(job.key)
    except CorruptRecord as e:
        records = None
        note(f"{store.folder}/{e}; moved to {store.set_aside(e).moved_to}, and made again")
    lost = ""
    cells = store.cells(job.key)
    questions = label_calibration.kept(store.runs / job.key)
    if records is None:
        result = _execute({**in_scratch(store, job.key, job.config), **reported})
        records = [stamp(record, job) for record in plain(result.records)]
        cells = plain(result.cells) or []
        questions = label_calibration.made(result.tables)
        try:
            store.publish(
                job.key,
                records,
                plain(result.log),
                cells,
                lambda folder: composition.jobs().save(result, folder),
            )
        except (UserError, OSError) as e:
            full = e.__cause__
            named = isinstance(full, OSError) and full.filename is not None
            lost = f"not kept: {one_line(full if full and named else e)}"
    return Done(records, None if lost else store.runs / job.key, lost, cells, questions)


def _reported(arguments: Namespace, config: Mapping[str, Any]) -> dict[str, str]:
    """The tracker that TRL is to report to, as a job is told it: it is no part of what the job is."""
    tracker = getattr(arguments, "report_to", "none")
    if tracker == "none":
        return {}
    if config["settings"].get("backend") != "trl" or not arguments.out:
        raise UserError("--report-to needs --backend trl, and --out for the folder that it is kept in")
    from rl_finetune import check_tracker

    check_tracker(tracker)
    os.environ.setdefault("TENSORBOARD_LOGGING_DIR", os.path.join(arguments.out, "tensorboard"))
    return {"report_to": tracker}


def _execute(config: dict[str, Any]) -> composition.JobResult:
    composition.jobs().check_memory([config], 0)
    with step_bar() as progress:
        composition.jobs().prepare([config], progress)
    try:
        return composition.execute(f"{composition.JOBS}:execute", config)
    except (ArithmeticError, RuntimeError, MemoryError) as e:
        # Divergence or too little memory: an outcome of this run rather than a bug.
        raise UserError(one_line(e)) from e


def answer(done: Done, before: Done | None = None) -> Answer:
    earlier = before.records if before else []
    parts = [shown.told(done.records, done.cells, earlier)]
    records = done.records
    if records[0]["kind"] == "run":
        calibrations = label_calibration.of(done.questions)
        parts.append(label_calibration.told(calibrations, records[0], done.folder))
        measures = {q: found.measures for q, found in calibrations.items()}
        records = [{**records[0], "calibration": plain(measures)}, *records[1:]]
    if done.folder:
        trained = done.folder / REWARD_MODEL
        parts.append(f"kept in {trained if trained.is_dir() else done.folder}")
    return Answer(
        [*earlier, *records],
        "\n\n".join(parts),
        error=done.lost or (before.lost if before else ""),
    )
