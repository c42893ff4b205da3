"""analyze, figures: what came of a study."""

from __future__ import annotations

from argparse import Namespace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from proclivity.answer import Answer
from proclivity.plan import note
from proclivity.remote import beside, mirror
from proclivity.study_answers import figures_of, tables_of
from proclivity.study_tables import about, answer_tables

if TYPE_CHECKING:
    from analysis import Study


def analyze(arguments: Namespace) -> Answer:
    answers = {name: claims_of(mirror(name), everything=arguments.all) for name in arguments.folder}
    text = "\n\n".join(f"{folder}\n\n{answer.text}" for folder, answer in answers.items())
    return Answer({folder: answer.data for folder, answer in answers.items()}, text)


def claims_of(folder: Path, *, everything: bool = False) -> Answer:
    """What a study folder says."""
    return tables_of(_read(folder), everything=everything)


def _read(folder: Path) -> Study:
    """A study folder, with a note of each part that could not be read."""
    from analysis import read_study

    study = read_study(folder)
    for problem in study.problems:
        note(f"{folder}: not read: {problem}")
    devices = sorted({*study.runs["device"]} - {""})
    if len(devices) > 1:
        note(f"{folder}: its runs are of {' and '.join(devices)}, which draw other samples from one seed")
    return study


def figures(arguments: Namespace) -> Answer:
    out = beside(arguments, "figures")
    paths = draw(mirror(arguments.folder), out)
    return Answer({"figures": paths}, "\n".join(map(str, paths)))


def draw(folder: Path, out: Path) -> list[Path]:
    """Draw the figures of a study folder, and write its tables; their paths."""
    from figures import save

    study = _read(folder)
    return save(chain(figures_of(study), answer_tables(study)), out, about(study))
