"""predict: before tuning, which feature will be used, how sure, and how good such predictions have been."""

from __future__ import annotations

import math
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proclivity.answer import Answer, plain
from proclivity.commands_single import do
from proclivity.expand import base_of, probing
from proclivity.plan import note
from proclivity.progress import step_bar
from proclivity.remote import mirror
from proclivity.study import Study, study_from
from tasks import Evidence, get_task
from tasks.errors import UserError

if TYPE_CHECKING:
    from pandas import DataFrame

    from analysis.records import Study as Records

Asked = dict[str, Any]
"""The columns of a row that a prediction is asked for."""


def predict(arguments: Namespace) -> Answer:
    """One prediction, or with --judge how good predictions are on what they never saw."""
    from analysis import read_study
    from analysis.prediction.rows import prediction_rows

    studies = [read_study(mirror(folder)) for folder in arguments.from_]
    for folder, study in zip(arguments.from_, studies, strict=True):
        for problem in study.problems:
            note(f"{folder}: not read: {problem}")
    if arguments.judge:
        if arguments.model or arguments.task or arguments.bits:
            raise UserError("--judge is of all pairs at once: leave out --model, --task and --bits")
        return _judged(prediction_rows(studies), Path(arguments.out) if arguments.out else None)
    if arguments.out:
        raise UserError("--out is where --judge draws its figure, and nothing else is kept")
    asked = _question(arguments)
    rows = prediction_rows(studies)
    asked["method"] = _method(arguments.method, rows)
    return _predicted(rows, asked | _bits(arguments, studies))


def _question(arguments: Namespace) -> Asked:
    """What is known of a question before anything is probed."""
    evidence = Evidence(arguments.evidence_kind, arguments.evidence)
    if not arguments.bits and not (arguments.model and arguments.task):
        raise UserError("give --model and --task, to be probed, or --bits TARGET,SPURIOUS")
    about: Asked = {"task": arguments.task or "", "kind": "", "target_family": "", "spurious_family": ""}
    if arguments.task:
        task = get_task(arguments.task)
        if task.others:
            raise UserError(f"--task {task.name} has several spurious features, and predictions are of pairs")
        kind = task.name.replace(":", "/").partition("/")[0]
        families = {"target_family": task.target.family, "spurious_family": task.spurious.family}
        about |= {"kind": kind, **{role: f"{kind}/{name}" for role, name in families.items()}}
    return about | {
        "model": arguments.model or "",
        "base": base_of(arguments.model or ""),
        "weights_hash": "",
        "evidence": evidence.rate,
        "evidence_kind": evidence.kind if evidence.rate else "none",
    }


def _method(name: str | None, rows: DataFrame) -> str:
    """The method asked for, or the one with most rows; one that does not exist is refused."""
    if name is None:
        return str(rows["method"].value_counts().index[0])
    if name not in set(rows["method"]):
        from rl_finetune import get_method

        get_method(name)
    return name


def _bits(arguments: Namespace, studies: Sequence[Records]) -> Asked:
    """Bits of target and spurious feature: as told, or probed as the studies probe."""
    if arguments.bits:
        if len(arguments.bits) != 2 or not all(0 < b < math.inf for b in arguments.bits):
            raise UserError("--bits takes bits per label of target and spurious feature, such as 0.6,0.2")
        target, spurious = arguments.bits
        return {"bits": [target, spurious], "relative": math.log2(target / spurious), "probed": ""}
    config = _probe_config(arguments, studies)
    found = {r["role"]: r for r in do(Namespace(task=arguments.task, out=None), config).records}
    if found["target"]["censored"] and found["spurious"]["censored"]:
        raise UserError(
            f"{arguments.task}: neither feature is cheaper than shuffled labels at n = {config['n']}, so the "
            "pair has no order that could predict anything"
        )
    target, spurious = (found[role]["bits_per_label"] for role in ("target", "spurious"))
    return {
        "bits": [target, spurious],
        "relative": math.log2(target / spurious),
        "weights_hash": found["target"]["weights_hash"],
        "probed": f"{config['probe']} probe, n = {config['n']}",
    }


def _probe_config(arguments: Namespace, studies: Sequence[Records]) -> dict[str, Any]:
    """The probe of the fitted studies, of this model and task."""
    kinds: dict[str, tuple[dict[str, Any], int]] = {}
    for study in studies:
        if len(study.runs):
            read = study_from(study.manifest.get("definition"), f"{study.name}/study.json")
            if not isinstance(read, Study):
                raise UserError(f"--from: {study.name} is no study of pairs; give --bits to predict from it")
            told = probing(read.probe)
            kinds.setdefault(f"{told['probe']} at n = {told['n']}", (told, read.probe.seed))
    if len(kinds) > 1:
        raise UserError(f"--from: the studies probe in different ways ({', '.join(kinds)})")
    ((told, seed),) = kinds.values()
    cell = {"model": arguments.model, "init": "pretrained", "task": arguments.task, "input": "model"}
    return {"job": "probe", "study": "single", **cell, **told, "layers": "last", "seed_data": seed}


