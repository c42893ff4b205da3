"""The answer of a study in two sentences: what the primary test says, and what that stands on."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from analysis import Study
from analysis.pairs.learning import THRESHOLD
from analysis.pairs.pairs import LEARNABLE_SHARE
from analysis.probes_table import is_of_probes
from analysis.statistics.decisions import ALPHA, OPPOSITE, SAME, SMALL, UNKNOWN
from figures.style import counted, number, p_value

Row = Mapping[str, Any]
SAYS = {
    SAME: "The primary test goes in the claimed direction",
    OPPOSITE: "The primary test goes against the claim",
    SMALL: "The effect is too small to matter",
    UNKNOWN: "It cannot be told",
}
GLOSSES = {
    "H1a": "across pairs, use rises with relative extractability",
    "H1b": "within a pair, across models, use rises with relative extractability",
    "H2": "the evidence needed rises with relative extractability",
    "average": "the error averaged over evidence rises with relative extractability",
    "methods": "a method leans more on the spurious feature than supervised tuning",
    "inherits": "a policy's use rises with its reward model's",
}
"""What a claim about pairs of features says."""
NAMES = {
    "spearman": "the Spearman correlation",
    "partial spearman": "the partial Spearman correlation",
    "auc": "the area under the curve",
}


@dataclass(frozen=True)
class InWords:
    """Two sentences and the status that they stand on; no status where there is no primary test."""

    first: str
    second: str
    status: str = ""


def in_words(study: Study, data: Row) -> InWords:
    """The answer, from the tables of a study; `data` is what `analyze --json` gives of it."""
    if not any(len(t) for t in (study.runs, study.bandits, study.texts, study.stages)):
        if is_of_probes(study):
            probed = counted(int((study.probes["status"] == "ok").sum()), "probe record")
            return InWords(
                f"The study probes and tunes nothing: it has {probed}.", f"It is {scale_in_words(study)}"
            )
        probed = (
            f"no run yet, only {counted(len(study.probes), 'probe')}" if len(study.probes) else "no run yet"
        )
        return InWords(f"Nothing can be said of any use: the study has {probed}.", _stands(study))
    if "learning_rates" in data:
        return _of_development(study, data["learning_rates"])
    if "claims" not in data and "learnt" in data:
        return _of_learning(study, data["learnt"])
    found = list(data.get("claims") or data.get("takeaways") or [])
    row = next((row for row in found if row.get("primary")), None)
    if study.manifest.get("primary", {}).get("test") == "none":
        return InWords(
            "The study tests no claim: learning rates are chosen by what it measured.", _stands(study)
        )
    if not study.manifest.get("primary", {}):
        return InWords(
            "No primary test was named, so nothing here is more than a description of these runs and probes.",
            _stands(study),
        )
    if row is None:
        why = "the comparison that was named has no finished runs"
        if found:
            why = "none of the tests is the primary one that was written down, so all of them are secondary"
        if changed := str(data.get("primary_changed", "")).rstrip("."):
            why = changed
        return InWords(f"{SAYS[UNKNOWN]}: {why}.", _stands(study), UNKNOWN)
    gloss = GLOSSES.get(row["claim"], "") if "arm" in row else ""
    about = f" ({row['claim']}: {gloss})" if gloss else ""
    first = f"{SAYS.get(row['status'], row['status'])}{about}: {_estimate(row)}."
    return InWords(first, _stands(study, _counts(row)), str(row["status"]))


def _estimate(row: Row) -> str:
    """What was estimated, and the number with its interval and p, or why there is none."""
    what = _what(row)
    if row.get("value") is None or math.isnan(row["value"]):
        note = row.get("note") or row.get("about") or "too few finished runs"
        return f"{what} has no estimate ({note})"
    text = f"{what} is {number(row['value'], 3)}"
    if row.get("low") is not None and not math.isnan(row["low"]):
        text += f" [{number(row['low'], 3)}, {number(row['high'], 3)}]"
    if row.get("p") is not None and not math.isnan(row["p"]):
        text += f", {p_value(row['p'])}"
    if row.get("smallest") is not None:
        text += f", where {row['smallest']:g} is the smallest effect of interest"
    few = "" if row.get("low") is not None else "too few for an interval"
    note = row.get("note") or few
    return text + (f" ({note})" if note else "")


def _what(row: Row) -> str:
    """What the number is of."""
    if "arm" in row:  # a claim about pairs of features
        name = NAMES.get(row["statistic"], f"the {row['statistic']}")
        given = row.get("given") or ""
        told = f", given {given}" if given and not given.startswith("at ") else ""
        return f"{name} of {row['about'] or row['claim']}, under {row['method']}{told},"
    where = row.get("task") or row.get("problem")
    known = row.get("about") if row.get("value") is not None else ""
    parts = [f"“{row['claim']}”", f"on {where}" if where else "", f"({known})" if known else ""]
    return " ".join(filter(None, parts))


def _counts(row: Row) -> str:
    """The n of a row."""
    if "n_families" in row:
        names = {"n_families": "families", "n_features": "feature", "n_pairs": "pair", "n_models": "model"}
        parts = [f"{row['n_families']} {'family' if row['n_families'] == 1 else 'families'}"]
        parts += [counted(row[n], one) for n, one in names.items() if n != "n_families"]
        return ", ".join(parts) + f" and {counted(row['n_seeds'], 'seed')}"
    if not row.get("n"):
        return ""
    models = f" on {counted(row['sft_models'], 'SFT model')}" if row.get("sft_models") else ""
    over = str(row.get("over") or "seeds").removesuffix("s")
    return f"{counted(row['n'], f'paired {over}')}{models}"


def _of_development(study: Study, rates: Sequence[Row]) -> InWords:
    chosen = [row for row in rates if row.get("chosen")]
    edges = sum(bool(row.get("edge")) for row in chosen)
    few = ", ".join(f"{row['method']} {row['learning_rate']}" for row in chosen[:4])
    more = ", ..." if len(chosen) > 4 else ""
    first = f"The study tests no claim: it chooses a learning rate for {counted(len(chosen), 'method')}"
    edge = (
        f"; {edges} of them {'lies' if edges == 1 else 'lie'} at an edge of what was tried" if chosen else ""
    )
    return InWords(f"{first}{f' ({few}{more})' if few else ''}{edge}.", _stands(study))


def _of_learning(study: Study, rows: Sequence[Row]) -> InWords:
    good = [row for row in rows if row["runs"] and row["learnt"] / row["runs"] >= LEARNABLE_SHARE - 1e-9]
    rule = f"at least two of three of their runs reach {THRESHOLD:g} of the optimum"
    first = f"Of {counted(len(rows), 'task')} {len(good)} can be learnt: {rule}"
    return InWords(f"{first}." if rows else f"{SAYS[UNKNOWN]}: no run has finished.", _stands(study))


def _stands(study: Study, n: str = "") -> str:
    """The n, finished and failed runs, and what a study of this scale may be called."""
    tables = (study.runs, study.bandits, study.texts, study.stages)
    finished, failed = (
        sum(int(t.loc[(t["status"] == "ok") == ok, "key"].nunique()) for t in tables) for ok in (True, False)
    )
    runs = f"{counted(finished, 'finished run')}{f' ({failed} more failed)' if failed else ''}"
    return f"It stands on {f'{n}, in a study of {runs}' if n else runs}; it is {scale_in_words(study)}"


def scale_in_words(study: Study) -> str:
    """What a study of its scale may be called."""
    paper, scale = study.manifest.get("paper"), study.manifest.get("scale")
    if not scale:
        return "no study, but records made one by one."
    if paper and scale == "paper":
        return f"a reproduction of {paper}."
    if paper:
        return f"a conceptual replication of {paper} at {scale} scale, not a reproduction."
    return f"a study of its own at {scale} scale."


def cannot_be_told(study: Study, data: Row) -> Iterator[str]:
    """What a study cannot say, and why, a sentence a thing."""
    row = next((row for row in data.get("claims", data.get("takeaways", [])) if row.get("primary")), None)
    if row and row["status"] == UNKNOWN and (row.get("p") or 1) < ALPHA and row.get("low") is not None:
        yield (
            f"The primary test's p is below {ALPHA:g}, but its interval does not lie on one side: "
            "a direction is only told where both agree."
        )
    if late := data.get("primary_late"):
        yield str(late)
    named = study.manifest.get("primary", {})
    tables = (study.runs, study.bandits, study.texts, study.stages)
    begun, finished = (
        sum(int(t.loc[t["status"].isin(which), "key"].nunique()) for t in tables)
        for which in (("ok", "failed"), ("ok",))
    )
    if begun and not finished:
        yield f"None of {counted(begun, 'run')} finished: there is no use and no error to draw."
    elif finished == 1 and named:
        yield "One run finished: one number has no spread, so nothing has an interval or a p-value."
    done = study.runs[study.runs["status"] == "ok"]
    if not len(done) or named.get("claim", "development") in ("learnability", "development"):
        return
    main = done[done["arm"] == "main"] if (done["arm"] == "main").any() else done
    if main["evidence_rate"].nunique() == 1:
        level = main["evidence_rate"].iloc[0]
        yield f"One level of evidence ({level:g}): how much evidence is needed (H2) cannot be estimated."
    if main["seed_tune"].nunique() == 1:
        yield "One seed of tuning: what varies from seed to seed is not known; intervals are over families."
    if main["model"].nunique() == 1 and main["dial"].nunique() == 1:
        yield "One model: of others nothing is known, and H1b (a pair across models) cannot be told."
