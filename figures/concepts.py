"""docs/concepts.svg: what is asked, measured, tuned and found, on one pair of a shipped study.

python -m figures.concepts results/cruz2023-laptop docs/concepts.svg

Written as text, so that equal records give an equal file whatever draws it.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from html import escape
from pathlib import Path

import numpy as np
from pandas import DataFrame

from analysis import Study, read_study
from figures.style import GREY, INK, PALE, SPURIOUS, TARGET
from tasks import QUADRANTS, get_task
from tasks import SPURIOUS as SPURIOUS_HOLDS
from tasks import TARGET as TARGET_HOLDS

PAIR = "symbolic/middle-class-vs-contains-either"
WIDTH, HEIGHT = 1000, 372
SMALL = 'font-size="11"'
TOP = 76
"""Where the panels begin, below their titles."""


def concepts(study: Study) -> str:
    """The picture, of the pair's main arm tuned by rloo."""
    parts = [*_quadrants(20), *_bits(study, 460), *_evidence_and_use(study, 664)]
    size = f'viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="12">'
    alt = "Four steps on one pair of features: quadrants, extractability, evidence, use"
    ground = f'<title>{alt}</title><rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>'
    return "\n".join([head, ground, *parts, "</svg>"]) + "\n"


def _text(x: float, y: float, words: str, *, fill: str = INK, more: str = "") -> str:
    return f'<text x="{x:g}" y="{y:g}" fill="{fill}" {more}>{escape(words)}</text>'.replace(" >", ">")


def _box(x: float, y: float, width: float, height: float, fill: str, stroke: str = "none") -> str:
    size = f'x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"'
    return f'<rect {size} fill="{fill}" stroke="{stroke}"/>'


def _title(x: float, number: int, name: str, *about: str) -> Iterator[str]:
    yield _text(x, 26, f"{number}  {name}", more='font-weight="bold" font-size="15"')
    for i, line in enumerate(about):
        yield _text(x, 44 + 15 * i, line, fill="#555555")


def _quadrants(x: float) -> Iterator[str]:
    """A prompt of each quadrant, with the right answer."""
    task = get_task(PAIR)
    yield from _title(x, 1, "Quadrants", "what the two features say of a prompt")
    yield _text(x, TOP, f"target: {task.target.about}", fill=TARGET, more=SMALL)
    yield _text(x, TOP + 17, f"spurious: {task.spurious.about}", fill=SPURIOUS, more=SMALL)
    for i, name in enumerate(QUADRANTS):
        conflict = TARGET_HOLDS[name] != SPURIOUS_HOLDS[name]
        left, top = x + 188 * (i % 2), TOP + 34 + 112 * (i // 2)
        yield _box(left, top, 180, 104, "white" if conflict else PALE, SPURIOUS if conflict else GREY)
        yield _text(left + 8, top + 19, name, more='font-weight="bold"')
        prompt = str(task.quadrant(name, 1, np.random.default_rng(0))["prompt"][0]).removesuffix(" ?")
        yield _text(left + 8, top + 42, prompt, more='font-family="monospace" font-size="11"')
        told = [f"{word} {'yes' if holds[name] else 'no'}" for word, holds in _FEATURES]
        yield _text(left + 8, top + 64, ", ".join(told))
        yield _text(left + 8, top + 86, f"right answer {TARGET_HOLDS[name]}")
    yield _text(x, TOP + 272, "grey: tuned on at no evidence; framed: the conflicts", fill="#555555")


_FEATURES = (("target", TARGET_HOLDS), ("spurious", SPURIOUS_HOLDS))


def _bits(study: Study, x: float) -> Iterator[str]:
    """What a linear probe of the models pays for each feature."""
    probes = study.probes
    mine = probes[(probes["task"] == PAIR) & (probes["input"] == "model") & (probes["init"] == "pretrained")]
    bits = mine.groupby("role")["bits_per_label"].mean()
    yield from _title(x, 2, "Extractability", "bits a label, read from", "the model before tuning")
    floor, unit = TOP + 220, 170
    yield f'<path d="M{x} {floor - unit} h150" stroke="{GREY}" stroke-dasharray="3 3"/>'
    yield _text(x, floor - unit - 6, "1 bit: a coin", fill="#555555")
    for i, (role, colour) in enumerate((("target", TARGET), ("spurious", SPURIOUS))):
        height = unit * bits[role]
        yield _box(x + 10 + 70 * i, floor - height, 50, height, colour)
        middle = 'text-anchor="middle"'
        yield _text(x + 35 + 70 * i, floor - height / 2, f"{bits[role]:.2f}", fill="white", more=middle)
        yield _text(x + 35 + 70 * i, floor + 16, role, more=middle)
    yield f'<path d="M{x} {floor} h150" stroke="{INK}"/>'
    easier = math.log2(bits["target"] / bits["spurious"])
    yield _text(x, floor + 36, f"relative: log2({bits['target']:.2f} / {bits['spurious']:.2f})")
    yield _text(x, floor + 52, f"= {easier:.2f}: the spurious one")
    yield _text(x, floor + 68, "is the easier one" if easier > 0 else "is the harder one")


def _evidence_and_use(study: Study, x: float) -> Iterator[str]:
    """The share of conflicts among the tuning rows, and what policies tuned on them use."""
    runs = study.runs
    mine = runs[(runs["task"] == PAIR) & (runs["arm"] == "main") & (runs["method"] == "rloo")]
    yield from _title(x, 3, "Evidence", "conflicts among", "the tuning rows")
    yield from _title(x + 172, 4, "Use", "which feature the tuned", "policy follows: U")
    left, width = x + 184, 116
    for place, words, colour in ((0, "target", TARGET), (width, "spurious", SPURIOUS)):
        yield _text(left + place, TOP + 10, words, fill=colour, more='text-anchor="middle"')
        yield f'<path d="M{left + place} {TOP + 18} V{TOP + 224}" stroke="{PALE}"/>'
        yield _text(left + place, TOP + 242, f"{place // width}", more='text-anchor="middle"')
    for i, (rate, part) in enumerate(mine.groupby("evidence_rate")):
        yield from _level(i, float(str(rate)), part, x, left, width)
    yield _text(x, TOP + 268, "a point is one tuned policy", fill="#555555")
    yield _text(x, TOP + 284, "U = mean error on the two conflicts", fill="#555555")


def _level(i: int, rate: float, runs: DataFrame, x: float, left: float, width: float) -> Iterator[str]:
    y = TOP + 38 + 42 * i
    yield _text(x + 38, y + 5, f"{rate * 100:g} %", more='text-anchor="end"')
    yield _box(x + 46, y - 9, 100, 18, PALE, GREY)
    yield _box(x + 46, y - 9, 100 * rate, 18, SPURIOUS)
    yield f'<path d="M{left} {y} h{width}" stroke="{PALE}"/>'
    for use in sorted(runs["U"].dropna()):
        yield f'<circle cx="{left + width * use:.1f}" cy="{y}" r="5" fill="{INK}" fill-opacity="0.6"/>'


def main(folder: str, path: str) -> None:
    Path(path).write_text(concepts(read_study(folder)), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
