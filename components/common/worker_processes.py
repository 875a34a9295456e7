"""Work that is shared among processes."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import starmap
from multiprocessing import get_context
from typing import Any, TypeVar

ResultT = TypeVar("ResultT")
Jobs = Sequence[tuple[Any, ...]]

_inherited: list[tuple[Callable, Jobs]] = []  # in a forked process: what it has to do


def run_jobs(function: Callable[..., ResultT], jobs: Jobs, workers: int) -> Iterator[ResultT]:
    """Yield what a function returns of each job, the tuple of its arguments, in their order.

    Several jobs are done by as many forked processes, at most `workers`, which inherit the function
    and the jobs; results have to be picklable then.
    """
    count = min(workers, len(jobs))
    if count < 2:
        yield from starmap(function, jobs)
        return
    fork = get_context("fork")
    with ProcessPoolExecutor(count, fork, _inherited.append, ((function, jobs),)) as pool:
        yield from pool.map(_run, range(len(jobs)))


def _run(number: int) -> Any:
    function, jobs = _inherited[-1]
    return function(*jobs[number])
