"""What a campaign is: seeded faults, each with what was seen of it, counted in one table."""

from __future__ import annotations

import json
import random
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import yaml

from benchmarks.soak.field import Field, results

FULL_SIZE = 100
"""Kills from which on a campaign is no short one."""
SYMBOLS = {"draw": 8, "seed": 1, "from": "symbolic"}
CHEAP: dict[str, Any] = {
    "name": "soak",
    "paper": "cruz2023",
    "question": "Is anything lost?",
    "scale": "smoke",
    "primary": {
        "claim": "H1a",
        "arm": "main",
        "method": "rloo",
        "statistic": "spearman",
        "test": "family_permutation",
        "pairs": "all",
    },
    "models": ["embedded/symbols"],
    "pairs": SYMBOLS,
    "arms": {
        "main": {"methods": ["rloo"], "evidence": {"rates": [0, 0.1, 0.2, 0.3]}, "seeds": [0, 1]},
        "learned": {
            "methods": ["sft"],
            "evidence": {"rates": [0, 0.2]},
            "reward_model": {"evidence": {"rates": [0]}},
            "pairs": "first 4",
        },
    },
}
"""A study of cheap jobs: probes, runs, reward models that are kept, and runs that need them."""


@dataclass(frozen=True)
class Outcome:
    """What came of one fault."""

    fault: str
    what: str
    """What was seen, in a few words."""
    wrong: list[str]
    """What should hold and did not; empty when it was survived."""
    at_s: float
    faults: int = 1
    """How many there were before it was looked at: a command can lose many workers."""


@dataclass
class Campaign:
    """The state of a campaign: its generator, its folder, what came of its faults."""

    seed: int
    folder: Path
    kills: int
    outcomes: list[Outcome] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)
    _undisturbed: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    _fields: int = 0

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)

    def study(self, name: str = "cheap", value: Mapping[str, Any] = CHEAP) -> Path:
        path = self.folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump(dict(value), sort_keys=False))
        return path

    def field(self, study: Path, **options: Any) -> Field:
        """A new study folder."""
        self._fields += 1
        return Field(self.folder / f"field-{self._fields}", study, **options)

    def undisturbed(self, study: Path, **options: Any) -> Mapping[str, Any]:
        """The records of a study that nothing disturbs, made once."""
        if study.name not in self._undisturbed:
            found = Field(self.folder / f"undisturbed-{study.stem}", study, **options)
            wrong = found.ended(found.run(), 0)
            if wrong:
                raise SystemExit(f"the study {study} fails undisturbed: {wrong[0]}")
            self._undisturbed[study.name] = results(found.folder)
        return self._undisturbed[study.name]

    def told(self, fault: str, what: str, wrong: list[str], faults: int = 1) -> None:
        """Note what came of a fault, or of several of one kind."""
        at_s = round(time.monotonic() - self.started, 1)
        self.outcomes.append(Outcome(fault, what, wrong, at_s, faults))
        sign = "." if not wrong else f"\n{fault} ({what}): {'; '.join(wrong[:3])}\n"
        print(sign, end="", file=sys.stderr, flush=True)

    def close(self, found: Field, wrong: list[str]) -> None:
        """Remove a folder in which all was well."""
        if not wrong and not any(outcome.wrong for outcome in self.outcomes):
            shutil.rmtree(found.base, ignore_errors=True)

    # What it says

    def violations(self) -> list[str]:
        return [f"{o.fault} ({o.what}): {line}" for o in self.outcomes for line in o.wrong]

    def rows(self) -> list[dict[str, Any]]:
        """A row a fault: how many, how often it was looked at, how often all held, what was seen."""
        rows = []
        for fault in dict.fromkeys(outcome.fault for outcome in self.outcomes):
            of = [outcome for outcome in self.outcomes if outcome.fault == fault]
            seen = Counter(outcome.what for outcome in of).most_common()
            what = ", ".join(f"{n} {name}" for name, n in seen)
            counts = {"faults": sum(o.faults for o in of), "looks": len(of)}
            rows.append({"fault": fault, **counts, "good": sum(not o.wrong for o in of), "seen": what})
        return rows

    def write(self, path: Path, machine: Mapping[str, Any]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        value = {
            "seed": self.seed,
            "kills": self.kills,
            "seconds": round(time.monotonic() - self.started, 1),
            "machine": dict(machine),
            "faults": self.rows(),
            "violations": self.violations(),
            "log": [asdict(outcome) for outcome in self.outcomes],
        }
        path.write_text(json.dumps(value, indent=1) + "\n")


Fault = Callable[[Campaign], None]
