"""metrics: diversity, hacking, preference and calibration of what any framework wrote."""

from __future__ import annotations

import math
from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proclivity.answer import Answer, table
from proclivity.metric_files import Questions, Written, by_input, read_outputs, read_questions
from proclivity.plan import note
from proclivity.progress import step_bar
from proclivity.shown import infinite
from tasks.errors import UserError

if TYPE_CHECKING:
    from analysis.measured import Measured
    from analysis.outputs.calibration import Calibration
    from analysis.outputs.embedding import Encode
    from analysis.outputs.nli import Nli
    from analysis.outputs.over_optimisation import OverOptimisation

COLUMNS = ("value", "low", "high", "floor", "ceiling", "n", "outputs", "left_out")


def diversity(arguments: Namespace) -> Answer:
    read = read_outputs(Path(arguments.file), ("log_prob",), arguments.group)
    _unused(arguments, read.unused)
    from analysis.outputs.diversity import diversity as of
    from analysis.outputs.diversity import vocabulary_of

    groups = {name: _texts(rows) for name, rows in read.groups().items()}
    encode, nli = _models(arguments)
    vocabulary = arguments.vocabulary or max(1, vocabulary_of(*groups.values()))
    found = {}
    with step_bar() as report:
        for done, (name, rows) in enumerate(read.groups().items()):
            report("diversity", done, len(groups))
            log_probs = _columns(rows, "log_prob") if "log_prob" in read.numbers else None
            found[name] = of(
                groups[name], vocabulary=vocabulary, encode=encode, nli=nli, log_probs=log_probs,
                compat=arguments.compat, seed=arguments.seed,
            )  # fmt: skip
        report("diversity", len(groups), len(groups))
    return _answer(arguments, found, "diversity", {name: _unequal(texts) for name, texts in groups.items()})


def _models(arguments: Namespace) -> tuple[Encode | None, Nli | None]:
    """What encodes and what infers, each if asked for."""
    if not (arguments.encoder or arguments.nli):
        return None, None
    from analysis.outputs.encoders import encoder, nli_of

    encode = encoder(arguments.encoder) if arguments.encoder else None
    return encode, nli_of(arguments.nli) if arguments.nli else None


def hacking(arguments: Namespace) -> Answer:
    numbers = ("gold", "proxy", "kl", "step", "seed")
    read = read_outputs(Path(arguments.file), numbers, arguments.group)
    _unused(arguments, read.unused)
    from pandas import DataFrame

    from analysis.outputs.hacking import hacking as of
    from analysis.outputs.over_optimisation import over_optimisation

    along = next((name for name in ("step", "kl") if name in read.numbers), None)
    curve = along is not None and {"gold", "proxy"} <= {*read.numbers}
    found, curves, notes = {}, {}, {}
    with step_bar() as report:
        for name, rows in read.groups().items():
            last = _last(rows, along)
            notes[name] = _unequal(_texts(last))
            if along and len(last) < len(rows):
                notes[name].append(f"outputs are those of {along} {last[0].numbers[along]:g}, the last one")
            gold, proxy = (_columns(last, r) if r in read.numbers else None for r in ("gold", "proxy"))

            def told(what: str, done: int, total: int, of: str = name) -> None:
                report(f"{of} {what}".strip(), done, total)

            found[name] = of(
                _texts(last), gold=gold, proxy=proxy, wordnet=arguments.wordnet, pairs=arguments.pairs,
                compat=arguments.compat, seed=arguments.seed, report=told,
            )  # fmt: skip
            if curve:
                curves[name] = over_optimisation(
                    DataFrame([{"input": row.input, **row.numbers} for row in rows])
                )
    return _answer(arguments, found, "hacking", notes, curves=curves)


def preference(arguments: Namespace) -> Answer:
    from proclivity.preference import judged, read_judged

    read = read_judged(arguments)
    _unused(arguments, read.unused)
    found, notes = {}, {}
    with step_bar() as report:
        for name, (measures, told) in judged(arguments, read, report).items():
            found[name] = measures
            notes[name] = [*told, *_unequal(_texts(read.groups()[name]))]
    return _answer(arguments, found, "preference", notes)


def calibration(arguments: Namespace) -> Answer:
    groups, whole, unused = read_questions(Path(arguments.file), arguments.group)
    _unused(arguments, unused)
    if arguments.compat and not whole:
        raise UserError(
            f"{arguments.file}: --compat {arguments.compat} needs the probability of every choice"
        )
    measured = {}
    with step_bar() as report:
        for done, (name, questions) in enumerate(groups.items()):
            report("calibration", done, len(groups))
            measured[name] = _calibrated(questions, whole, arguments)
        report("calibration", len(groups), len(groups))
    found = {name: of.measures for name, of in measured.items()}
    return _answer(arguments, found, "calibration", {}, reliability=measured)


