"""From records to one row per pair: what it used, what its features cost, and why it was left out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from pandas import DataFrame, Series

from analysis.records import Study
from analysis.use import wilson

UNFINISHED, UNLEARNT, UNLEARNABLE = "no finished run", "cell unlearnt", "feature not learnable"
UNTRIED, THIRD = "learnability of a feature not tried", "third feature above 0.65"
CENSORED, UNPROBED = "both features censored", "no probe that converged"
RULES = (UNFINISHED, UNLEARNT, UNLEARNABLE, UNTRIED, THIRD, CENSORED, UNPROBED)
"""Why a pair is not in the primary set; the first rule that applies is named."""
THIRD_LIMIT = 0.65
CONTROLS = ("random_reward", "shuffled_labels")
"""Arms that are meant to learn nothing; no pair is left out of them, and none is in the primary set."""
LEARNABLE_SHARE = 2 / 3
"""A feature is learnable when at least this share of its learnability seeds reached the threshold."""
INPUTS = {
    "": ("model", "pretrained"),
    "_untrained": ("model", "random"),
    "_raw": ("raw", ""),
    "_other": ("other", "pretrained"),
}
"""What is probed, by the suffix of its columns: the reference, the same model untrained, the tokens, and
models that the study probes beside those that its runs start from."""

By = Literal["pair", "dial", "model"]


ANSWER_SITES = ("last_prompt", "first_token", "prompt_mean", "decoder_start")
"""Where a causal model, encoders and an encoder-decoder read their answer: the primary probe is there."""


@dataclass(frozen=True)
class PrimaryProbe:
    """The probe that relative extractability is read from."""

    n: int
    probe: str = "linear"
    layer: int = -1


def primary_probe(study: Study) -> PrimaryProbe | None:
    """The study's probe; without a definition the largest n of linear probes; None when there are none."""
    definition = study.manifest.get("definition", {}).get("probe", {})
    found = study.probes[study.probes["status"] == "ok"]
    kind = str(definition.get("probe", "linear"))
    sizes = found.loc[found["probe"] == kind, "n"]
    if not len(sizes):
        return None
    return PrimaryProbe(int(definition.get("n", sizes.max())), kind)


Known = Mapping[tuple[str, str], bool]
"""(feature, task) -> whether it can be learnt alone there; an empty task stands for no one in particular."""


def learnable(study: Study) -> Known:
    """Whether a feature can be learnt alone, in every recipe and dial of the study's models."""
    table = study.learnability
    models = {(model.partition(":")[0], dial) for model, dial in study.runs[["model", "dial"]].to_numpy()}
    ours = [key in models for key in table[["recipe", "dial"]].itertuples(index=False, name=None)]
    table = table[np.array(ours, dtype=bool)]
    if not len(table):
        return {}
    shares = table.groupby(["feature", "task", "recipe", "dial"])["learnable"].mean()
    worst = shares.groupby(level=["feature", "task"]).min()
    return {(str(f), str(t)): bool(share >= LEARNABLE_SHARE - 1e-9) for (f, t), share in worst.items()}


def _told(known: Known, feature: str, task: str) -> bool | None:
    """What the list says of a feature in a task, or else in all tasks that it was tried in; None: nothing."""
    tried = {where: found for (name, where), found in known.items() if name == feature}
    return tried.get(task.partition(":")[0], all(tried.values()) if tried else None)


def primary_bits(study: Study) -> DataFrame:
    """log2 bits and censoring per (input, init, task, role) at every level of detail about the model."""
    spec = primary_probe(study)
    table = study.probes[(study.probes["status"] == "ok") & study.probes["converged"].astype(bool)]
    table = table[table["step"] == 0]  # a policy on its way is no reference
    if spec is not None:
        table = table[table["site"].isin(ANSWER_SITES)]
        for name in ("n", "probe", "layer"):
            # Raw inputs have no layers, so no layer is asked of them.
            table = table[
                (table[name] == getattr(spec, name)) | ((name == "layer") & (table["input"] == "raw"))
            ]
    bits, share = table["bits_per_label"], table["corpus_share"]
    beside = bool(study.manifest.get("definition", {}).get("probe", {}).get("beside"))
    used = table["model"].isin(study.runs["model"]) | table["weights_hash"].isin(study.runs["weights_hash"])
    unused = (table["input"] == "model") & ~used & beside
    return table.assign(
        log2=np.log2(bits.where(bits > 0)),
        surprise=-np.log2(share.where(share > 0)),
        input=table["input"].mask(unused, "other"),
    )


