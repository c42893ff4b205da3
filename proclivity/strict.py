"""Strict reading of YAML into frozen dataclasses: a mistake is one line with file, line, key and remedy."""

from __future__ import annotations

import re
import types
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import yaml

from tasks.errors import UserError, unknown

T = TypeVar("T")
Steps = tuple[str | int, ...]
"""Where a value stands: the keys and positions that lead to it."""


# safe_load that also reads 1e-3 as a number, and knows the line of every value that is none.
class _Loader(yaml.SafeLoader):  # type: ignore[misc]
    def construct_object(self, node: Any, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except ValueError as e:  # a date in month 13
            raise yaml.constructor.ConstructorError(None, None, str(e), node.start_mark) from e


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+"), list("-+.0123456789")
)


class Document:
    """A YAML file: its value, and on which line each part of it stands."""

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        self._root: yaml.Node | None = None
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as e:
            raise UserError(f"{path}: cannot be read ({getattr(e, 'strerror', None) or 'not text'})") from e
        try:
            self._root = yaml.compose(text, _Loader)
            self._refuse(self._root)
            self.value = yaml.load(text, _Loader)
        except yaml.YAMLError as e:
            mark = getattr(e, "problem_mark", None)
            number = mark.line + 1 if mark else 1 + text.count("\n", 0, getattr(e, "position", 0))
            problem = getattr(e, "problem", None) or getattr(e, "reason", None) or e
            raise UserError(f"{path} line {number}: not YAML ({problem})") from e
        except RecursionError as e:
            raise UserError(f"{path} line 1: nested too deeply") from e

    def error(self, steps: Steps, message: object) -> UserError:
        """One line: file, line, dotted key, message."""
        return UserError(f"{self.name} line {self._line(steps)}: {dotted(steps)}{message}")

    def _line(self, steps: Steps) -> int:
        node, line = self._root, 1
        for step in steps:
            if isinstance(node, yaml.MappingNode):
                found = [(k, v) for k, v in node.value if k.value == str(step)]
                if not found:
                    break
                line, node = found[0][0].start_mark.line + 1, found[0][1]
            elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
                node = node.value[step]
                line = node.start_mark.line + 1
        return line

    def _refuse(self, node: yaml.Node | None, within: tuple[yaml.Node, ...] = ()) -> None:
        """Keys given twice, keys that are no plain value, and values that hold themselves."""
        if any(node is outer for outer in within):
            raise self._refused(node, "it refers to a value that it is itself a part of")
        within = (*within, node)
        if isinstance(node, yaml.MappingNode):
            seen = set()
            for key, value in node.value:
                if not isinstance(key, yaml.ScalarNode):
                    raise self._refused(key, "a key must be plain text; text in braces or brackets is quoted")
                if key.value in seen:
                    raise self._refused(key, f"{key.value!r} is given twice")
                seen.add(key.value)
                self._refuse(value, within)
        elif isinstance(node, yaml.SequenceNode):
            for item in node.value:
                self._refuse(item, within)

    def _refused(self, node: Any, why: str) -> UserError:
        return UserError(f"{self.name} line {node.start_mark.line + 1}: {why}")


class Plain(Document):
    """A value that is no file of its own (a definition read back from study.json)."""

    def __init__(self, name: str, value: object) -> None:
        self.name, self.value = name, value

    def error(self, steps: Steps, message: object) -> UserError:
        return UserError(f"{self.name}: {dotted(steps)}{message}")


def dotted(steps: Steps) -> str:
    return ".".join(map(str, steps)) + ": " if steps else ""


def build(kind: type[T], value: object, document: Document, steps: Steps = ()) -> T:
    """A frozen dataclass out of a mapping: unknown keys, missing keys, wrong types and ranges are refused.

    A dataclass says what is out of range by raising UserError from `__post_init__`, the field's name first if
    it is one field's fault ("rates: ..."). A field whose YAML key is a word of Python's own has the key as
    metadata["key"].
    """
    if not isinstance(value, dict):
        raise document.error(steps, f"must be a mapping, not {_show(value)}")
    known = {field.metadata.get("key", field.name): field for field in fields(kind)}  # type: ignore[arg-type]
    hints = get_type_hints(kind)
    for key in value:
        if key not in known:
            raise document.error((*steps, key), unknown("key", key, known))
    for name, field in known.items():
        if name not in value and field.default is MISSING and field.default_factory is MISSING:
            raise document.error(steps, f"{name!r} is missing")
    read = {
        known[key].name: _read(hints[known[key].name], item, document, (*steps, key))
        for key, item in value.items()
    }
    try:
        return kind(**read)
    except UserError as e:
        head = str(e).partition(":")[0]
        if head in value:
            raise document.error((*steps, head), str(e).partition(": ")[2]) from e
        raise document.error(steps, e) from e


def _read(hint: Any, value: object, document: Document, steps: Steps) -> Any:
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Any:
        return value
    if origin in (Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        chosen = [a for a in arguments if a is not type(None)]
        for option in chosen[:-1]:
            try:
                return _read(option, value, document, steps)
            except UserError:
                continue
        return _read(chosen[-1], value, document, steps)
    if origin is Literal:
        if value not in arguments:
            raise document.error(steps, unknown("value", value, map(str, arguments)))
        return value
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise document.error(steps, f"must be a list, not {_show(value)}")
        return tuple(_read(arguments[0], item, document, (*steps, i)) for i, item in enumerate(value))
    if origin is dict:
        if not isinstance(value, dict):
            raise document.error(steps, f"must be a mapping, not {_show(value)}")
        return {str(k): _read(arguments[1], v, document, (*steps, k)) for k, v in value.items()}
    if is_dataclass(hint):
        return build(hint, value, document, steps)  # type: ignore[arg-type]
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        raise document.error(steps, f"must be {_KINDS[hint]}, not {_show(value)}")
    return value


_KINDS = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}


def _show(value: object) -> str:
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= 40 else text[:37] + "..."