def _predicted(rows: DataFrame, asked: Asked) -> Answer:
    from pandas import DataFrame

    from analysis.pairs.tables import text_table
    from analysis.prediction.place import nearest, outside
    from analysis.prediction.prediction import fit
    from analysis.prediction.prediction import predict as predicted

    fitted = fit(rows)
    if not fitted.converged:
        raise UserError("--from: the fit did not converge, so there is no prediction; give more studies")
    row = DataFrame([asked])
    said = predicted(fitted, row)
    values = {name: float(value[0]) for name, value in vars(said).items()}
    near, far = plain(nearest(rows, asked)), outside(fitted, rows, row)
    effects = {name: float(e) for (s, name), e in zip(fitted.names, fitted.effects, strict=True) if not s}
    stands = {
        "rows": len(rows),
        "pairs": rows["task"].nunique(),
        "families": len({*rows["target_family"], *rows["spurious_family"]}),
        "models": rows["weights_hash"].nunique(),
        "methods": rows["method"].nunique(),
    }
    data = {
        **values, "asked": asked, "outside": far, "nearest": near, "fitted_on": stands, "effects": effects,
        "spreads": fitted.spreads, "dispersion": fitted.dispersion,
    }  # fmt: skip
    target, spurious = asked["bits"]
    of = " of ".join(filter(None, [asked["task"], asked["model"]])) or "a pair"
    lines = [
        f"{of}, {asked['method']}, evidence {asked['evidence']:g}",
        f"expected U: {values['U']:.2f}, 95 % {values['U_low']:.2f} to {values['U_high']:.2f}: the chance "
        "that a conflict row is answered by the spurious feature",
        f"chance that U is above 0.5: {values['above']:.2f}",
        f"U of one such policy lies in {values['low']:.2f} to {values['high']:.2f} (95 %)",
        "",
        f"relative extractability {asked['relative']:.2f}: target {target:.3f} bits per label, spurious "
        f"{spurious:.3f}" + (f" ({asked['probed']})" if asked["probed"] else ""),
        "fitted on " + ", ".join(f"{n} {name if n > 1 else name[:-1]}" for name, n in stands.items()),
        "logit p = " + " ".join(f"{e:+.2f} {name}" for name, e in effects.items())
        + "; spreads: " + ", ".join(f"{name} {sd:.2f}" for name, sd in fitted.spreads.items()),
        *(f"OUTSIDE what it was fitted on: {line}" for line in far),
        *([] if far else ["inside what it was fitted on"]),
        "",
        "nearest training rows\n" + text_table(near),
    ]  # fmt: skip
    return Answer(plain(data), "\n".join(lines))


def _judged(rows: DataFrame, out: Path | None) -> Answer:
    from analysis.pairs.tables import text_table
    from analysis.prediction.judged import beaten, judge
    from figures import draw_predicted, save

    with step_bar() as progress:
        judged = judge(rows, lambda done, of: progress("fitting without what is scored", done, of))
    parts = [
        "expected U of rows that the fit never saw; intervals over families, 95 %",
        text_table([_score_line(row) for row in judged.scores.to_dict("records")]),
        "differences from baselines on the same rows: of AUC more is better, of Brier less",
        text_table(_difference_lines(judged.differences.to_dict("records"))),
        _in_words(beaten(judged)),
    ]
    parts += [f"not measured by any of these studies: {name}" for name in judged.unmeasured]
    if not bool(judged.held_out["converged"].all()):
        parts.append("some of the fits did not converge")
    drawn = save([draw_predicted(judged.held_out)], out) if out else []
    parts += ["\n".join(map(str, drawn))] if drawn else []
    data = {"scores": judged.scores, "differences": judged.differences, "unmeasured": judged.unmeasured}
    return Answer(plain({**data, "figures": drawn}), "\n\n".join(parts))


def _with_ends(row: Mapping[str, Any], name: str, low: str, high: str) -> str:
    value, ends = row.get(name, math.nan), (row.get(low, math.nan), row.get(high, math.nan))
    if math.isnan(value):
        return "-"
    return f"{value:.3f}" + ("" if math.isnan(ends[0]) else f" [{ends[0]:.3f}, {ends[1]:.3f}]")


def _n(row: Mapping[str, Any]) -> str:
    return "/".join(str(row[name]) for name in ("families", "pairs", "models", "rows"))


def _score_line(row: Mapping[str, Any]) -> dict[str, Any]:
    told = {name: row[name] for name in ("split", "level", "predictor")}
    scores = {name: _with_ends(row, name, f"{name}_low", f"{name}_high") for name in ("AUC", "Brier", "ECE")}
    more = {"slope": _with_ends(row, "slope", "slope_low", "slope_high")}
    more["95 % covers"] = _with_ends(row, "covered", "covered_low", "covered_high")
    return {**told, **scores, **more, "families/pairs/models/rows": _n(row)}


def _difference_lines(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A line a split, level and baseline, its scores side by side."""
    lines: dict[tuple[str, ...], dict[str, Any]] = {}
    for row in rows:
        told = {name: row[name] for name in ("split", "level", "against")}
        line = lines.setdefault(tuple(told.values()), told)
        line |= {
            row["score"]: _with_ends(row, "difference", "low", "high"),
            f"by {row['score']}": row["said"],
        }
        line["families/pairs/models/rows"] = _n(row)
    return list(lines.values())


def _in_words(told: Mapping[str, Mapping[str, str]]) -> str:
    """On families that were not seen: what was beaten, by every score and level, and what was not."""
    if not told:
        return "no family could be left out: nothing can be told of unseen ones"
    won = [name for name, said in told.items() if set(said.values()) == {"better"}]
    lost = {name: [s for s, word in said.items() if word != "better"] for name, said in told.items()}
    better = "; ".join(won) or "nothing"
    lines = [f"On a family unseen in both roles it is better, by AUC and Brier, than {better}."]
    lines += [f"Not shown to be better than {name}: {'; '.join(at)}." for name, at in lost.items() if at]
    return "\n".join(lines)
