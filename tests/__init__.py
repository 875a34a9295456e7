"""Tests."""

import os
import signal

# Here, before anything imports torch: several threads, also in the processes that tests start, wait
# for each other on a busy machine, and seconds become minutes.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# A script that runs tests in the background makes them, and what they start, ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)
