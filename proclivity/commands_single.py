"""probe, finetune, use: one job."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from proclivity import composition
from proclivity.answer import Answer, plain, table
from proclivity.expand import reference_probe
from proclivity.job import DTYPES, TUNED
from proclivity.manifest import SINGLE, describe, make_folder, write_manifest
from proclivity.plan import keyed, note, open_store
from proclivity.progress import step_bar
from proclivity.runner import stamp
from proclivity.store import CorruptRecord
from proclivity.study import Probe
from tasks import QUADRANTS, Evidence, get_task
from tasks.errors import UserError, one_line


def probe(arguments: Namespace) -> Answer:
    return shown(do(arguments, probe_config(arguments)))


def probe_config(arguments: Namespace) -> dict[str, Any]:
    names = ("input", "layers", "n", "probe", "site", "shuffles", "orders", "use")
    usual = {"orders": 1, "use": 0, "site": "answer"}
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
    return {**_run(arguments), **evidence.config(), "method": arguments.method}


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
        return shown(done)
    return shown(done, before=do(arguments, _probe(arguments, config["reference_probe"])))


def _probe(arguments: Namespace, asked: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "job": "probe",
        "study": "single",
        "model": arguments.model,
        "init": arguments.init,
        "task": arguments.task,
        **_dtype(arguments),
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
        **_dtype(arguments),
        **Evidence().config(),
        "control": getattr(arguments, "control", ""),
        "seed_data": arguments.seed,
        "seed_tune": arguments.seed,
        "seed_warmup": arguments.seed,
        "settings": settings,
    }


def _dtype(arguments: Namespace) -> dict[str, str]:
    """Only what is not the usual, so that jobs without it are the jobs they were."""
    dtype = getattr(arguments, "dtype", DTYPES[0])
    return {} if dtype == DTYPES[0] else {"dtype": dtype}


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


def do(arguments: Namespace, config: dict[str, Any]) -> Done:
    """Do one job here and now. With --out record and policy are kept, and not made again if they exist."""
    get_task(arguments.task)
    (job,) = keyed([config])
    if not arguments.out:
        result = _execute(config)
        made = [stamp(record, job) for record in plain(result.records)]
        return Done(made, cells=plain(result.cells) or [])
    store = open_store(Path(arguments.out))
    make_folder(store.folder)
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
    if records is None:
        result = _execute(config)
        records = [stamp(record, job) for record in plain(result.records)]
        cells = plain(result.cells) or []
        try:
            store.publish(
                job.key,
                records,
                plain(result.log),
                cells,
                lambda folder: _save_policy(result, folder),
            )
        except (UserError, OSError) as e:
            full = e.__cause__
            named = isinstance(full, OSError) and full.filename is not None
            lost = f"not kept: {one_line(full if full and named else e)}"
    store.claims.close()
    return Done(records, None if lost else store.runs / job.key, lost, cells)


def _execute(config: dict[str, Any]) -> composition.JobResult:
    with step_bar() as progress:
        composition.jobs().prepare([config], progress)
    try:
        return composition.execute(f"{composition.JOBS}:execute", config)
    except (ArithmeticError, RuntimeError, MemoryError) as e:
        # Divergence or too little memory: an outcome of this run rather than a bug.
        raise UserError(one_line(e)) from e


def _save_policy(result: composition.JobResult, folder: Path) -> None:
    """Save the tuned model as any library reads it: `use --model` and `probe --model` take the folder."""
    if result.policy is not None:
        from models import save

        run = result.records[0]
        told = {name: run[name] for name in ("task", "answers", "seed_tune")}
        (folder / "policy").mkdir()
        (folder / "policy" / TUNED).write_text(json.dumps(told, indent=1))
        save(result.policy.model, result.policy.tokenizer, folder / "policy")


def shown(done: Done, before: Done | None = None) -> Answer:
    parts = [_run_text(record) for record in done.records if record["kind"] == "run"]
    if done.cells:
        parts.append(table([_cell_row(cell) for cell in done.cells]))
    probes = [_probe_row(record) for record in done.records if record["kind"] == "probe"]
    if before:
        earlier = [{**_probe_row(record), "format warm-up": "before"} for record in before.records]
        probes = [*earlier, *({**row, "format warm-up": "after"} for row in probes)]
    if probes:
        first = next(record for record in done.records if record["kind"] == "probe")
        said = f"{first['probe']} probe at {first['site']}, n = {first['n']}"
        parts.append(f"{said}, means over {first['orders']} orders" if first["orders"] > 1 else said)
        parts.append(table(probes))
        if any(record.get("use_n") for record in done.records):
            parts.append(USE)
            parts.append(table([_use_row(record) for record in done.records]))
        if not before and (lines := _sparklines(done.records)):
            parts.append(lines)
    if done.folder:
        parts.append(f"kept in {done.folder}")
    records = [*(before.records if before else []), *done.records]
    return Answer(records, "\n\n".join(parts), error=done.lost or (before.lost if before else ""))


def _run_text(record: Mapping[str, Any]) -> str:
    """Errors on the quadrants, and what they say of use."""
    from analysis import wilson

    rows = []
    for quadrant in QUADRANTS:
        n, errors = record[f"n_{quadrant}"], record[f"errors_{quadrant}"]
        low, high = wilson(errors, n)
        rows.append(
            {
                "quadrant": quadrant,
                "errors": f"{errors} of {n}",
                "rate": errors / n if n else None,
                "95 %": f"{low:.3f}-{high:.3f}",
            }
        )
    U = "not read from an unlearnt run" if record["U"] is None else f"{record['U']:.3f}"
    lines = [
        f"{record['model']} on {record['task']}: {record['label']}",
        "",
        table(rows),
        "",
        f"U {U} (0 = target rule, 1 = spurious rule), D {_number(record['D'])} (+1 = OR, -1 = AND), "
        f"B {_number(record['B'])} (learnt up to 0.1)",
        f"reliance on the target {_number(record['reliance_target'])}, on the spurious feature "
        f"{_number(record['reliance_spurious'])} ({record['reliance_n']} edits each, less placebo)",
    ]
    if record["method"]:
        lines.append(
            f"{record['method']}: {record['episodes']} rows, {record['evidence_k']} counter-examples "
            f"({record['evidence_kind']}){_noise(record)}; KL to the reference "
            f"{_number(record['kl_reverse'])} nats, {record['wall_s']:.1f} s"
        )
    return "\n".join(lines)


def _noise(record: Mapping[str, Any]) -> str:
    if not record["evidence_flipped"]:
        return ""
    best = f"no rule agrees with more than {record['bayes_accuracy']:.3f} of them"
    return f", {record['evidence_flipped']} labels flipped ({best})"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _cell_row(cell: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "cell": cell["cell"],
        "errors": f"{cell['errors']} of {cell['n']}",
        "rate": cell["errors"] / cell["n"],
        "tuned on": cell["tuning_n"],
        "with label 1": cell["tuning_ones"],
    }


BARS = "▁▂▃▄▅▆▇█"
"""From 0 bits a label to 1."""


def _sparklines(records: Sequence[Mapping[str, Any]]) -> str:
    """The bits of each feature along the layers, where several were probed."""
    lines: dict[str, list[str]] = {}
    for record in records:
        share = min(max(record["bits_per_label"] or 0.0, 0.0), 1.0)
        lines.setdefault(record["feature"], []).append(BARS[round(share * (len(BARS) - 1))])
    if max(map(len, lines.values())) < 2:
        return ""
    width = max(map(len, lines))
    return "bits by layer, 0 to 1\n" + "\n".join(f"{name:{width}}  {''.join(b)}" for name, b in lines.items())


USE = """What each layer's state is used for. changed: share of answers that change when the feature is erased
there; swapped: change of the probability of label 1, towards the feature, when it is swapped in."""


def _use_row(record: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "feature": record["feature"],
        "layer": "last" if record["layer"] == -1 else record["layer"],
        "bits/label": record["bits_per_label"],
        "changed": record["use_changed"],
        "random": record["use_changed_random"],
        "of": record["use_n"],
        "U erased": record["use_conflict_error"],
        "swapped": record["swap"],
        "random swap": record["swap_random"],
        "pairs": record["swap_n"],
    }


def _interval(record: Mapping[str, Any]) -> str:
    if record["bits_low"] is None:
        return ""
    return f"{record['bits_low']:.3f}-{record['bits_high']:.3f}"


def _probe_row(record: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "feature": record["feature"],
        "role": record["role"],
        "input": record["input"] if record["input"] == "raw" else record["init"],
        "layer": "last" if record["layer"] == -1 else record["layer"],
        "bits/label": record["bits_per_label"],
        "95 %": _interval(record),
        "shuffled": f"{_number(record['control_low'])}-{_number(record['control_high'])}",
        "censored": f"at n = {record['n']}" if record["censored"] else "",
        "accuracy": record["accuracy"],
        "selectivity": record["selectivity"],
    }
