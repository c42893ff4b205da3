"""What a person reads of runs, probes and measures: records as tables."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from proclivity.answer import table
from proclivity.study import BRADLEY_TERRY
from tasks import QUADRANTS

if TYPE_CHECKING:
    from analysis.measured import Measured

Record = Mapping[str, Any]


def told(records: Sequence[Record], cells: Sequence[Record] = (), before: Sequence[Record] = ()) -> str:
    """A job's records, its cells, and the probes of the model before its format warm-up."""
    parts = [_run_text(record) for record in records if record["kind"] == "run"]
    if cells:
        parts.append(table([_cell_row(cell) for cell in cells]))
    probes = [record for record in records if record["kind"] == "probe"]
    if probes:
        parts += _probe_texts(probes, before)
    return "\n\n".join(parts)


def _probe_texts(probes: Sequence[Record], before: Sequence[Record]) -> list[str]:
    first = probes[0]
    orders = f", means over {first['orders']} orders" if first["orders"] > 1 else ""
    rows = [_probe_row(record) for record in probes]
    if before:
        earlier = [{**_probe_row(record), "format warm-up": "before"} for record in before]
        rows = [*earlier, *({**row, "format warm-up": "after"} for row in rows)]
    source = "raw tokens" if first["input"] == "raw" else f"{first['init']} model at {first['site']}"
    parts = [f"{first['probe']} probe of the {source}, n = {first['n']}{orders}", table(rows)]
    if first.get("compat"):
        parts.append(_relative_mdl(probes))
    if any(record.get("use_n") for record in probes):
        parts += [USE, table([_use_row(record) for record in probes])]
    if not before and (lines := sparklines(probes, "layer")):
        parts.append(lines)
    return parts


def _probe_row(record: Record) -> dict[str, Any]:
    row = {
        "feature": record["feature"],
        "role": record["role"],
        "layer": _layer(record),
        "bits/label": record["bits_per_label"],
    }
    if record["bits_low"] is not None:
        row["95 %"] = f"{record['bits_low']:.3f}-{record['bits_high']:.3f}"
    row |= {
        "shuffled": f"{_number(record['control_low'])}-{_number(record['control_high'])}",
        "censored": "yes" if record["censored"] else "",
        "accuracy": record["accuracy"],
        "selectivity": record["selectivity"],
        "V-information": record.get("v_information"),
        "reach" if record["probe"] == "finetune" else "labels to 0.5": _labels_needed(record),
    }
    if record.get("compat"):
        row[f"{record['compat']} MDL"] = record["compat_mdl"]
    return row


def _labels_needed(record: Record) -> str | None:
    low, high = record.get("labels_needed_low"), record.get("labels_needed_high")
    if low is None:
        return None
    return f"over {low:.0f}" if high is None else f"{low:.0f}-{high:.0f}"


def _relative_mdl(probes: Sequence[Record]) -> str:
    """The papers' relative extractability, layer by layer, and whose it is."""
    first = probes[0]
    mdl = {(_layer(record), record["role"]): record["compat_mdl"] for record in probes}
    layers = dict.fromkeys(_layer(record) for record in probes)
    ratios = [f"{mdl[layer, 'spurious'] / mdl[layer, 'target']:.4g} (layer {layer})" for layer in layers]
    return (
        f"{first['compat']} MDL of {first['compat_n']} labels, bits and nats added\n"
        f"MDL(spurious) / MDL(target) {', '.join(ratios)}; below 1 the spurious feature is the easier one"
    )


def _layer(record: Record) -> Any:
    return "last" if record["layer"] == -1 else record["layer"]


def _run_text(record: Record) -> str:
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
    if record["method"] == BRADLEY_TERRY:
        return "\n".join([f"reward model of {lines[0]}", *lines[1:], _pairs(record)])
    if record["method"] and not record["steps"]:
        lines.append(
            f"{record['method']}: nothing tuned, of {record['samples_per_prompt']} answers the best; "
            f"KL to the reference {_number(record['kl_reverse'])} nats, {record['wall_s']:.1f} s"
        )
    elif record["method"]:
        lines.append(
            f"{record['method']}: {record['episodes']} rows, {record['evidence_k']} counter-examples "
            f"({record['evidence_kind']}){_noise(record)}; KL to the reference "
            f"{_number(record['kl_reverse'])} nats, {record['wall_s']:.1f} s"
        )
    if record.get("reward_model"):
        lines += ["", _inherited(record)]
    return "\n".join(lines)


