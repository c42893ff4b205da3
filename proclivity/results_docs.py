"""What the shipped studies found, redrawn from their compact records: docs/results.md, a block of the README,
and each study's whole tables beside its records.

python -m proclivity.results_docs README.md docs/results.md results
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proclivity.answer import Answer
from proclivity.study_answers import tables_of

if TYPE_CHECKING:
    from analysis import Study

Row = Mapping[str, Any]
BEGIN, END = "<!-- results: written by `make docs` -->", "<!-- results: end -->"
PAIRS = {"primary": "pairs that no rule leaves out", "all": "all pairs"}
AT = {
    "end": "gold reward at the end, in words",
    "along": "the same, mean along the tuning",
    "gold": "gold reward",
}
"""Names of statistics and measures that say little alone."""
LEARNT = 2 / 3
"""Share of the seeds that must reach the threshold."""
HOLM = 0.05

_PAGE = """\
# Results of the shipped studies

<!-- Written by `make docs` from results/; tests compare. Change the code or the records, not this page. -->

Every number here is computed from the compact records in `results/`. What the studies mean, and what they
do not show, is told in [findings.md](findings.md); the words are those of [concepts.md](concepts.md).

A study has **one primary test**, named in its file before it ran. All else is secondary and carries Holm's
correction over all secondary tests of its study. A status is one of four: *same direction* (as the claim
has it), *opposite*, *too small to matter*, *cannot be told*. A direction needs p below 0.05 and an interval
on one side.

The studies after a paper are **conceptual replications at their scale**: other models, other data, smaller.
None is a reproduction.

To compute a study's tables again, or to draw its figures again:

    proclivity analyze results/cruz2023-laptop --all
    proclivity figures results/cruz2023-laptop --out out/figures

`n` is families/features/pairs/models/seeds where pairs of features are what is compared, otherwise
runs or seeds in pairs.
"""
_HEAD = """\
| study | question, and the primary test | estimate [95 % interval] | p | n | status | scale, date, command |
|---|---|---|---|---|---|---|"""
_CHOSEN = """\
| study | question | result | scale, date, command |
|---|---|---|---|"""
_FOOT = """\
n: families/features/pairs/models/seeds where pairs of features are what is compared; otherwise runs
or seeds in pairs. Studies after a paper are conceptual replications at their scale, none a reproduction."""


@dataclass(frozen=True)
class Shipped:
    """A study with what is told of it."""

    study: Study
    answer: Answer

    @property
    def manifest(self) -> Row:
        return self.study.manifest

    @property
    def tests(self) -> list[Row]:
        """All rows that are tests."""
        found: list[Row] = self.answer.data.get("claims") or self.answer.data.get("takeaways") or []
        return found

    @property
    def primary(self) -> Row | None:
        return next((row for row in self.tests if row["primary"]), None)


def shipped(folder: Path) -> Shipped:
    """A folder of compact records, and its tables."""
    from analysis import read_study

    study = read_study(folder)
    return Shipped(study, tables_of(study, everything=True))


def line(found: Shipped) -> str:
    """A study as one row of the README's tables."""
    manifest, row, question = found.manifest, found.primary, str(found.manifest["definition"]["question"])
    name = f"[{found.study.name}](docs/results.md#{found.study.name})"
    made = f"{manifest['scale']}, {manifest['created'][:10]}, `{command(manifest['command'])}`"
    if row is None:
        return _cells([name, question, chosen(found), made])
    numbers = [interval(row), p_value(row["p"]), n_of(row), f"**{row['status']}**"]
    return _cells([name, f"{question} *{in_words(row)}*", *numbers, made])


def block(lines: Sequence[str]) -> str:
    """The README's block from the rows of all studies: those with a primary test, and those that choose."""
    columns = _HEAD.splitlines()[0].count(" | ")
    tests = [row for row in lines if row.count(" | ") == columns]
    rest = [row for row in lines if row not in tests]
    parts = [_HEAD, *tests, "", _FOOT, "", "What was chosen or measured beside them, without a test:", ""]
    return "\n".join([BEGIN, "", *parts, _CHOSEN, *rest, "", END])


