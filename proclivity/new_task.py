"""The file that `proclivity tasks new` writes: a working task of sentences, to be changed."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from tasks import list_tasks
from tasks.errors import UserError

_NAME = re.compile(r"[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*")
_TEMPLATE = '''"""NAME: is a sentence negated (the right answer), or does a time come first (the cue)?"""

from tasks import task, text_feature, text_pair

# A source is one way to fill the slots; it stands in one split only. The more sources, the better.
WORDS = {
    "who": "baker nurse pilot farmer singer lawyer poet judge miner guard tailor sailor".split(),
    "verb": "see hear find greet follow thank draw visit help call miss trust".split(),
    "whom": "dog cat horse child king queen thief friend girl boy bird clown".split(),
    "where": "gate lake market forest station harbour office school hall bridge".split(),
    "time": "today yesterday often later now once".split(),
}

# A feature is a name, a family (near copies share one), and when it holds, told from the text alone.
NEGATED = text_feature("negated", "negation", lambda text: " not " in text, "the sentence is negated")
TIMED = text_feature("timed", "time", lambda text: text.split()[0] in WORDS["time"], "a time comes first")


# The sentence of one source with each feature set as asked. Whatever else changes with a feature leaks it.
def compose(words, target, spurious):
    opening = words["time"] if spurious else "surely"
    polarity = "not" if target else "indeed"
    who, verb, whom, where = (words[slot] for slot in ("who", "verb", "whom", "where"))
    return f"{opening} the {who} did {polarity} {verb} the {whom} at the {where}"


@task("NAME")
def own():
    return text_pair("NAME", NEGATED, TIMED, WORDS, compose)
'''


def write_new_task(name: str, out: str | None) -> Path:
    """Write the file and return its path: `out`, or the last part of the name with .py."""
    if not _NAME.fullmatch(name):
        raise UserError(f"{name!r} is no name for a task: letters, digits, - and _, in parts divided by /")
    if name in list_tasks():
        raise UserError(f"the name {name!r} is taken; see proclivity tasks ls")
    path = Path(out or name.rpartition("/")[2].replace("-", "_") + ".py")
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(_TEMPLATE.replace("NAME", name))
    except FileExistsError:
        raise UserError(f"{path} exists and is left as it is; give another --out") from None
    except OSError as e:
        raise UserError(f"{path}: cannot be written: {e.strerror}") from None
    return path


def next_commands(name: str, path: Path) -> list[str]:
    """What to do with the file first."""
    mine = f"--include {shlex.quote(str(path))}"
    return [
        f"proclivity tasks validate {name} {mine}",
        f"proclivity finetune --task {name} {mine} --model MODEL --method sft",
    ]
