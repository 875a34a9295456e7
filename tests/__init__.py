"""Tests."""

import os

# Here, before anything imports torch: several threads, also in the processes that tests start, wait
# for each other on a busy machine, and seconds become minutes.
os.environ.setdefault("OMP_NUM_THREADS", "1")
