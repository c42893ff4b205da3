"""The real command line with cheap jobs behind it: `python -m benchmarks.soak.driver ARGUMENTS`."""

from __future__ import annotations

import os
import signal

from benchmarks.soak import stages

if stages.SIGNAL in os.environ:
    stages.watch_files()
if stages.CLOCK in os.environ:
    stages.jump()

if __name__ == "__main__":
    from proclivity import composition
    from proclivity.cli import main

    if stages.LEASE in os.environ:
        stages.hasten()
    composition.JOBS = "benchmarks.soak.cheap"
    # A shell without job control starts what it puts in the background with this signal ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    raise SystemExit(main())
