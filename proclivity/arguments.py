"""argparse, with the nearest valid name on a typo and options that are built only when asked for."""

from __future__ import annotations

import argparse
import sys
import types
from collections.abc import Callable, Collection, Sequence
from dataclasses import MISSING, fields
from typing import Any, Literal, NoReturn, Union, get_args, get_origin, get_type_hints

from tasks.errors import LARGEST_SEED, UserError, seed_or_error, unknown


class Parser(argparse.ArgumentParser):
    """A parser whose every complaint is one UserError.

    `late(parser)` adds options that are dear to find out; it is called when this very command is parsed.
    """

    def __init__(self, late: Callable[[Parser], None] | None = None, **options: Any) -> None:
        super().__init__(allow_abbrev=False, **options)
        self._late = late

    def parse_known_args(self, args=None, namespace=None):  # type: ignore[no-untyped-def]
        """argparse's own, after a look for options that do not exist."""
        if self._late is not None:
            late, self._late = self._late, None
            late(self)
        if self._subparsers is None:
            self._refuse_unknown(args)
        namespace, extras = super().parse_known_args(args, namespace)
        if extras:
            self.error(f"unexpected {extras[0]!r}")
        return namespace, extras

    def _refuse_unknown(self, args: Sequence[str]) -> None:
        for argument in args:
            if argument == "--":
                return
            option = argument.partition("=")[0]
            if option.startswith("--") and option not in self._option_string_actions:
                self.error(str(unknown("option", option, self._option_string_actions)))

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            kind = (action.metavar if isinstance(action.metavar, str) else action.dest).lower()
            self.error(str(unknown(kind, value, map(str, action.choices))))

    def _print_message(self, message: str, file: Any = None) -> None:
        (file or sys.stderr).write(message)  # argparse's own keeps silent about a full disk

    def error(self, message: str) -> NoReturn:
        """Say what is wrong; `main` shows it and exits with 2."""
        raise UserError(f"{message} (see {self.prog} --help)")


def a_seed(text: str) -> int:
    """The type of an option that takes a seed."""
    try:
        return seed_or_error(int(text))
    except (UserError, ValueError) as e:
        told = f"must be a whole number from 0 to {LARGEST_SEED}, not {text}"
        raise argparse.ArgumentTypeError(told) from e


def a_count(text: str) -> int:
    """The type of an option that takes a whole number of at least 1."""
    try:
        count = int(text)
    except ValueError:
        count = 0
    if count < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1, not {text}")
    return count


def rates(text: str) -> tuple[float, ...]:
    """The type of an option that takes numbers separated by commas."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as e:
        raise argparse.ArgumentTypeError(f"must be numbers such as 0,0.25, not {text}") from e


def replicas(text: str) -> int:
    """The type of --replicas: a number, or auto (0), which is to be found out."""
    if text != "auto" and not (text.isdecimal() and int(text)):
        raise argparse.ArgumentTypeError(f"must be auto or a whole number of 1 or more, not {text}")
    return 0 if text == "auto" else int(text)


def add_group(commands: Any, name: str, about: str) -> Any:
    """A command that is followed by another; what the others are added to."""
    return commands.add_parser(name, help=about, description=about).add_subparsers(
        metavar="COMMAND", required=True
    )


def add_command(commands: Any, name: str, body: str, about: str, **options: Any) -> Parser:
    """A command, with what all of them take. `body` is the function that answers, as module:function."""
    command: Parser = commands.add_parser(name, help=about, description=about, **options)
    command.set_defaults(body=body)
    command.add_argument("--json", action="store_true", help="print one JSON value")
    command.add_argument(
        "--include", action="append", metavar="PATH", help="a file with tasks or methods of your own"
    )
    return command


def add_fields(parser: argparse._ActionsContainer, kind: type, only: Collection[str] = ()) -> None:
    """An option for each field of a dataclass: its name, type, default and `metadata["help"]`.

    Options that are not given are absent from the namespace. `only`: the fields that get one, by default all.
    """
    hints = get_type_hints(kind)
    for field in fields(kind):
        if only and field.name not in only:
            continue
        default = None if field.default is MISSING else field.default
        about = f"{field.metadata.get('help', '')} (default: {default})".replace("%", "%%").strip()
        flag = "--" + field.name.replace("_", "-")
        parser.add_argument(
            flag, dest=field.name, default=argparse.SUPPRESS, help=about, **_reads(hints[field.name])
        )


def _reads(hint: Any) -> dict[str, Any]:
    if get_origin(hint) in (Union, types.UnionType):
        hint = next(a for a in get_args(hint) if a is not type(None))
    if get_origin(hint) is Literal:
        return {"choices": get_args(hint), "type": type(get_args(hint)[0])}
    if hint is bool:
        return {"action": argparse.BooleanOptionalAction}
    return {"type": hint, "metavar": hint.__name__.upper()}