def _lookup(probes: DataFrame, keys: list[str], column: str) -> dict[tuple[str, ...], float]:
    means = probes.groupby(keys)[column].mean()
    return {k if isinstance(k, tuple) else (k,): float(v) for k, v in means.items()}


def _with_bits(runs: DataFrame, study: Study) -> DataFrame:
    """Each run beside log2 bits of its pair's features: a pre-trained policy's of the very weights it had.

    A random-init policy, the untrained baseline and raw inputs go by the model's name where they must.
    """
    # Runs that differ in seeds, methods and evidence alone have the same bits: each kind is looked up once.
    about = ["model", "init", "dial", "weights_hash", "task"]
    found = _bits_of(runs.drop_duplicates(about), study)
    place = runs.groupby(about, sort=False, dropna=False).ngroup().to_numpy()
    taken = found.iloc[place].set_axis(runs.index)
    return runs.assign(**{name: taken[name] for name in taken})


def _bits_of(runs: DataFrame, study: Study) -> DataFrame:
    """The columns of bits alone."""
    probes = primary_bits(study)
    columns = {}
    for suffix, (input_, init) in INPUTS.items():
        part = probes[probes["input"] == input_]
        if init:
            part = part[part["init"] == init]
        own = (runs["init"] == "pretrained") & (suffix == "")
        ways = [["weights_hash", "task"], ["model", "dial", "task"], ["model", "task"]]
        ways = [*ways, ["task"]] if input_ in ("raw", "other") else ways
        for role in ("target", "spurious"):
            rows = part[part["role"] == role]
            for name in ("log2", "censored", *(["surprise"] if suffix == "" else [])):
                values = Series(np.nan, index=runs.index)
                for keys in ways:
                    known = _lookup(rows, keys, name)
                    found = [known.get(key, np.nan) for key in zip(*(runs[k] for k in keys), strict=True)]
                    named = Series(found, index=runs.index, dtype=float)
                    values = values.fillna(named if keys == ways[0] else named.mask(own))
                columns[f"{name}_{role}{suffix}"] = values
    return DataFrame(columns, index=runs.index)