def _calibrated(questions: Questions, whole: bool, arguments: Namespace) -> Calibration:
    from analysis.outputs.calibration import calibration as of
    from analysis.outputs.calibration import calibration_of_confidence

    options = {"bins": arguments.bins, "seed": arguments.seed}
    if whole:
        return of(questions.probabilities, questions.right, compat=arguments.compat, **options)
    return calibration_of_confidence([p for (p,) in questions.probabilities], questions.right, **options)


def _unused(arguments: Namespace, names: Sequence[str]) -> None:
    if names:
        note(f"{arguments.file}: not read: {', '.join(names)}")


def _texts(rows: Sequence[Written]) -> list[list[str]]:
    return [[row.output for row in several] for several in by_input(rows).values()]


def _columns(rows: Sequence[Written], name: str) -> list[list[float]]:
    return [[row.numbers[name] for row in several] for several in by_input(rows).values()]


def _last(rows: Sequence[Written], along: str | None) -> Sequence[Written]:
    """The outputs of the last point of the tuning; all of them where KL is a number of each output's own."""
    if along is None:
        return rows
    from analysis.outputs.over_optimisation import MOST_POINTS

    places = {row.numbers[along] for row in rows}
    if along == "kl" and len(places) > MOST_POINTS:
        return rows
    return [row for row in rows if row.numbers[along] == max(places)]


def _answer(
    arguments: Namespace,
    found: Mapping[str, Sequence[Measured]],
    name: str,
    notes: Mapping[str, list[str]],
    *,
    curves: Mapping[str, OverOptimisation] | None = None,
    reliability: Mapping[str, Calibration] | None = None,
) -> Answer:
    """One table a group, what else there is below it, and with --out the same as files."""
    data: dict[str, Any] = {}
    parts = []
    for group, measures in found.items():
        told = [*([group] if group else []), table([_row(m) for m in measures])]
        of: dict[str, Any] = {"measures": measures}
        if curves and group in curves:
            of["over_optimisation"] = curves[group]
            told.append(_curve(curves[group]))
        if reliability:
            of["reliability"] = reliability[group].reliability
            told.append(table([_bin(asdict(row)) for row in reliability[group].reliability if row.n]))
        of["notes"] = [*notes.get(group, []), *infinite(measures)]
        told += of["notes"]
        data[group] = of
        parts.append("\n\n".join(told))
    paths = _draw(Path(arguments.out), found, name, curves, reliability) if arguments.out else []
    if paths:
        parts.append("\n".join(map(str, paths)))
    return Answer({"groups": data, "files": paths}, "\n\n".join(parts))


def _row(measure: Measured) -> dict[str, Any]:
    told = asdict(measure)
    return {name: told[name] for name in ("measure", "scope", *COLUMNS)}


def _bin(row: Mapping[str, Any]) -> dict[str, Any]:
    return {**row, "low": f"{row['low']:.4g}", "high": f"{row['high']:.4g}"}


def _curve(found: OverOptimisation) -> str:
    rows = [asdict(point) for point in found.points]
    peak = found.points[found.peak]
    place = f"step {peak.step:g}" if peak.step is not None else f"KL {peak.kl:.4g}"
    since = (
        f"; from there to the end it falls by {_with_ends(found, 'drop')}, "
        f"the proxy rises by {_with_ends(found, 'rise')}"
    )
    at_end = found.peak == len(found.points) - 1
    lines = [
        f"over-optimisation: {found.status}",
        f"gold is highest at {place}" + since * (not at_end),
        f"intervals over {found.n_units} {found.units}s"
        + f", {found.left_out} left out" * (found.left_out > 0),
    ]
    return table(rows) + "\n\n" + "\n".join(lines)


def _with_ends(found: OverOptimisation, name: str) -> str:
    value, low, high = (getattr(found, f"{name}{end}") for end in ("", "_low", "_high"))
    return f"{value:.4g}" + ("" if math.isnan(low) else f" [{low:.4g}, {high:.4g}]")


def _unequal(outputs: Sequence[Sequence[str]]) -> list[str]:
    """A note of numbers of outputs that differ."""
    fewest, most = min(map(len, outputs)), max(map(len, outputs))
    return [] if fewest == most else [f"inputs have {fewest} to {most} outputs; each input counts alike"]


def _draw(
    out: Path,
    found: Mapping[str, Sequence[Measured]],
    name: str,
    curves: Mapping[str, OverOptimisation] | None,
    reliability: Mapping[str, Calibration] | None,
) -> list[Path]:
    from figures import save
    from figures.measured import draw_measured
    from figures.over_optimisation import draw_over_optimisation
    from figures.reliability import draw_reliability

    drawings = [draw_measured(found, name)]
    if curves:
        drawings.append(draw_over_optimisation(curves))
    if reliability:
        drawings.append(draw_reliability(reliability))
    return save(drawings, out)
