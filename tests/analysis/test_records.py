import dataclasses
import json

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analysis.records import (
    EARLIER,
    KINDS,
    LEARNABILITY,
    OLDEST,
    POINTS,
    SCHEMA,
    CellRecord,
    ProbeRecord,
    RunRecord,
    read_study,
    write_compact,
)
from analysis.sums import write_sums
from tasks.errors import UserError


def write(root, records, learnability=None):
    """A study folder as the store lays it out; a record given as text is written as it is."""
    root.mkdir(exist_ok=True)
    (root / "study.json").write_text(json.dumps({"name": "toy", "schema": SCHEMA, "primary": {}}))
    for folder, record in records.items():
        (root / "runs" / folder).mkdir(parents=True)
        text = record if isinstance(record, str) else json.dumps(record)
        (root / "runs" / folder / "record.json").write_text(text)
    if learnability is not None:
        pd.DataFrame(learnability).to_csv(root / "learnability.csv", index=False)
    return root


RUN = dataclasses.asdict(RunRecord(key="r", study="toy", U=0.25, evidence_rate=0.0, dial=""))
PROBE = dataclasses.asdict(ProbeRecord(key="p", feature="contains-1", bits_per_label=0.4, censored=True))
FAILED = {"schema": SCHEMA, "kind": "run", "key": "f", "status": "failed", "error": "NaN loss at step 3"}
LEARNT = [{name: {"str": "x", "int": 1, "float": 0.5, "bool": True}[t] for name, t in LEARNABILITY.items()}]


def test_every_column_is_documented_and_plain():
    for schema in (RunRecord, ProbeRecord, CellRecord):
        for column in dataclasses.fields(schema):
            assert column.metadata["doc"]
            assert column.type in ("str", "int", "bool", "float | None")


def test_reads_the_store_layout(tmp_path):
    probes = [PROBE, PROBE | {"feature": "first-last"}]
    study = read_study(write(tmp_path, {"a": RUN, "b": probes, "f.failed": FAILED}, LEARNT))
    assert study.problems == []
    assert sorted(study.runs.status) == ["failed", "ok"]
    assert study.runs.set_index("key").error["f"] == "NaN loss at step 3"
    assert list(study.probes.feature) == ["contains-1", "first-last"]
    assert study.probes.censored.all() and study.learnability.learnable.all()
    ok = study.runs.set_index("key").loc["r"]
    assert ok.U == 0.25 and pd.isna(ok.third_accuracy) and ok.dial == ""


def test_a_record_from_before_a_column_is_read(tmp_path):
    """Only columns that say what earlier records hold may be missing; those of the shipped results say it."""
    before = {name: value for name, value in RUN.items() if name not in EARLIER["run"]}
    assert len(before) < len(RUN)
    study = read_study(write(tmp_path, {"a": before, "b": RUN | {"key": "s", "evidence_noise": 0.25}}))
    assert study.problems == []
    assert dict(zip(study.runs.key, study.runs.evidence_noise, strict=True)) == {"r": 0.0, "s": 0.25}


def test_cells_are_a_long_table_and_a_damaged_one_is_named(tmp_path):
    root = write(tmp_path / "D", {"a": RUN, "b": RUN | {"key": "s"}, "pair": RUN | {"key": "t"}}, LEARNT)
    assert len(read_study(root).cells) == 0
    assert list(read_study(root).cells) == [c.name for c in dataclasses.fields(CellRecord)]
    cells = [
        dataclasses.asdict(CellRecord(cell=c, n=9, errors=k)) for k, c in enumerate(("both 0", "both 1"))
    ]
    for folder in "ab":
        pd.DataFrame(cells).drop(columns="key").to_parquet(root / "runs" / folder / "cells.parquet")
    study = read_study(root)
    assert study.problems == [] and len(study.runs) == 3
    assert list(zip(study.cells.key, study.cells.cell, study.cells.errors, strict=True)) == [
        ("a", "both 0", 0), ("a", "both 1", 1), ("b", "both 0", 0), ("b", "both 1", 1),
    ]  # fmt: skip
    assert study.cells.p_error.isna().all()
    write_compact(study, tmp_path / "C")
    pd.testing.assert_frame_equal(read_study(tmp_path / "C").cells, study.cells)
    (root / "runs/a/cells.parquet").write_bytes(b"PAR1")
    pd.DataFrame(cells).drop(columns=["key", "errors"]).to_parquet(root / "runs/b/cells.parquet")
    study = read_study(root)
    assert len(study.cells) == 0 and len(study.runs) == 3
    told = ["runs/a/cells.parquet: not readable", "runs/b/cells.parquet: missing column errors"]
    assert [p.startswith(t) for p, t in zip(study.problems, told, strict=True)] == [True, True]


