"""Processor time and memory of a learning stage, sampled while it runs.

Samples differ from run to run, so they are not an output of the stage: they lie in a folder that
neither Git nor DVC tracks, with the hash of the history that the same run wrote. Where DVC restored
the history from its cache, there is no such file, or one of another run.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

import psutil

from components.common.files import read_json, write_json
from components.common.hashing import file_hash

FOLDER = Path("usage")
SAMPLES = 512  # at most; then every other one is dropped and the interval doubles


class Sampler(Thread):
    """Samples the machine, this process and its children until it is stopped.

    Names are those of MLflow's system metrics where it has them; the interval is in seconds.
    """

    def __init__(self, interval: float = 1.0):
        super().__init__(daemon=True)
        self.samples: list[dict[str, float]] = []
        self._interval, self._ended = interval, Event()
        self._process = psutil.Process()
        self._last = time.monotonic(), self._take()[0]
        psutil.cpu_percent()  # the next call counts from here

    def run(self) -> None:
        """Take a sample per interval."""
        while not self._ended.wait(self._interval):
            self._sample()
            if len(self.samples) == SAMPLES:
                self.samples = self.samples[1::2]
                self._interval *= 2

    def stop(self) -> None:
        """Take a last sample."""
        self._ended.set()
        self.join()
        self._sample()

    def _sample(self) -> None:
        now, (seconds, resident) = time.monotonic(), self._take()
        before, spent = self._last
        self._last = now, seconds
        memory = psutil.virtual_memory()
        busy = max(seconds - spent, 0.0) / max(now - before, 1e-3)
        self.samples.append(
            {
                "milliseconds": round(time.time() * 1000),
                "cpu_utilization_percentage": psutil.cpu_percent(),
                "system_memory_usage_megabytes": round(memory.used / 1e6, 1),
                "system_memory_usage_percentage": memory.percent,
                "process_cpu_utilization_percentage": round(100 * busy, 1),
                "process_memory_usage_megabytes": round(resident / 1e6, 1),
            }
        )

    def _take(self) -> tuple[float, int]:
        """Return processor time in seconds and memory in bytes of all living processes."""
        seconds, resident = 0.0, 0
        for process in [self._process, *self._process.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                times = process.cpu_times()
                resident += process.memory_info().rss
                seconds += times.user + times.system
        return seconds, resident


@contextmanager
def sampled(history: Path) -> Iterator[None]:
    """Sample while the body trains and writes `<stage>.csv`; then write `usage/<stage>.json`."""
    started = time.time()
    sampler = Sampler()
    sampler.start()
    try:
        yield
    finally:
        sampler.stop()
    content = {
        "history": file_hash(history),
        "started": round(started * 1000),
        "ended": round(time.time() * 1000),
        "samples": sampler.samples,
    }
    write_json(FOLDER / f"{history.stem}.json", content)


@dataclass(frozen=True)
class ResourceUsage:
    """Resources used by one training; times are milliseconds since 1970, also in `samples`."""

    started: int
    ended: int
    samples: list[dict[str, float]]


def read_resource_usage(history: Path) -> ResourceUsage | None:
    """Return the usage of the training that wrote `history`; None if it did not run here."""
    path = FOLDER / f"{history.stem}.json"
    if not path.exists():
        return None
    content = read_json(path)
    if content.pop("history") != file_hash(history):
        return None
    return ResourceUsage(**content)