def _cells(runs: DataFrame, keys: list[str], known: Known) -> DataFrame:
    """One row per cell (runs alike in `keys`) of the pairs' table, all but the rules."""
    groups = runs.groupby(keys, sort=True, dropna=False)
    runs = runs.assign(cell=groups.ngroup())
    ok = runs["status"] == "ok"
    censored = {
        suffix: (runs[f"censored_target{suffix}"] > 0.5) & (runs[f"censored_spurious{suffix}"] > 0.5)
        for suffix in INPUTS
    }
    both = censored[""]

    def any_in_cell(flag: Series) -> Series:
        return flag.groupby(runs["cell"]).transform("any")

    # A model on which neither feature has a code has no order: it enters U and x alike, or neither.
    ordered = any_in_cell(ok & ~both)
    kept = ok & ~(both & ordered)
    learnt = kept & runs["U"].notna()
    counted = learnt | (kept & ~any_in_cell(learnt))

    conflict = [runs[f"errors_{q}"] / runs[f"n_{q}"].where(runs[f"n_{q}"] > 0) for q in CONFLICTS]
    values = DataFrame({name: runs[name].where(learnt) for name in ("U", "U_probability", "D")})
    values["U_reached"] = runs["reached_U"].where(ok)
    values["U_any"] = ((conflict[0] + conflict[1]) / 2).where(ok)
    p_error = runs[[f"p_error_{q}" for q in CONFLICTS]]
    values["U_any_probability"] = p_error.mean(axis=1, skipna=False).where(ok)
    for suffix in INPUTS:
        for role in ("target", "spurious"):
            x = runs[f"log2_{role}{suffix}"].where(counted)
            values[f"x_{role}{suffix}"] = x.mask(censored[suffix]) if suffix else x.where(ordered)
    for role in ("target", "spurious"):
        values[f"x_{role}_frequency"] = runs[f"surprise_{role}"].where(counted)
        values[f"censored_{role}"] = runs[f"censored_{role}"].where(counted)
    values["third_accuracy"] = runs["third_accuracy"]
    by_cell = runs["cell"]
    table = runs.drop_duplicates("cell").set_index("cell")[[*keys, "third_feature"]].sort_index()
    table = table.join(values.groupby(by_cell).mean())
    labels = _most_common(runs[learnt])
    table.insert(len(keys), "label", [labels.get(cell, "") for cell in table.index])
    learnt_any = ok & runs["U"].notna()
    constant = ok & (runs["label"] == "constant")
    flags_of = {"n_runs": ok | True, "n_ok": ok, "n_learnt": learnt_any, "n_constant": constant}
    for name, flag in flags_of.items():
        table[name] = flag.groupby(by_cell).sum()
    for suffix in INPUTS:
        table[f"relative{suffix}"] = table[f"x_target{suffix}"] - table[f"x_spurious{suffix}"]
    flags = zip(table.pop("censored_target") > 0.5, table.pop("censored_spurious") > 0.5, strict=True)
    table["censored"] = [
        {(True, True): "both", (True, False): "target", (False, True): "spurious"}.get(f, "") for f in flags
    ]
    tried = Series(True, index=table.index)
    for role in ("target", "spurious"):
        told = [_told(known, *of) for of in table[[role, "task"]].itertuples(index=False, name=None)]
        table[f"{role}_learnable"] = [found if found is not None else not known for found in told]
        tried &= np.array([found is not None for found in told], dtype=bool)
    table["learnability_tried"] = tried | (not known)
    about = {
        "models": runs["model"] + " " + runs["dial"] + " " + runs["weights_hash"],
        "seeds": runs["seed_tune"],
    }
    for name, values_ in about.items():
        members = _members(by_cell[counted], values_[counted])
        table[name] = [tuple(members.get(cell, ())) for cell in table.index]
    table["kind"] = [re.split("[/:]", task, maxsplit=1)[0] for task in table["task"]]
    return table.rename(columns={"evidence_rate": "evidence"})


def _most_common(runs: DataFrame) -> dict[int, str]:
    """Each cell's most common label; of equals the first in the alphabet."""
    counts = runs.groupby(["cell", "label"]).size().reset_index(name="n")
    first = counts.sort_values("n", ascending=False, kind="stable").drop_duplicates("cell")
    return dict(zip(first["cell"], first["label"], strict=True))


def _members(cell: Series, values: Series) -> dict[int, list[Any]]:
    """Each cell's different values, in order."""
    table = DataFrame({"cell": cell, "value": values}).drop_duplicates().sort_values(["cell", "value"])
    found: dict[int, list[Any]] = {}
    for key, value in zip(table["cell"].tolist(), table["value"].tolist(), strict=True):
        found.setdefault(key, []).append(value)
    return found


def _rule(row: Mapping[str, Any], learnt_first: bool) -> str:
    """The first rule that leaves a row out of the primary set, or ""."""
    if not row["n_ok"]:
        return UNFINISHED
    if not learnt_first:
        return UNLEARNT
    if not (row["target_learnable"] and row["spurious_learnable"]):
        return UNLEARNABLE if row["learnability_tried"] else UNTRIED
    if row["third_accuracy"] > THIRD_LIMIT:
        return THIRD
    if row["censored"] == "both":
        return CENSORED
    return UNPROBED if np.isnan(row["relative"]) else ""


CONFLICTS = ("target_only", "spurious_only")
PAIR = ["task", "target", "spurious", "target_family", "spurious_family"]
DETAIL: dict[By, list[str]] = {"pair": [], "dial": ["dial"], "model": ["model", "dial", "weights_hash"]}


