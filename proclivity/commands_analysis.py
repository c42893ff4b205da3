"""analyze, figures: what came of a study."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from proclivity.answer import Answer


def analyze(arguments: Namespace) -> Answer:
    answers = {folder: claims_of(Path(folder)) for folder in arguments.folder}
    if len(answers) == 1:
        return next(iter(answers.values()))
    text = "\n\n".join(f"{folder}\n{answer.text}" for folder, answer in answers.items())
    return Answer({folder: answer.data for folder, answer in answers.items()}, text)


def claims_of(folder: Path) -> Answer:
    """The claim tables of a study folder, and what of it could not be read."""
    from analysis import read_study
    from analysis.claims import claims, render

    study = read_study(folder)
    found = claims(study)
    problems = "".join(f"\nnot read: {problem}" for problem in study.problems)
    return Answer(
        {"study": study.name, "claims": found, "problems": study.problems}, render(found) + problems
    )


def figures(arguments: Namespace) -> Answer:
    folder = Path(arguments.folder)
    paths = draw(folder, Path(arguments.out) if arguments.out else folder / "figures")
    return Answer({"figures": paths}, "\n".join(map(str, paths)))


def draw(folder: Path, out: Path) -> list[Path]:
    """Draw a study's figures; their paths."""
    from analysis import read_study
    from figures import draw_cruz2023

    return list(draw_cruz2023(read_study(folder), out))