def test_compact_round_trip(tmp_path):
    study = read_study(write(tmp_path / "D", {"a": RUN, "b": PROBE, "f.failed": FAILED}, LEARNT))
    write_compact(study, tmp_path / "C")
    again = read_study(tmp_path / "C")
    assert again.problems == [] and again.manifest == study.manifest and again.name == study.name
    for name in ("runs", "probes", "learnability"):
        by = ["key"] if name != "learnability" else ["feature"]
        left, right = (getattr(s, name).sort_values(by, ignore_index=True) for s in (study, again))
        pd.testing.assert_frame_equal(left, right)
    assert sorted(p.name for p in (tmp_path / "C").iterdir()) == [
        "learnability.csv", "probes.parquet", "runs.parquet", "study.json",
    ]  # fmt: skip
    write_compact(again, tmp_path / "C2")
    assert (tmp_path / "C2/runs.parquet").read_bytes() == (tmp_path / "C/runs.parquet").read_bytes()


@pytest.mark.parametrize(
    ("record", "said"),
    [
        (json.dumps(RUN)[:100], "not readable as JSON"),
        ("", "not readable as JSON"),
        ({k: v for k, v in RUN.items() if k not in ("U", "task")}, "missing columns task, U"),
        (RUN | {"schema": SCHEMA + 1}, "newer than"),
        (RUN | {"U": "high"}, "column U is 'high', not float"),
        (RUN | {"kind": "walk"}, "is none of run, probe, bandit, text"),
        (7, "not a record"),
    ],
)
def test_a_corrupt_record_is_named_and_the_rest_is_read(tmp_path, record, said):
    study = read_study(write(tmp_path, {"good": RUN, "bad": record}))
    assert list(study.runs.key) == ["r"]
    (problem,) = study.problems
    assert problem.startswith("runs/bad/record.json") and said in problem and "\n" not in problem


def test_a_flipped_bit_is_not_read(tmp_path):
    """Though the record stays whole JSON, and the table whole parquet."""
    root = write(tmp_path, {"good": RUN, "bad": RUN | {"key": "s"}, "table": RUN | {"key": "t"}})
    cells = pd.DataFrame([dataclasses.asdict(CellRecord(cell="both 0", n=9, errors=1))]).drop(columns="key")
    for folder in ("good", "table"):
        cells.to_parquet(root / "runs" / folder / "cells.parquet")
    for folder in (root / "runs").iterdir():
        write_sums(folder)
    assert read_study(root).problems == [] and len(read_study(root).cells) == 2
    path = root / "runs" / "bad" / "record.json"
    path.write_text(path.read_text().replace('"U": 0.', '"U": 1.', 1))
    cells.assign(errors=2).to_parquet(root / "runs" / "table" / "cells.parquet")
    study = read_study(root)
    assert sorted(study.runs.key) == ["r", "t"] and list(study.cells.key) == ["good"]
    first, second = study.problems
    assert first.startswith("runs/bad/record.json: its digest differs")
    assert second.startswith("runs/table/cells.parquet") and "its digest differs" in second


