"""A campaign of faults through the real command line: `python -m benchmarks.soak`.

Every fault is followed by a look at the folder: nothing finished lost or changed or done again, the right
exit status, words that name the cause, no process left; and each study is then gone on with to its end, where
its records must be those of a study that nothing disturbed. Anything else is a violation: it is told, the
folder is kept, and the exit status is 1.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.soak import damage, kills, real
from benchmarks.soak.campaign import Campaign, Fault

FAULTS: dict[str, Fault] = {
    "runners": kills.runners,
    "workers": kills.workers,
    "two-runners": kills.two_runners,
    "ray": kills.ray,
    "paused": kills.paused,
    "interrupted": kills.interrupted,
    "records": damage.records,
    "full-disk": damage.full_disk,
    "read-only": damage.read_only,
    "clocks": damage.clocks,
    "real": real.killed,
    "reward": real.reward,
    "weights": real.weights,
    "cache": real.cache,
}


def main() -> int:
    about = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    about.add_argument("--seed", type=int, help="of the campaign (default: drawn, and printed)")
    about.add_argument("--kills", type=int, default=200, help="processes killed in all (default: 200)")
    about.add_argument(
        "--only", nargs="+", choices=FAULTS, default=list(FAULTS), metavar="FAULT", help=", ".join(FAULTS)
    )
    about.add_argument("--json", action="store_true", help="print the log as JSON")
    about.add_argument(
        "--out", type=Path, default=Path("out/soak.json"), help="the log (default: out/soak.json)"
    )
    arguments = about.parse_args()
    seed = int.from_bytes(os.urandom(3), "big") if arguments.seed is None else arguments.seed
    print(f"seed {seed}", file=sys.stderr)
    folder = Path(tempfile.mkdtemp(prefix="soak-"))
    folder.chmod(0o755)
    campaign = Campaign(seed, folder, arguments.kills)
    try:
        for name in arguments.only:
            print(f"\n{name} ", end="", file=sys.stderr, flush=True)
            FAULTS[name](campaign)
            campaign.write(arguments.out, machine())
    except KeyboardInterrupt:
        print("\nstopped; what was seen until now:", file=sys.stderr)
    print(file=sys.stderr)
    campaign.write(arguments.out, machine())
    violations = campaign.violations()
    if arguments.json:
        print(arguments.out.read_text(), end="")
    else:
        print(table(campaign))
    for line in violations:
        print(f"violation: {line}", file=sys.stderr)
    if violations:
        print(f"the folders are kept in {folder}", file=sys.stderr)
    else:
        shutil.rmtree(folder)
    return 1 if violations else 0


def machine() -> dict[str, object]:
    """Where and when a campaign ran."""
    return {
        "system": platform.platform(),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
    }


def table(campaign: Campaign) -> str:
    """The faults counted, as Markdown."""
    lines = ["| fault | faults | looked at | all held | what was seen |", "|---|---:|---:|---:|---|"]
    for row in campaign.rows():
        lines.append("| " + " | ".join(str(value) for value in row.values()) + " |")
    seconds = time.monotonic() - campaign.started
    return "\n".join([*lines, "", f"seed {campaign.seed}, {seconds / 60:.0f} minutes"])


if __name__ == "__main__":
    raise SystemExit(main())
