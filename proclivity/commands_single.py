"""probe, finetune, use: one job."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import fields
from pathlib import Path
from typing import Any

from proclivity import composition
from proclivity.answer import Answer, plain
from proclivity.manifest import describe, make_folder, write_manifest
from proclivity.plan import keyed, open_store
from proclivity.pool import one_line
from proclivity.progress import step_bar
from proclivity.runner import stamp
from tasks import Evidence, get_task
from tasks.errors import UserError

SINGLE = {
    "name": "single",
    "paper": "",
    "question": "runs and probes made one by one",
    "scale": "",
    "primary": {},
}
"""What the manifest of a folder of single records says it is a study of."""


def probe(arguments: Namespace) -> Answer:
    return _do(
        arguments,
        {
            "job": "probe",
            "study": "single",
            "model": arguments.model,
            "init": arguments.init,
            "task": arguments.task,
            "input": arguments.input,
            "layers": arguments.layers,
            "n": arguments.n,
            "probe": arguments.probe,
            "shuffles": arguments.shuffles,
            "seed_probe": arguments.seed,
            "seed_data": arguments.seed,
        },
    )


def finetune(arguments: Namespace) -> Answer:
    Evidence(kind=arguments.evidence_kind, rate=arguments.evidence)
    return _do(arguments, {**_run(arguments), "method": arguments.method})


def use(arguments: Namespace) -> Answer:
    return _do(arguments, {**_run(arguments), "job": "use", "method": ""})


def _run(arguments: Namespace) -> dict[str, Any]:
    jobs = composition.jobs()
    names = {field.name for field in fields(jobs.SETTINGS)}
    given = {name: value for name, value in vars(arguments).items() if name in names}
    return {
        "job": "run",
        "study": "single",
        "arm": "main",
        "model": arguments.model,
        "init": arguments.init,
        "task": arguments.task,
        "evidence_kind": getattr(arguments, "evidence_kind", "symmetric"),
        "evidence_rate": getattr(arguments, "evidence", 0.0),
        "control": getattr(arguments, "control", ""),
        "seed_data": arguments.seed,
        "seed_tune": arguments.seed,
        "seed_warmup": arguments.seed,
        "settings": jobs.validate_settings(given, "settings"),
    }


def _do(arguments: Namespace, config: dict[str, Any]) -> Answer:
    """Do one job here and now; with --out its record is kept, and read instead when it is there already."""
    get_task(arguments.task)
    (job,) = keyed([config])
    store = None
    if arguments.out:
        store = open_store(Path(arguments.out))
        make_folder(store.folder)
        with store.claims.alone():
            write_manifest(store.folder, describe(SINGLE, "proclivity"))
        records = store.read(job.key)
        if records is not None:
            return _shown(records)
    with step_bar() as progress:
        composition.jobs().prepare([config], progress)
    try:
        result = composition.execute(f"{composition.JOBS}:execute", config)
    except (ArithmeticError, RuntimeError, MemoryError) as e:
        # Divergence or too little memory: an outcome of this run rather than a bug.
        raise UserError(one_line(e)) from e
    records = [stamp(record, job) for record in plain(result.records)]
    if store:
        store.publish(job.key, records, plain(result.log))
    return _shown(records)


def _shown(records: list[dict[str, Any]]) -> Answer:
    told = [{name: value for name, value in record.items() if value not in ("", None)} for record in records]
    text = "\n\n".join("\n".join(f"{name:24} {value}" for name, value in record.items()) for record in told)
    return Answer(records, text)
