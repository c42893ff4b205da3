"""The real command line with fake jobs behind it: `python driver.py ARGUMENTS`."""

import signal

from proclivity import composition
from proclivity.cli import main

composition.JOBS = "fake_jobs"

if __name__ == "__main__":
    # A shell without job control starts what it puts in the background with this signal ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    raise SystemExit(main())
