"""report: one page of a study, put together from its tables, its figures and its folder."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proclivity.answer import Answer, size
from proclivity.disk import full_disk
from proclivity.plan import note
from proclivity.remote import beside, mirror
from proclivity.study_answers import figures_of, tables_of
from proclivity.study_tables import tables_in
from tasks.errors import UserError

if TYPE_CHECKING:
    from pandas import DataFrame

    from analysis import Study
    from figures.report import Sheet

FIRST = ("claims", "takeaways", "paper", "learning_rates", "learnt", "question")
"""Tables that stand right below the answer."""
APART = ("left_out", "failed", "problems", "study")
"""What has a section of its own, or is no table."""


def report(arguments: Namespace) -> Answer:
    out = beside(arguments, "report.html")
    return write_report(mirror(arguments.folder), out)


def write_report(folder: Path, out: Path) -> Answer:
    """Write a study's page; it appears whole or not at all."""
    from analysis import read_study
    from figures.report import page
    from figures.style import publish

    if out.is_dir():
        raise UserError(f"--out {out} is a folder; name a file, such as {out / 'report.html'}")
    study = read_study(folder)
    text = page(report_of(study, folder))
    if study.problems:
        more = f" and {len(study.problems) - 1} more, which the page lists" if study.problems[1:] else ""
        note(f"{folder}: not read: {study.problems[0]}{more}")
    with full_disk(out.parent):
        publish(out, lambda path: path.write_text(text, encoding="utf-8"))
    runs = sum(t["key"].nunique() for t in (study.runs, study.bandits, study.texts, study.stages))
    data = {"path": out, "bytes": out.stat().st_size, "runs": int(runs)}
    return Answer(data, f"{out}: {runs} runs in {size(out.stat().st_size)}")


def report_of(study: Study, folder: Path) -> Any:
    """What stands on a study's page."""
    from figures.report import (
        Report,
        cannot_be_told,
        failed_rows,
        in_words,
        picture,
        run_sheets,
        scale_in_words,
        sheet_of_rows,
    )  # fmt: skip

    found = tables_of(study, everything=True)
    sheets = dict(_tables(found.data))
    drawn = [one for one in figures_of(study) if one.figure is not None or len(one.table)]
    failed = list(failed_rows(study))
    manifest = study.manifest
    definition: dict[str, Any] = manifest.get("definition", {})
    bare = [
        sheet_of_rows(one.name, _words(one.name), one.table.to_dict("records"))
        for one in drawn
        if not one.figure
    ]
    return Report(
        name=study.name,
        question=str(definition.get("question") or study.name),
        scale=scale_in_words(study).rstrip("."),
        answer=in_words(study, found.data),
        cannot=list(cannot_be_told(study, found.data)),
        claims=[sheets[name] for name in FIRST if name in sheets],
        pictures=[
            (picture(one.name, one.figure, f"p{i}-"), one.table)
            for i, one in enumerate(drawn)
            if one.figure is not None
        ],
        tables=[*(sheet for name, sheet in sheets.items() if name not in FIRST), *bare],
        runs=run_sheets(study, logs_of(study, folder), is_store=(folder / "runs").is_dir()),
        left_out=list(_left_out(study, found.data)),
        failed=sheet_of_rows("failed", "Failed runs and probes", failed, is_open=True) if failed else None,
        problems=study.problems,
        facts=dict(_facts(study)),
        definition=definition,
        text=found.text,
        command=f"proclivity report {folder}",
    )


def _tables(data: Mapping[str, Any]) -> Iterator[tuple[str, Sheet]]:
    """The tables in what a study says, but for those that have a section of their own."""
    from figures.report import sheet_of_rows

    for name, title, rows in tables_in(data):
        if name not in APART:
            is_open = name in FIRST and name != "question"
            yield name, sheet_of_rows(f"table-{name}", _words(title), rows, is_open=is_open)