def _pairs(record: Record) -> str:
    """What a reward model was trained on, and how it ranks held-out ones: an error is a wrong order."""
    ranked = []
    for quadrants in (("both", "neither"), ("target_only", "spurious_only")):
        n = sum(record[f"n_{q}"] for q in quadrants)
        right = n - sum(record[f"errors_{q}"] for q in quadrants)
        ranked.append(f"{right} of {n} on {quadrants[0]} and {quadrants[1]}")
    ties = f", {record['ties']} of them ties" if record["ties"] else ""
    half = f" of half {record['half']} of the sources" if record["half"] else ""
    return (
        f"{record['method']}: {record['episodes']} pairs{half}, {record['evidence_k']} counter-examples "
        f"({record['evidence_kind']}){_noise(record)}{ties}, {record['wall_s']:.1f} s\n"
        f"held-out pairs ranked right: {', '.join(ranked)}"
    )


def _inherited(record: Record) -> str:
    """Which feature the reward model uses, and which the policy that was tuned on it."""
    rewards = {"gold reward": record["reward_both_neither"], "learned reward": record["reward_learned"]}
    judge = {"": f"reward model {record['reward_model']}", "U": record["reward_model_U"]}
    return table([judge | dict.fromkeys(rewards), {"": "policy", "U": record["U"], **rewards}])


def _noise(record: Record) -> str:
    if not record["evidence_flipped"]:
        return ""
    best = f"no rule agrees with more than {record['bayes_accuracy']:.3f} of them"
    return f", {record['evidence_flipped']} labels flipped ({best})"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _cell_row(cell: Record) -> dict[str, Any]:
    return {
        "cell": cell["cell"],
        "errors": f"{cell['errors']} of {cell['n']}",
        "rate": cell["errors"] / cell["n"],
        "tuned on": cell["tuning_n"],
        "with label 1": cell["tuning_ones"],
    }


def infinite(measures: Sequence[Measured]) -> list[str]:
    """A note of what made a number infinite."""
    found = {m.measure: m for m in measures}
    notes = []
    for name, m in found.items():
        if m.value == math.inf:
            share = found[name.replace("NLL", "impossible")]
            count = round((share.value or 0) * share.n)
            notes.append(
                f"{name} is infinite: the right answer has probability 0 in {count} of {m.n} questions"
            )
    return notes


BARS = "▁▂▃▄▅▆▇█"
"""From 0 bits a label to 1."""


def sparklines(records: Sequence[Record], along: str) -> str:
    """The bits of each feature along layers or steps, where there are several."""
    lines: dict[str, list[str]] = {}
    for record in records:
        share = min(max(record["bits_per_label"] or 0.0, 0.0), 1.0)
        lines.setdefault(record["feature"], []).append(BARS[round(share * (len(BARS) - 1))])
    if max(map(len, lines.values())) < 2:
        return ""
    width = max(map(len, lines))
    return f"bits by {along}, 0 to 1\n" + "\n".join(
        f"{name:{width}}  {''.join(b)}" for name, b in lines.items()
    )


USE = """What each layer's state is used for. changed: share of answers that change when the feature is erased
there; swapped: change of the probability of label 1, towards the feature, when it is swapped in."""


def _use_row(record: Record) -> dict[str, Any]:
    return {
        "feature": record["feature"],
        "layer": _layer(record),
        "bits/label": record["bits_per_label"],
        "changed": record["use_changed"],
        "random": record["use_changed_random"],
        "of": record["use_n"],
        "U erased": record["use_conflict_error"],
        "swapped": record["swap"],
        "random swap": record["swap_random"],
        "pairs": record["swap_n"],
    }
