"""The real command line with fake jobs behind it: `python driver.py ARGUMENTS`."""

from proclivity import composition
from proclivity.cli import main

composition.JOBS = "fake_jobs"

if __name__ == "__main__":
    raise SystemExit(main())
