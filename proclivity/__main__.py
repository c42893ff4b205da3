"""`python -m proclivity`."""

from proclivity.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
