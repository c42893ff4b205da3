"""probe and finetune along a series: checkpoints of a training, revisions of a model, steps of a policy."""

from __future__ import annotations

import math
from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from proclivity import commands_single
from proclivity.answer import Answer, plain, table
from proclivity.commands_single import do, probe_config, tuning_config
from proclivity.expand import probing
from proclivity.job import hash_of, load_model
from proclivity.progress import step_bar
from proclivity.shown import sparklines
from proclivity.study import Probe
from tasks.errors import UserError

Row = Mapping[str, Any]
"""The record of a probe with its place in the series, `at`, and what stands there, `name`."""


def probe(arguments: Namespace) -> Answer:
    """One model, or a series of them on the same rows."""
    if bool(arguments.model) == bool(arguments.checkpoints):
        raise UserError("give either --model or --checkpoints")
    if arguments.checkpoints and arguments.revisions:
        raise UserError("--revisions is for a Hub model, and --checkpoints names a folder")
    if arguments.revisions:
        series = _revisions(arguments.model, arguments.revisions)
    elif arguments.checkpoints:
        series = _checkpoints(Path(arguments.checkpoints))
    else:
        return commands_single.probe(arguments)
    if not arguments.layers.isdigit() and arguments.layers != "last":
        raise UserError("a series is of one layer: give --layers last, or a number")
    if arguments.compat or arguments.use or arguments.input == "raw":
        raise UserError("a series shows bits along models: no --compat, no --use, no --input raw")
    rows, lost = [], ""
    with step_bar() as progress:
        for i, (at, name, model) in enumerate(series, 1):
            load_model.cache_clear()  # no model is asked twice, and large ones may not fit side by side
            asked = Namespace(**{**vars(arguments), "model": model})
            done = do(asked, probe_config(asked))
            rows += [{"at": at, "name": name, **record} for record in done.records]
            lost = lost or done.lost
            progress("probing models", i, len(series))
    return replace(_shown(rows, "" if lost else arguments.out), error=lost)


def finetune(arguments: Namespace) -> Answer:
    """Tune a model, and with --probe-every probe it on the way."""
    if arguments.probe_every is None:
        return commands_single.finetune(arguments)
    along = {"reference_probe": {"input": "model", **probing(Probe())}, "probe_every": arguments.probe_every}
    done = do(arguments, {**tuning_config(arguments), **along})
    run, *probes = done.records
    told = commands_single.answer(replace(done, records=[run]))
    rows = [{"at": record["step"], "name": str(record["step"]), **record} for record in probes]
    steps = _shown(rows, "" if done.lost else arguments.out)
    return replace(told, data=[*told.data, *steps.data], text=f"{told.text}\n\n{steps.text}")


def _checkpoints(folder: Path) -> list[tuple[int, str, str]]:
    """Place, name and model of each checkpoint."""
    from models import checkpoints_in, step_in

    steps = [(step_in(path.name) or 0, path) for path in checkpoints_in(folder)]
    return [(step, str(step), str(path)) for step, path in steps]


def _revisions(model: str, told: str) -> list[tuple[int, str, str]]:
    """The same of revisions, in the order of the steps that their names tell, or as they were given."""
    from models import step_in

    if "@" in model or Path(model).exists():
        raise UserError(f"--revisions is for a Hub model named without one, not {model}")
    names = list(dict.fromkeys(name for name in told.split(",") if name))
    if not names:
        raise UserError("--revisions names none; give such as step1000,step2000")
    places = [step for name in names if (step := step_in(name)) is not None]
    if len(set(places)) < len(names):
        places = list(range(len(names)))
    return sorted((at, name, f"{model}@{name}") for at, name in zip(places, names, strict=True))


def _shown(rows: Sequence[Row], out: str | None) -> Answer:
    """A table of steps and features, a line of bars a feature, and a figure where records are kept."""
    first = rows[0]
    layer = "the last layer" if first["layer"] == -1 else f"layer {first['layer']}"
    steps: dict[str, list[Row]] = {}
    for row in rows:
        steps.setdefault(row["name"], []).append(row)
    parts = [
        f"bits per label, {first['probe']} probe at {first['site']} of {layer}, n = {first['n']} "
        "(*: no cheaper than shuffled labels)",
        table([_line(name, probes) for name, probes in steps.items()]),
        sparklines(rows, "step"),
        *_alike(rows),
    ]
    if out:
        from pandas import DataFrame

        from figures import draw_bits_along, save

        name = hash_of(*(key.encode() for key in dict.fromkeys(row["key"] for row in rows)))
        drawn = draw_bits_along("step", DataFrame(rows), f"bits_by_step-{name}")
        parts.append("\n".join(map(str, save([drawn], Path(out) / "figures"))))
    return Answer(plain(rows), "\n\n".join(filter(None, parts)))


def _line(name: str, probes: Sequence[Row]) -> dict[str, Any]:
    """What one step cost, and, of a policy being tuned, what it used."""
    line: dict[str, Any] = {"step": name}
    for row in probes:
        bits = "-" if row["bits_per_label"] is None else f"{row['bits_per_label']:.3f}"
        line[f"{row['feature']} ({row['role']})"] = bits + "*" * row["censored"]
    target, spurious = probes[:2]
    costs = target["bits_per_label"], spurious["bits_per_label"]
    ordered = all(costs) and not (target["censored"] and spurious["censored"])
    line["relative"] = f"{math.log2(costs[0] / costs[1]):.2f}" if ordered else None
    return line if target["B"] is None else {**line, "U": target["U"], "B": target["B"]}


def _alike(rows: Sequence[Row]) -> list[str]:
    """A warning of steps whose weights are the same: some hubs serve one model under several revisions."""
    names: dict[str, dict[str, None]] = {}
    for row in rows:
        names.setdefault(row["weights_hash"], {})[row["name"]] = None
    return [f"the same weights: {', '.join(steps)}" for steps in names.values() if len(steps) > 1]
