"""The pages of docs/reference: commands, settings, study files, records and methods, as the code has them.

python -m proclivity.reference_docs docs/reference
"""

from __future__ import annotations

import argparse
import ast
import inspect
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from proclivity.cli import parser

_NOTE = "<!-- Written by `make docs` from the code; a test compares. Change the code, not this page. -->"


_WORDS = {str: "text", int: "whole number", float: "number", bool: "true or false"}
_WORDS |= {type(None): "null", Any: "any value"}


def command_line() -> Iterator[str]:
    """Every command with what it takes."""
    yield from _head(
        "The command line",
        "Each command and its options, as `--help` has them. Every command takes `--json` (print one JSON",
        "value) and `--include PATH` (a file with tasks or methods of your own; may be given several times),",
        "which the tables leave out. Exit status: 0; 1 if a study had failed runs; 2 for a mistake in what",
        "was asked, said in one line.",
    )
    for name, command in _commands(parser()):
        yield from (
            f"## {name}",
            "",
            _capital(str(command.description)),
            "",
            "| argument | meaning |",
            "|---|---|",
        )
        for action in command._actions:
            if action.dest not in ("help", "json", "include"):
                yield _cells([f"`{_written(action)}`", _about(action)])
        yield ""


def _commands(command: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Commands that have none under them, by the words that call them."""
    inner = [action for action in command._actions if isinstance(action, argparse._SubParsersAction)]
    for group in inner:
        for under in dict.fromkeys(group.choices.values()):
            yield from _commands(under)
    late = getattr(command, "_late", None)
    if late is not None:
        late(command)
    if not inner:
        yield command.prog, command


def _written(action: argparse.Action) -> str:
    """How an argument is written."""
    value = action.metavar or ("{" + ",".join(map(str, action.choices)) + "}" if action.choices else "")
    value = value or (action.dest.upper() if action.nargs != 0 else "")
    more = {"*": f"[{value} ...]", "+": f"{value} ..."}.get(str(action.nargs), str(value))
    if isinstance(action, argparse.BooleanOptionalAction):
        more = ""
    return " ".join(filter(None, [", ".join(action.option_strings), more]))


def _about(action: argparse.Action) -> str:
    about = (action.help or "").replace("%%", "%")
    if action.choices and action.metavar:
        names = ", ".join(map(str, action.choices))
        about += "" if names in about else f" ({names})"
    return about.strip() + ("; required" if action.required and action.option_strings else "")


def settings() -> Iterator[str]:
    """The knobs of a tuning run."""
    from rl_finetune.bandit_settings import BanditSettings
    from rl_finetune.settings import Settings

    yield from _head(
        "Settings of a run",
        "Of `proclivity finetune` (`--learning-rate 1e-3`), and of `settings` in study files",
        "(`learning_rate: 1e-3`).",
    )
    yield from ("## Of language models", "")
    yield from _table("setting", Settings)
    yield from ("## Of bandits", "")
    yield from _table("setting", BanditSettings)


def study_files() -> Iterator[str]:
    """The keys of a study's file."""
    from proclivity.bandit_study import BanditPrimary, Bandits, BanditStudy, Sweep
    from proclivity.stage_study import Demonstrated, Measuring, Preferred, StagePrimary, Stages, StageStudy
    from proclivity.study import Arm, Levels, Pairs, Primary, Probe, RewardModel, Study
    from proclivity.study_head import Resources
    from proclivity.text_study import Data, TextPrimary, Texts, TextStudy

    yield from _head(
        "Study files",
        "A study is one YAML file. Keys are strict: a wrong one is told with its line. The shipped files are",
        "in `proclivity/studies/`; `proclivity study ls` lists them, `proclivity study run FILE --dry-run`",
        "checks one.",
    )
    kinds: dict[str, dict[str, type]] = {
        "Pairs of features": {
            "": Study, "primary": Primary, "pairs": Pairs, "probe": Probe, "arms.NAME": Arm,
            "arms.NAME.evidence": Levels, "arms.NAME.reward_model": RewardModel, "resources": Resources,
        },
        "Stages of tuning on text-out tasks": {
            "": StageStudy, "primary": StagePrimary, "stages": Stages, "stages.sft": Demonstrated,
            "stages.reward_model": Preferred, "stages.measured": Measuring,
        },
        "Problems of text": {"": TextStudy, "primary": TextPrimary, "texts": Texts, "texts.data": Data},
        "Bandits": {
            "": BanditStudy, "primary": BanditPrimary, "bandits": Bandits, "bandits.sweeps.NAME": Sweep,
        },
    }  # fmt: skip
    for title, sections in kinds.items():
        yield from (f"## {title}", "")
        for where, kind in sections.items():
            yield from (f"### {where or 'The file'}" + (f" ({title.lower()})" if where else ""), "")
            yield from (_sentence(kind), "")
            yield from _table("key", kind)


def records() -> Iterator[str]:
    """The columns of records."""
    from analysis.bandit_schema import BanditPoint, BanditRecord
    from analysis.records import LEARNABILITY
    from analysis.schema import SCHEMA, CellRecord, ProbeRecord, RunRecord
    from analysis.stage_schema import Choice, Measurement, Output, StageRecord
    from analysis.text_schema import TextRecord

    yield from _head(
        "Records",
        f"What a study leaves behind, schema {SCHEMA}. `read_study` of `analysis` gives each table as a data",
        "frame of this name; older records are read with the value that they stand for in columns that came",
        "later.",
    )
    tables: dict[str, type] = {
        "runs": RunRecord, "probes": ProbeRecord, "cells": CellRecord, "stages": StageRecord,
        "measures": Measurement, "outputs": Output, "choices": Choice, "texts": TextRecord,
        "bandits": BanditRecord, "points": BanditPoint,
    }  # fmt: skip
    for name, kind in tables.items():
        hints = get_type_hints(kind)
        yield from (f"## {name}", "", _sentence(kind), "", "| column | type | meaning |", "|---|---|---|")
        for column in fields(kind):
            yield _cells([f"`{column.name}`", in_words(hints[column.name]), column.metadata["doc"]])
        yield ""
    yield from ("## learnability", "", "One row per feature, model, task and seed.", "")
    yield from (
        "| column | type |",
        "|---|---|",
        *(_cells([f"`{k}`", v]) for k, v in LEARNABILITY.items()),
        "",
    )


def methods() -> Iterator[str]:
    """The table of methods."""
    from rl_finetune import method_table

    rows = list(method_table())
    yield from _head("Methods", "What `proclivity methods ls` prints. Any of them is a `--method`.")
    yield _cells([*rows[0]])
    yield _cells(["---"] * len(rows[0])).replace(" ", "")
    yield from (_cells([_plain(value) for value in row.values()]) for row in rows)


def _head(title: str, *about: str) -> Iterator[str]:
    yield from (f"# {title}", "", _NOTE, "", *textwrap.wrap(" ".join(about), 115, break_on_hyphens=False), "")


def _table(first: str, kind: type) -> Iterator[str]:
    """The fields of a dataclass: type, default, and the words that stand with each."""
    from proclivity.study import Study

    told, hints, usual = documented(kind), get_type_hints(kind), documented(Study)
    yield from (f"| {first} | type | default | meaning |", "|---|---|---|---|")
    for f in fields(kind):
        about = f.metadata.get("help") or told.get(f.name) or usual.get(f.name, "")
        if not about and is_dataclass(hints[f.name]):
            about = _sentence(hints[f.name])
        choices = ", ".join(f"`{choice}`" for choice in f.metadata.get("choices", ()))
        names = f"{about} ({choices})" if choices else about
        yield _cells([f"`{f.metadata.get('key', f.name)}`", in_words(hints[f.name]), _default(f), names])
    yield ""


def documented(kind: type) -> dict[str, str]:
    """The string below each field of a class."""
    found = {}
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(body, ast.ClassDef)
    for line, after in zip(body.body, body.body[1:], strict=False):
        text = (
            after.value.value if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) else ""
        )
        if (
            isinstance(line, ast.AnnAssign)
            and isinstance(line.target, ast.Name)
            and isinstance(text, str)
            and text
        ):
            found[line.target.id] = " ".join(text.split())
    return found


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith("?") else ".")