@given(
    st.dictionaries(
        st.text("abc", min_size=1, max_size=3),
        st.tuples(
            st.sampled_from(["", "one", "two", "three"]), st.integers(0, 9), st.sampled_from(["ok", "failed"])
        ),
        max_size=9,
    ),
    st.sampled_from(sorted(KINDS)),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_of_records_of_one_config_the_newest_is_read(tmp_path_factory, told, kind):
    """Whatever their kind and order: no other is left out, and one line counts those that are."""
    rows = {
        key: dataclasses.asdict(
            KINDS[kind](key=key, config_hash=config, started=f"2026-01-0{day}", status=status)
        )
        for key, (config, day, status) in told.items()
    }
    root = write(tmp_path_factory.mktemp("store"), rows)
    (root / "runs").mkdir(exist_ok=True)
    for key in rows:
        cells = [dataclasses.asdict(CellRecord(cell="both 0", n=9, errors=1))]
        pd.DataFrame(cells).drop(columns="key").to_parquet(root / "runs" / key / "cells.parquet")
        if kind == "bandit":
            pd.DataFrame(columns=list(POINTS)).to_parquet(root / "runs" / key / "log.parquet")
    found = read_study(root)
    frame = {"run": found.runs, "probe": found.probes, "bandit": found.bandits}.get(
        kind, found.texts if kind == "text" else found.stages
    )
    kept = set(frame.key)
    assert set(found.cells.key) == kept
    compared = {}
    for key, (config, _, status) in told.items():
        if status == "ok" and config:
            compared.setdefault(config, set()).add(key)
        else:
            assert key in kept
    for keys in compared.values():
        (newest,) = keys & kept
        assert all(told[newest][1] >= told[key][1] for key in keys)
    n = len(rows) - len(kept)
    assert [int(line.split()[0]) for line in found.problems] == ([n] if n else [])
    assert all("of earlier sources" in line for line in found.problems)
    manifest = json.loads((root / "study.json").read_text())
    (root / "study.json").write_text(json.dumps(manifest | {"name": "single"}))
    alone = read_study(root)
    assert alone.problems == [] and len(alone.cells) == len(rows)


def test_the_rows_of_one_record_stay_together(tmp_path):
    """A probe has a row a feature, all under one key."""
    old = [PROBE | {"key": "o", "config_hash": "c", "started": "2026-01-01", "role": r} for r in "ab"]
    new = [row | {"key": "n", "started": when} for row, when in zip(old, ("", "2026-01-02"), strict=True)]
    study = read_study(write(tmp_path, {"o": old, "n": new}))
    assert list(study.probes.key) == ["n", "n"]
    assert study.problems == ["1 record is of earlier sources: newer ones of the same config are read"]


def test_an_empty_record_folder_is_named(tmp_path):
    root = write(tmp_path, {"good": RUN})
    (root / "runs" / "hollow").mkdir()
    assert read_study(root).problems == ["runs/hollow/record.json: missing"]


def test_what_is_no_record_folder_is_named(tmp_path):
    root = write(tmp_path, {"good": RUN})
    (root / "runs" / "file").write_text("{}")
    (root / "runs" / ".file").write_text("{}")
    (root / "runs" / "hollow" / "record.json").mkdir(parents=True)
    file, hollow = read_study(root).problems
    assert file == "runs/file: not a folder" and hollow.startswith("runs/hollow/record.json: ")


def test_a_damaged_table_is_named(tmp_path):
    root = write(tmp_path / "D", {"a": RUN, "b": PROBE}, LEARNT)
    write_compact(read_study(root), tmp_path / "C")
    whole = (tmp_path / "C/probes.parquet").read_bytes()
    (tmp_path / "C/probes.parquet").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "C/learnability.csv").write_text("feature,family\nx,y\n")
    study = read_study(tmp_path / "C")
    assert len(study.runs) == 1 and len(study.probes) == 0 and len(study.learnability) == 0
    assert [p.split()[0].rstrip(":") for p in study.problems] == ["probes.parquet", "learnability.csv"]