def pairs_table(study: Study, by: By = "pair") -> DataFrame:
    """One row per pair, arm, method and level of evidence; over all models, per dial, or per model.

    Columns:
        U, U_probability, D: means over learnt runs, NaN without any; U_any: mean over all finished runs,
            learnt or not, which is what controls are judged by, and U_any_probability the same from mean
            probabilities of wrong answers; label: the most common one.
        U_reached: mean over finished runs of U at the log point at which they had learnt both and neither.
        n_runs, n_ok, n_learnt, n_constant: runs; finished, learnt, and one-answer runs among them.
        x_target, x_spurious: log2 bits per label at the study's primary probe, means over the models of the
            learnt runs; relative = x_target - x_spurious, above 0 when the spurious feature is easier, NaN
            when both are censored. The same with _untrained, _raw and _other. x_target_frequency and
            x_spurious_frequency: -log2 of the share of the pre-training documents in which they hold.
        censored: "", "target", "spurious" or "both".
        target_learnable, spurious_learnable: from the learnability list; True when there is no list for the
            study's models, False for a feature that the list does not know (learnability_tried is False).
        models, seeds: tuples of what is behind the row.
        kind: the first part of the task's name; see `analysis.statistics.dyadic`.
        excluded: the first of `RULES` that keeps the row out of the primary set, or "". Whether a cell
            is learnt is asked at the lowest level of evidence.
    """
    known = learnable(study)
    runs = _with_bits(study.runs[study.runs["task"] != ""], study)
    cell_of = [*PAIR, *DETAIL[by], "arm", "method"]
    keys = [*cell_of, "evidence_kind", "evidence_rate"]
    if not len(runs):
        return DataFrame(columns=[*cell_of, "evidence_kind", "evidence", "excluded"])
    table = _cells(runs, keys, known)
    first = table.sort_values("evidence", kind="stable").drop_duplicates([*cell_of, "evidence_kind"])
    first = first.set_index([*cell_of, "evidence_kind"])["n_learnt"] > 0
    learnt = [first[tuple(key)] for key in table[[*cell_of, "evidence_kind"]].itertuples(index=False)]
    table["excluded"] = [_rule(r, bool(ok)) for r, ok in zip(table.to_dict("records"), learnt, strict=True)]
    return table.reset_index(drop=True)


def _per_method(study: Study) -> Iterator[tuple[tuple[str, str], DataFrame]]:
    """The pairs of each arm and method at its lowest evidence, but for the controls."""
    table = lowest(pairs_table(study))
    for (arm, method), part in table[~table["arm"].isin(CONTROLS)].groupby(["arm", "method"]):
        yield (str(arm), str(method)), part


def lowest(table: DataFrame) -> DataFrame:
    """The rows at the lowest level of evidence of their arm and method."""
    if not len(table):
        return table
    return table[table["evidence"] == table.groupby(["arm", "method"])["evidence"].transform("min")]


def exclusions(study: Study) -> DataFrame:
    """What the primary set leaves out: pairs and runs per arm, method and rule, at the lowest evidence.

    Runs of a left-out pair are counted under its rule; in a pair that stays, failed and unlearnt runs are
    counted on lines of their own. The lines of an arm and method add up to all its pairs and runs.
    """
    rows = []
    for (arm, method), table in _per_method(study):
        kept = table[table["excluded"] == ""]
        counts = {rule: table[table["excluded"] == rule] for rule in RULES}
        lines = [(rule, len(part), int(part["n_runs"].sum())) for rule, part in counts.items()]
        lines.append(("failed run of a pair that stays", 0, int((kept["n_runs"] - kept["n_ok"]).sum())))
        lines.append(("unlearnt run of a pair that stays", 0, int((kept["n_ok"] - kept["n_learnt"]).sum())))
        lines.append(("in the primary set", len(kept), int(kept["n_learnt"].sum())))
        rows += [{"arm": arm, "method": method, "rule": r, "pairs": p, "runs": k} for r, p, k in lines]
    return DataFrame(rows, columns=["arm", "method", "rule", "pairs", "runs"])


def learnt_share(study: Study) -> DataFrame:
    """Share of finished zero-evidence runs that are learnt, on pairs whose features are both learnable."""
    rows = []
    for (arm, method), table in _per_method(study):
        table = table[table["target_learnable"].astype(bool) & table["spurious_learnable"].astype(bool)]
        k, n = int(table["n_learnt"].sum()), int(table["n_ok"].sum())
        low, high = wilson(k, n)
        share = k / n if n else np.nan
        rows.append(
            {"arm": arm, "method": method, "learnt": k, "runs": n, "share": share, "low": low, "high": high}
        )
    return DataFrame(rows, columns=["arm", "method", "learnt", "runs", "share", "low", "high"])