def _sentence(kind: type) -> str:
    return " ".join((inspect.getdoc(kind) or "").split())


def in_words(hint: Any) -> str:
    """A type as one who writes YAML knows it."""
    inner = [in_words(a) for a in get_args(hint) if a is not ...] if get_origin(hint) is not Literal else []
    if get_origin(hint) is Literal:
        return ", ".join(f"`{value}`" if value != "" else '`""`' for value in get_args(hint))
    if get_origin(hint) is tuple:
        return f"list of {inner[0]}"
    if get_origin(hint) is dict:
        return f"mapping of {inner[0]} to {inner[1]}"
    if inner:
        return " or ".join(inner)
    return "section" if is_dataclass(hint) else _WORDS[hint]


def _default(f: Field[Any]) -> str:
    if f.default is not MISSING:
        return f"`{f.default}`" if f.default not in ("", ()) else "none"
    if f.default_factory is MISSING:
        return "required"
    return "empty" if f.default_factory is dict else "its defaults"


def _plain(value: Any) -> str:
    return "yes" if value is True else "" if value is False or value is None else str(value)


def _cells(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|').replace('<', '&lt;') for cell in cells)} |"


PAGES: dict[str, Callable[[], Iterator[str]]] = {
    "command-line.md": command_line,
    "settings.md": settings,
    "study-files.md": study_files,
    "records.md": records,
    "methods.md": methods,
}


def main(folder: str) -> None:
    """Write all pages."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    for name, page in PAGES.items():
        (Path(folder) / name).write_text("\n".join(page()).rstrip() + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
