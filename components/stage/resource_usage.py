"""What a training takes of the machine: sampled while it works, for the register stage to show.

It differs from run to run, so it is no output of the stage: it lies in a folder of its own that
neither Git nor DVC tracks, with the hash of the history that the same run wrote. Where DVC has
brought that history back from its cache, there is no such file, or another run's.
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
SAMPLES = 512  # at most: then every other one goes, and half as many are taken from then on
FIRST_INTERVAL = 1.0  # seconds


class Sampler(Thread):
    """Samples the machine and this process, with all that it started, until it is stopped.

    Names are those of MLflow's own system metrics, where it has them.
    """

    def __init__(self, interval: float = FIRST_INTERVAL):
        super().__init__(daemon=True)
        self.samples: list[dict[str, float]] = []
        self._interval, self._ended = interval, Event()
        self._process = psutil.Process()
        self._last = time.monotonic(), self._take()[0]
        psutil.cpu_percent()  # the next call counts from here

    def run(self) -> None:
        """Sample at every interval."""
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
        share = max(seconds - spent, 0.0) / max(now - before, 1e-3)
        self.samples.append(
            {
                "milliseconds": round(time.time() * 1000),
                "cpu_utilization_percentage": psutil.cpu_percent(),
                "system_memory_usage_megabytes": round(memory.used / 1e6, 1),
                "system_memory_usage_percentage": memory.percent,
                "process_cpu_utilization_percentage": round(100 * share, 1),
                "process_memory_usage_megabytes": round(resident / 1e6, 1),
            }
        )

    def _take(self) -> tuple[float, int]:
        """Seconds of processor time that the processes which live have had, and their bytes."""
        seconds, resident = 0.0, 0
        for process in [self._process, *self._process.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                times = process.cpu_times()
                resident += process.memory_info().rss
                seconds += times.user + times.system
        return seconds, resident


@contextmanager
def sampled(history: Path) -> Iterator[None]:
    """Sample while the body trains; once it has written `history`, write what was sampled.

    The file is `usage/<stage>.json`, where the history is `<stage>.csv`.
    """
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
class Usage:
    """What a training took.

    Attributes:
        started, ended: milliseconds since 1970.
        samples: by time, each with its `milliseconds`.
    """

    started: int
    ended: int
    samples: list[dict[str, float]]


def read_usage(history: Path) -> Usage | None:
    """What the training that wrote `history` took, if it ran here."""
    path = FOLDER / f"{history.stem}.json"
    if not path.exists():
        return None
    content = read_json(path)
    if content.pop("history") != file_hash(history):
        return None
    return Usage(**content)
