"""Every benchmark of speed and memory, in one table.

    python -m benchmarks [--only NAME...] [--quick] [--json] [--out FILE] [--record] [--write-readme]

Exit status 1 when a benchmark failed; one over its limit is told and is no failure, for machines differ. What
is statistical and no matter of speed has commands of its own: known_truth, regression_coverage,
code_agreement, check_methods. `--write-readme` alone takes the numbers of an earlier `--out`.
"""

from __future__ import annotations

import os

from benchmarks.machine import ONE_THREAD, machine, one_thread

os.environ.update(ONE_THREAD)

import argparse
import json
import sys
import time
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from benchmarks.ratio import NotMeasured, Ratio
from benchmarks.told import HISTORY, Measured, record, table, verdict, write_json, write_readme

BENCHMARKS = {
    "step": "benchmarks.step_speed:ratios",
    "method": "benchmarks.method_speed:ratios",
    "probe": "benchmarks.probe_speed:ratios",
    "task": "benchmarks.task_speed:ratios",
    "bandit": "benchmarks.bandit_speed:ratios",
    "diversity": "benchmarks.diversity_speed:ratios",
    "store": "benchmarks.scaling:store_ratios",
    "workers": "benchmarks.scaling:workers_ratios",
    "ray": "benchmarks.scaling:ray_ratios",
    "replicas": "benchmarks.replica_speed:ratios",
    "replicas-gpu": "benchmarks.replica_speed:gpu_ratios",
    "compile": "benchmarks.compile_speed:ratios",
    "growth": "benchmarks.growth:ratios",
}
"""`module:function` of each; the function takes `quick` and gives a list of `Ratio`."""


def measure(name: str, quick: bool) -> list[Ratio]:
    """Run one benchmark."""
    module, _, function = BENCHMARKS[name].partition(":")
    found: list[Ratio] = getattr(import_module(module), function)(quick=quick)
    return found


def run(names: Sequence[str], quick: bool, out: Path) -> tuple[Measured, bool]:
    """Run benchmarks one after the other, writing what is there after each; and whether all were reached."""
    measured = Measured(machine(), quick)
    one_thread()
    try:
        for number, name in enumerate(names, 1):
            print(f"[{number}/{len(names)}] {name}", file=sys.stderr, flush=True)
            start = time.perf_counter()
            try:
                measured.ratios[name] = measure(name, quick)
            except NotMeasured as why:
                measured.not_measured[name] = str(why)
            except (Exception, SystemExit) as error:
                measured.failed[name] = f"{type(error).__name__}: {error}"
            measured.seconds[name] = round(time.perf_counter() - start, 1)
            write_json(measured, out)
    except KeyboardInterrupt:
        return measured, False
    return measured, True


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and tell."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=BENCHMARKS, help=", ".join(BENCHMARKS))
    parser.add_argument("--quick", action="store_true", help="smaller, in some minutes; never recorded")
    parser.add_argument("--json", action="store_true", help="print one JSON object in place of the table")
    parser.add_argument("--out", type=Path, default=Path("out/bench.json"), help="where the JSON goes")
    parser.add_argument("--record", action="store_true", help=f"append to {HISTORY.name}")
    parser.add_argument("--write-readme", action="store_true", help="put the table of --out into the README")
    asked = parser.parse_args(arguments)
    if asked.quick and (asked.record or asked.write_readme):
        parser.error("--quick is never recorded")
    if asked.write_readme and not (asked.only or asked.record) and asked.out.exists():
        write_readme(json.loads(asked.out.read_text(encoding="utf-8")))
        return 0
    names = asked.only or list(BENCHMARKS)
    measured, whole = run(names, asked.quick, asked.out)
    print(json.dumps(measured.plain(), indent=1) if asked.json else table(measured))
    if told := verdict(measured, names):
        print(told, file=sys.stderr)
    if asked.record:
        print(f"{record(measured)} lines appended to {HISTORY}", file=sys.stderr)
    if asked.write_readme:
        write_readme(measured.plain())
    return 0 if whole and not measured.failed else 130 if not whole else 1


if __name__ == "__main__":
    sys.exit(main())
