"""The front door: command line, study files, store, runner."""

import os

# numpy's matrices are small here, and on a busy machine its threads wait a second a command for each other.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