def test_what_is_not_a_study_is_one_line(tmp_path):
    no_primary = ["{}", '{"primary": "H1a"}', '{"primary": null}']
    no_definition = ['{"primary": {}, "definition": []}', '{"primary": {}, "definition": {"probe": 3}}']
    for text in (None, "{", "[]", '{"schema": 99, "primary": {}}', *no_primary, *no_definition):
        if text is not None:
            (tmp_path / "study.json").write_text(text)
        with pytest.raises(UserError) as error:
            read_study(tmp_path)
        assert "\n" not in str(error.value) and str(tmp_path) in str(error.value)
    with pytest.raises(UserError):
        read_study(tmp_path / "nowhere")


def test_a_study_without_records_is_empty_but_has_its_columns(tmp_path):
    study = read_study(write(tmp_path, {}))
    assert len(study.runs) == 0 and "U" in study.runs and study.runs.U.dtype == float


OTHER = {
    "newer": (RUN | {"schema": SCHEMA + 1}, f"schema {SCHEMA + 1} is newer than {SCHEMA}"),
    "older": (RUN | {"schema": OLDEST - 1}, f"schema {OLDEST - 1} is older than {OLDEST}"),
    "none": ({k: v for k, v in RUN.items() if k != "schema"}, "is no version of the schema"),
    "a word": (RUN | {"schema": "one"}, "schema 'one' is no version of the schema"),
    "less": ({k: v for k, v in RUN.items() if k not in ("U", "task")}, "missing columns task, U"),
}


@pytest.mark.parametrize("which", OTHER)
@pytest.mark.parametrize("compact", [False, True])
def test_records_of_another_version_are_refused_in_one_line(tmp_path, which, compact):
    """In the store and as compact tables, where a whole table is of that version."""
    record, said = OTHER[which]
    if compact:
        write_compact(read_study(write(tmp_path / "D", {"a": RUN, "b": PROBE}, LEARNT)), tmp_path / "C")
        rows = [record | {"key": f"r{i}"} for i in range(300)]
        pd.DataFrame(rows).to_parquet(tmp_path / "C/runs.parquet")
        study = read_study(tmp_path / "C")
        where = "runs.parquet row 0 and 299 more: "
    else:
        study = read_study(write(tmp_path / "D", {"a": record, "b": PROBE}, LEARNT))
        where = "runs/a/record.json: "
    (problem,) = study.problems
    assert problem.startswith(where) and said in problem and "\n" not in problem
    assert len(study.runs) == 0 and len(study.probes) == 1


@pytest.mark.parametrize("compact", [False, True])
def test_columns_that_came_later_are_filled_and_unknown_ones_left(tmp_path, compact):
    before = {name: value for name, value in RUN.items() if name not in EARLIER["run"]}
    record = before | {"phase of the moon": 0.5}
    if compact:
        write_compact(read_study(write(tmp_path / "D", {"a": RUN, "b": PROBE}, LEARNT)), tmp_path / "C")
        pd.DataFrame([record]).to_parquet(tmp_path / "C/runs.parquet")
        study = read_study(tmp_path / "C")
    else:
        study = read_study(write(tmp_path / "D", {"a": record, "b": PROBE}, LEARNT))
    assert study.problems == []
    (row,) = study.runs.to_dict("records")
    assert "phase of the moon" not in row and row["evidence_noise"] == EARLIER["run"]["evidence_noise"]
    assert all(row[name] == value for name, value in before.items() if value is not None)


@pytest.mark.parametrize("schema", [SCHEMA + 1, OLDEST - 1, "one", True, 1.5])
def test_a_study_of_another_version_is_one_line(tmp_path, schema):
    (tmp_path / "study.json").write_text(json.dumps({"name": "toy", "schema": schema, "primary": {}}))
    with pytest.raises(UserError, match="schema") as error:
        read_study(tmp_path)
    assert "\n" not in str(error.value) and str(tmp_path / "study.json") in str(error.value)
