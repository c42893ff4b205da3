"""Every run and probe of a study as rows, each with its settings and what is known along it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

from pandas import DataFrame

from analysis import Study
from analysis.records import KINDS
from analysis.stage_schema import IN
from figures.report.curves import ALONG, of_bandits, of_probes, of_runs, of_stages, of_texts, thinned
from figures.report.sheets import Curves, Sheet

SHOWN = {
    "run": [
        "task", "model", "init", "dial", "arm", "method", "evidence_rate", "seed_tune", "control",
        "reward_model", "label", "U", "B", "reward_both_neither", "kl_reverse", "status",
    ],
    "bandit": [
        "problem", "method", "batches", "reuse", "learning_rate", "seed", "reward", "kl_reverse", "entropy",
        "status",
    ],
    "text": [
        "task", "method", "learning_rate", "seed_tune", "reward", "reward_learned", "length", "kl_reverse",
        "entropy", "status",
    ],
    "stage": [
        "task", "evidence_rate", "policy", "method", "stage", "learning_rate", "beta", "seed_data",
        "seed_tune", "status",
    ],
    "probe": [
        "task", "feature", "role", "model", "init", "input", "layer", "probe", "n", "step", "bits_per_label",
        "control_mean", "accuracy", "censored", "status",
    ],
}  # fmt: skip
"""Columns that stand in the table; a row's own page has all."""
UNSAID = ("curve", "lengths", "schema", "kind")
"""Columns that are drawn, or the same everywhere."""
PROVENANCE = (
    "id", "key", "study", "weights_hash", "data_hash", "config_hash", "threads", "wall_s", "started",
    "versions",
)  # fmt: skip
"""Columns that stand at the end of a row's own page."""
ALWAYS = ("task", "problem", "method", "feature", "status")
"""Of these, what stands there even where it is the same in all rows."""


def run_sheets(study: Study, logs: DataFrame, *, is_store: bool) -> list[Sheet]:
    """A sheet for each kind of record that the study has; the training logs name their runs by key."""
    kinds: list[tuple[str, str, DataFrame, Callable[[DataFrame], Curves]]] = [
        ("run", "Runs", study.runs, lambda table: of_runs(table, logs, is_store)),
        ("bandit", "Bandit runs", study.bandits, lambda table: of_bandits(table, study.points)),
        ("text", "Runs on text problems", study.texts, lambda table: of_texts(table, study.texts)),
        ("stage", "Stages of tuning", study.stages, lambda table: of_stages(table, study.measures)),
        ("probe", "Probes", study.probes, of_probes),
    ]
    sheets = []
    for kind, title, table, curves_of in kinds:
        if len(table):
            rows = _named(kind, table, study)
            docs = {
                f.name: str(f.metadata.get("doc", "")).replace("; None where it was not measured", "")
                for f in dataclasses.fields(KINDS[kind])
            }
            shown = [name for name in SHOWN[kind] if _tells(rows, name)] + _ends(rows, table)
            curves = thinned(curves_of(rows))
            order = [*SHOWN[kind], *(str(name) for name in rows if name not in SHOWN[kind])]
            order = [name for name in order if name in rows and name not in UNSAID]
            told = rows[[n for n in order if n not in PROVENANCE] + [n for n in PROVENANCE if n in order]]
            sheets.append(Sheet(f"{kind}s", title, told, shown=shown, docs=docs, ids="id", curves=curves))
    return sheets


def _tells(rows: DataFrame, name: str) -> bool:
    if name not in rows:
        return False
    different = set(rows[name].dropna()) - {""}
    return len(different) > 1 or name in ALWAYS or (name in ("U", "B", "reward") and bool(different))


def _ends(rows: DataFrame, before: DataFrame) -> list[str]:
    """Columns that were put beside the record: what is measured at the end of a stage."""
    return [str(name) for name in rows if name not in before and name != "id"]


def _named(kind: str, table: DataFrame, study: Study) -> DataFrame:
    """One row a thing that can be opened, with an id of its own."""
    if kind == "text":
        order = table.sort_values("step", kind="stable")
        table = order.drop_duplicates("key", keep="last").sort_values("key", kind="stable")
    id_ = table["key"].astype(str)
    if kind == "bandit":
        id_ = id_ + " seed " + table["seed"].astype(str)
    if kind == "probe":
        id_ = id_ + " " + table["role"].astype(str) + " layer " + table["layer"].astype(str)
        id_ = id_ + " step " + table["step"].astype(str)
    again = id_.groupby(id_).cumcount()
    id_ = id_.mask(again > 0, id_ + " no. " + (again + 1).astype(str))
    rows = table.assign(id=id_).reset_index(drop=True)
    return _at_end(rows, study.measures) if kind == "stage" else rows


def _at_end(rows: DataFrame, measures: DataFrame) -> DataFrame:
    """Stages beside what is measured at their last step, in distribution."""
    inside = measures[(measures["shift"] == IN) & measures["measure"].isin(ALONG)]
    last = inside.sort_values("step", kind="stable").drop_duplicates(["key", "measure"], keep="last")
    if not len(last):
        return rows
    wide = last.pivot(index="key", columns="measure", values="value")
    wide = wide[[name for name in ALONG if name in wide]]
    return rows.join(wide.add_suffix(" at the end"), on="key")


def failed_rows(study: Study) -> Iterator[dict[str, Any]]:
    """One row a failed run or probe, with why."""
    frames = {
        "run": study.runs, "probe": study.probes, "bandit": study.bandits, "text": study.texts,
        "stage": study.stages,
    }  # fmt: skip
    for kind, table in frames.items():
        for row in table[table["status"] != "ok"].to_dict("records"):
            what = row.get("task") or row.get("problem") or ""
            who = row.get("method") or row.get("feature") or ""
            yield {"what": kind, "of": what, "method or feature": who, "why": row["error"], "key": row["key"]}
