"""Does every method learn? The study `check-methods` through the command line; exit status 1 if one does not.

Run: python benchmarks/check_methods.py [--out FOLDER]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys

from analysis.pairs.tables import text_table


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", default="out/check-methods", help="folder of the study")
    folder = parser.parse_args().out
    proclivity = [sys.executable, "-m", "proclivity"]
    run = subprocess.run([*proclivity, "study", "run", "check-methods", "--out", folder])
    if run.returncode:
        return run.returncode
    told = subprocess.run([*proclivity, "analyze", folder, "--json"], stdout=subprocess.PIPE, check=True)
    rows = json.loads(told.stdout)[folder]["learnt"]
    print(text_table(rows))
    missed = [f"{row['method']} on {row['task']}" for row in rows if row["learnt"] < row["runs"]]
    print(f"{folder}: not learnt: {', '.join(missed)}" if missed else f"{folder}: all learnt")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
