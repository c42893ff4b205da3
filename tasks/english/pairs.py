"""The twenty English tasks by name."""

from __future__ import annotations

from tasks.answers import LabelAnswers
from tasks.english import agreement, fillergap, polarity
from tasks.errors import unknown
from tasks.task import Task
from tasks.text import TextInputs

_PHENOMENA = {"agreement": agreement, "polarity": polarity, "fillergap": fillergap}


def list_pairs() -> list[str]:
    """Names of all English tasks, sorted."""
    return sorted(f"english/{name}-{pair}" for name, module in _PHENOMENA.items() for pair in module.PAIRS)


def get_pair(pair: str, *, heldout: str = "none") -> Task:
    """The task named `PHENOMENON-PAIR`. `heldout`: what of the test rows is new, vocabulary or templates."""
    name = f"english/{pair}"
    if name not in list_pairs():
        raise unknown("task", name, list_pairs())
    phenomenon, _, rest = pair.partition("-")
    module = _PHENOMENA[phenomenon]
    target, spurious = module.TARGET, module.SPURIOUS[rest.rpartition("-")[2]]
    missing = fillergap.MISSING.get(rest, ()) if module is fillergap else ()
    # In a base pair of filler-gap `who-iff-gap` is the target by another name, and no third feature.
    features = (target, *(f for key, f in module.SPURIOUS.items() if (key, rest[:4]) != ("none", "base")))
    inputs = TextInputs(module.grammar(rest, heldout), target, spurious, missing, catalogue=features)
    return Task(name, target, spurious, inputs, LabelAnswers(), missing=missing)
