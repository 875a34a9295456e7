"""Work that is shared among processes."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import starmap
from multiprocessing import get_context
from typing import Any, TypeVar

ResultT = TypeVar("ResultT")


def run_jobs(
    function: Callable[..., ResultT], jobs: Sequence[tuple[Any, ...]], workers: int
) -> Iterator[ResultT]:
    """Yield what a function returns of each job, the tuple of its arguments, in their order.

    Several jobs are done by as many forked processes, at most `workers`: function, arguments and
    results have to be picklable then.
    """
    count = min(workers, len(jobs))
    if count < 2:
        yield from starmap(function, jobs)
        return
    with ProcessPoolExecutor(count, get_context("fork")) as pool:
        yield from pool.map(function, *zip(*jobs, strict=True))
