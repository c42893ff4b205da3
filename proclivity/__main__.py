"""`python -m proclivity`."""

import os
import sys

if __name__ == "__main__":
    # Python looks for modules in the working folder first, which may hold a folder `tasks` of the user's own.
    home = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    if sys.path[:1] == [os.getcwd()] != [home]:
        del sys.path[0]
    from proclivity.cli import main

    raise SystemExit(main())