def section(found: Shipped) -> Iterator[str]:
    """A study on the page of results."""
    manifest, row, name = found.manifest, found.primary, found.study.name
    paper = (
        f"conceptual replication of {manifest['paper']}"
        if manifest["paper"]
        else "an experiment of this project"
    )
    yield from (f"## {name}", "", str(manifest["definition"]["question"]), "")
    yield f"- {manifest['scale']} scale, {paper}, {manifest['created'][:10]}"
    yield f"- command: `{command(manifest['command'])}`"
    yield f"- records: [results/{name}](../results/{name}), with [all tables](../results/{name}/claims.txt)"
    if row is None:
        yield from (f"- no test; {chosen(found)}", "")
        return
    told = f"{interval(row)}, p {p_value(row['p'])}, n {n_of(row)}: **{row['status']}**"
    yield f"- primary test: {in_words(row)}: {told}"
    for line in filter(None, [row.get("note"), found.answer.data.get("primary_late")]):
        yield f"- {line}"
    rest = [other for other in found.tests if not other["primary"]]
    held = [other for other in rest if (other["p_holm"] if other["p_holm"] is not None else 1) < HOLM]
    yield f"- secondary rows: {len(rest)}, of which {len(held)} have p below {HOLM:g} after Holm's correction"
    yield ""
    if held:
        yield "| secondary, p below 0.05 after Holm | estimate [95 % interval] | p Holm | n | status |"
        yield "|---|---|---|---|---|"
        for other in held:
            numbers = [interval(other), p_value(other["p_holm"]), n_of(other)]
            yield _cells([in_words(other), *numbers, str(other["status"])])
        yield ""


def command(text: str) -> str:
    """The command that made a study, without the folder that it was run in."""
    return re.sub(r" --out \S+", "", text)


def in_words(row: Row) -> str:
    """What a test is of."""
    claim = str(row["claim"]) + (f": {row['about']}" if row.get("about") else "")
    where = [row.get("statistic"), row.get("method"), row.get("measure"), row.get("task"), row.get("problem")]
    if row.get("arm") not in (None, "", "main"):
        where.append(f"arm {row['arm']}")
    if "n_pairs" in row:
        where.append(PAIRS.get(row["pairs"], f"pairs: {row['pairs']}"))
    if row.get("x") not in (None, "", "bits"):
        where.append(f"x: {row['x']}")
    if row.get("given"):
        where.append(f"given {row['given']}")
    more = [word for word in map(str, filter(None, where)) if word not in claim]
    return f"{claim} ({', '.join(AT.get(word, word) for word in more)})"


def interval(row: Row) -> str:
    """A value with its interval."""
    ends = [row[name] for name in ("value", "low", "high")]
    if ends[0] is None:
        return "-"
    digits = 2 if max(abs(end) for end in ends if end is not None) >= 0.1 else 3
    value, low, high = ("-" if end is None else _rounded(end, digits) for end in ends)
    return f"{value} [{low}, {high}]"


def _rounded(value: float, digits: int) -> str:
    return f"{round(value, digits) + 0.0:.{digits}f}"  # + 0.0: no negative zero


def p_value(p: float | None) -> str:
    if p is None:
        return "-"
    return "<.001" if p < 0.001 else f"{p:.3f}" if p < 0.01 else f"{p:.2f}"


def n_of(row: Row) -> str:
    names = [f"n_{name}" for name in ("families", "features", "pairs", "models", "seeds")]
    return "/".join(str(row[name]) for name in names) if "n_pairs" in row else str(row["n"])


def chosen(found: Shipped) -> str:
    """What a study without a test came to: pairs probed, what can be learnt, learning rates by its rule."""
    data = found.answer.data
    if "probed" in data:
        return f"{len(data['probed'])} pairs probed on the models that tune them"
    if "learnt" in data and "claims" not in data:
        learnt = [row for row in data["learnt"] if row["learnt"] >= LEARNT * row["runs"]]
        return f"learnt by two of three seeds: {len(learnt)} of {len(data['learnt'])} tasks"
    if "learning_rates" in data:
        rates = {row["method"]: row["learning_rate"] for row in data["learning_rates"] if row["chosen"]}
    elif "rates" in data:
        rates = {name: f"{rate:g}" for name, rate in data["rates"].items()}
    else:
        from analysis.stages.stage_runs import chosen_rates

        rates = {name: f"{rate:g}" for name, rate in chosen_rates(found.study).items()}
    by_rate: dict[str, list[str]] = {}
    for method, rate in rates.items():
        by_rate.setdefault(rate, []).append(method)
    told = [f"{rate} ({', '.join(methods)})" for rate, methods in sorted(by_rate.items(), key=_rate)]
    return "learning rates " + ", ".join(told)


def _rate(item: tuple[str, list[str]]) -> float:
    return float(item[0])


def _cells(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def folders(results: Path) -> list[Path]:
    """The shipped studies, by name."""
    return sorted(path.parent for path in results.glob("*/study.json"))


def put(readme: str, new: str) -> str:
    """The README with its block exchanged."""
    before, _, rest = readme.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{new}{after}"


def main(readme: str, page: str, results: str) -> None:
    """Write the README's block, the page, and each study's tables."""
    lines, sections = [], [_PAGE]
    for folder in folders(Path(results)):
        found = shipped(folder)
        lines.append(line(found))
        sections += section(found)
        text = f"results/{folder.name}\n\n{found.answer.text}\n"
        (folder / "claims.txt").write_text(text, encoding="utf-8")
    Path(page).write_text("\n".join(sections).rstrip() + "\n", encoding="utf-8")
    whole = Path(readme).read_text(encoding="utf-8")
    Path(readme).write_text(put(whole, block(lines)), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