def _words(name: str) -> str:
    """`use_of_the_dialled_feature` as a title."""
    text = name.replace("_", " ")
    return text[:1].upper() + text[1:]


def logs_of(study: Study, folder: Path) -> DataFrame:
    """The training logs that a store keeps beside its records, in one table with their runs' keys."""
    import pandas as pd
    import pyarrow
    from pyarrow.parquet import ParquetFile

    # Tables of one form are put together before pandas sees them: one by one that takes six times as long.
    alike: dict[str, list[pyarrow.Table]] = {}
    for key in sorted(set(study.runs["key"])):
        path = folder / "runs" / key / "log.parquet"
        if path.is_file():
            try:
                with ParquetFile(path) as file:
                    log = file.read(use_threads=False)
                log.validate(full=True)
            except (OSError, ValueError) as error:  # pyarrow's errors are both
                study.problems.append(
                    f"{path.relative_to(folder)}: not readable ({str(error).splitlines()[0]})"
                )
            else:
                log = log.drop_columns("key") if "key" in log.column_names else log
                form = log.schema.remove_metadata().to_string()
                alike.setdefault(form, []).append(log.append_column("key", pyarrow.repeat(key, len(log))))
    parts = [pyarrow.concat_tables(tables).to_pandas() for tables in alike.values()]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


LEFT_OUT = [
    "task", "target", "spurious", "arm", "method", "evidence", "excluded", "relative", "U", "n_runs", "n_ok",
    "n_learnt", "third_feature", "third_accuracy",
]  # fmt: skip


def _left_out(study: Study, data: Mapping[str, Any]) -> Iterator[Sheet]:
    """Pairs that a rule takes from the primary set, by name, and how many each rule takes."""
    from analysis import pairs_table
    from analysis.pairs.pairs import lowest
    from figures.report import Sheet, sheet_of_rows

    if "left_out" not in data:
        return
    pairs = pairs_table(study)
    if len(pairs):
        named = [lowest(part) for _, part in pairs.groupby(["arm", "method"])]
        rows = [row for part in named for row in part[part["excluded"] != ""][LEFT_OUT].to_dict("records")]
        if rows:
            table = sheet_of_rows("left-out", "", rows).table.rename(columns={"excluded": "rule"})
            told = "At the lowest evidence of each arm and method; the first rule that applies is named."
            yield Sheet("left-out", "Pairs left out, by rule", table, note=told)
    counts = [row for row in data["left_out"] if row["runs"]]
    if counts:
        yield sheet_of_rows("left-out-counts", "How many pairs and runs each rule leaves out", counts)


def _facts(study: Study) -> Iterator[tuple[str, str]]:
    """Where the study comes from."""
    manifest = study.manifest
    yield "study", study.name
    if manifest.get("paper"):
        yield "paper", str(manifest["paper"])
    if manifest.get("scale"):
        yield "scale", str(manifest["scale"])
    primary = ", ".join(f"{name} {value}" for name, value in manifest.get("primary", {}).items())
    yield "primary test", f"{primary} (hash {manifest.get('primary_hash', 'unknown')})" if primary else "none"
    for name, what in (("created", "begun"), ("command", "command"), ("versions", "versions at the start")):
        if manifest.get(name):
            yield what, str(manifest[name])
    tables = {
        "runs": study.runs, "probes": study.probes, "bandit runs": study.bandits, "text runs": study.texts,
        "stages": study.stages,
    }  # fmt: skip
    seen: dict[str, int] = {}
    for table in tables.values():
        for versions, count in table["versions"].value_counts().items():
            if versions:
                seen[str(versions)] = seen.get(str(versions), 0) + int(count)
    yield (
        "records",
        ", ".join(f"{len(table)} {name}" for name, table in tables.items() if len(table)) or "none",
    )
    if len(seen) == 1:
        yield "versions of all records", next(iter(seen))
    for versions, count in seen.items() if len(seen) > 1 else ():
        yield f"versions of {count} records", versions
