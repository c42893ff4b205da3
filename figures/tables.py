"""One table in three formats: CSV for machines, Markdown for readers, LaTeX for papers.

The same cells stand in all three: numbers to the right, a dash (an empty cell in CSV) for what is not known.
Markdown and LaTeX round to four digits; CSV has six. The LaTeX needs `booktabs` and no other package.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from pandas import DataFrame, api

WORDS = {
    "low": "low, high: ends of the 95 % interval (controls: 90 %)",
    "U": "U: use, 0 = target rule, 1 = spurious rule",
    "D": "D: error on spurious_only less that on target_only",
    "relative": "relative: log2(bits target / bits spurious), above 0 if the spurious one is easier",
    "n": "n: what a value is over",
    "p": "p: two-sided",
    "p_holm": "p_holm: Holm over all tests but the primary one",
    "smallest": "smallest: smallest effect of interest",
    "published": "published: the paper's figure in its units; source: where it was read",
    "paper": "paper: the paper's figure in its units; source: where it was read",
    "n_families": "n_families, n_features, n_pairs, n_models, n_seeds: what an estimate stands on",
}
"""What columns mean; a table's note tells of those that it has."""
DASH = "–"
_LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "%": r"\%", "#": r"\#",
    "_": r"\_", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}",
    ">": r"\textgreater{}", "|": r"\textbar{}", "[": "{[}", "]": "{]}", '"': "{''}",
    "−": "$-$", "–": "--", "—": "---", "∞": r"$\infty$", "±": r"$\pm$", "×": r"$\times$", "·": r"$\cdot$",
    "≤": r"$\le$", "≥": r"$\ge$", "≈": r"$\approx$", "→": r"$\to$", "←": r"$\leftarrow$", "…": r"\dots{}",
    "α": r"$\alpha$", "β": r"$\beta$", "γ": r"$\gamma$", "λ": r"$\lambda$", "π": r"$\pi$", "ρ": r"$\rho$",
    "τ": r"$\tau$", "Δ": r"$\Delta$", "’": "'", "‘": "`", "“": "``", "”": "''",
}  # fmt: skip
"""Brackets are braced: after a row's end LaTeX would take one for a length."""
FORMULA = ("=", "+", "-", "@")
"""What begins a formula."""
_HARMLESS = re.compile(r"-|-[\d.]+( [A-Za-z ]+| \[[-\d., ]+\])")
"""A dash, a number with its unit or its interval: nothing is computed of them."""
_MARKDOWN = "\\|*_`<>$[]"


def note_of(table: DataFrame, legend: str = "") -> str:
    """A legend, and what the columns mean."""
    return ". ".join(filter(None, [legend, *(text for name, text in WORDS.items() if name in table)]))


def digits(value: Any) -> str:
    """A number as text, to four digits; a dash for NaN and None."""
    if value is None or math.isnan(value):
        return DASH
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if float(value).is_integer() and abs(value) < 1e15:
        return str(int(value))
    return f"{value:.0f}" if abs(value) >= 1e4 else f"{value:.4g}"


def latex_text(text: str) -> str:
    """Text for LaTeX, on one line; a character that pdflatex does not know is named by its number."""
    return "".join(_LATEX.get(sign) or _plain(sign) for sign in _one_line(text))


def _plain(sign: str) -> str:
    if sign.isascii():
        return sign
    plain = unicodedata.normalize("NFKD", sign).encode("ascii", "ignore").decode()
    return "".join(_LATEX.get(part, part) for part in plain) or f"(U+{ord(sign):04X})"


def latex_number(value: Any) -> str:
    text = digits(value)
    if text == DASH:
        return "--"
    mantissa, _, power = text.replace("∞", r"\infty").partition("e")
    return f"${mantissa}" + (rf" \times 10^{{{int(power)}}}$" if power else "$")


def markdown_text(text: str) -> str:
    return "".join(f"\\{sign}" if sign in _MARKDOWN else sign for sign in _one_line(text))


def _one_line(text: str) -> str:
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())


def _is_number(value: Any) -> bool:
    return not isinstance(value, bool) and api.types.is_number(value) and not isinstance(value, complex)


def _cells(
    table: DataFrame, text: Callable[[str], str], number: Callable[[Any], str]
) -> tuple[list[bool], list[list[str]]]:
    """Which columns are of numbers alone, and the header with the rows as text."""

    def cell(value: Any) -> str:
        if value is None or _is_number(value):
            return number(value)
        if isinstance(value, bool) or type(value).__name__ == "bool_":
            return "yes" if value else "no"
        return text(" ".join(map(str, value)) if isinstance(value, tuple | list) else str(value))

    columns = [list(table.iloc[:, i]) for i in range(table.shape[1])]
    numeric = [all(value is None or _is_number(value) for value in column) for column in columns]
    rows = [[cell(column[i]) for column in columns] for i in range(len(table))]
    return numeric, [[text(str(name)) for name in table.columns], *rows]


def markdown(table: DataFrame, caption: str = "", note: str = "") -> str:
    numeric, (names, *rows) = _cells(table, markdown_text, digits)
    rule = ["---:" if right else "---" for right in numeric]
    lines = [f"| {' | '.join(cells)} |" for cells in (names, rule, *rows)]
    above = [f"**{markdown_text(caption)}**", ""] if caption else []
    return "\n".join([*above, *lines, *(["", markdown_text(note)] if note else []), ""])


def latex(table: DataFrame, caption: str = "", note: str = "", label: str = "") -> str:
    numeric, (names, *rows) = _cells(table, latex_text, latex_number)

    def line(cells: Sequence[str]) -> str:
        return " & ".join(cells) + r" \\"

    return "\n".join(
        [
            r"% needs \usepackage{booktabs}",
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{latex_text(caption)}}}",
            *([rf"\label{{tab:{label}}}"] if label else []),
            rf"\begin{{tabular}}{{{''.join('r' if right else 'l' for right in numeric)}}}",
            r"\toprule",
            line(names),
            r"\midrule",
            *map(line, rows),
            r"\bottomrule",
            r"\end{tabular}",
            *([r"\par\smallskip", rf"{{\footnotesize {latex_text(note)}\par}}"] if note else []),
            r"\end{table}",
            "",
        ]
    )


def for_spreadsheets(table: DataFrame) -> DataFrame:
    """Text that a spreadsheet would compute begins with an apostrophe, as one writes it there."""

    def quoted(value: Any) -> Any:
        computed = isinstance(value, str) and value.lstrip()[:1] in FORMULA and not _reads_as_number(value)
        computed = computed and not _HARMLESS.fullmatch(value)
        return f"'{value}" if computed else value

    told = table.map(quoted)
    told.columns = [quoted(name) for name in table.columns]
    return told


def _reads_as_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def write_tables(
    table: DataFrame, folder: Path, name: str, publish: Callable[..., Path], caption: str, legend: str = ""
) -> Iterator[Path]:
    """The table as `name.csv`, `name.md` and `name.tex`."""
    note = note_of(table, legend)
    texts = {"md": markdown(table, caption, note), "tex": latex(table, caption, note, name)}
    yield publish(
        folder / f"{name}.csv",
        lambda path: for_spreadsheets(table).to_csv(path, index=False, float_format="%.6g"),
    )
    for ending, text in texts.items():
        yield publish(
            folder / f"{name}.{ending}", lambda path, text=text: path.write_text(text, encoding="utf-8")
        )
