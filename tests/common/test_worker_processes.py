"""Jobs are shared among processes without a change of their results."""

import os

import pytest

from components.common.errors import InputError
from components.common.worker_processes import run_jobs


def power(base: int, exponent: int) -> tuple[int, int]:
    return base**exponent, os.getpid()


def refuse(name: str) -> None:
    raise InputError(f"{name} is bad")


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_results_have_the_order_of_the_jobs(workers):
    found = run_jobs(power, [(2, 3), (3, 2), (5, 1)], workers)
    assert [value for value, _ in found] == [8, 9, 5]


@pytest.mark.parametrize(
    ("jobs", "workers", "is_shared"), [(2, 1, False), (1, 2, False), (2, 2, True)]
)
def test_processes_start_only_where_work_can_be_shared(jobs, workers, is_shared):
    processes = {process for _, process in run_jobs(power, [(1, 1)] * jobs, workers)}
    assert (os.getpid() not in processes) == is_shared


@pytest.mark.parametrize("workers", [1, 2])
def test_errors_of_jobs_reach_the_caller(workers):
    with pytest.raises(InputError, match="one is bad"):
        list(run_jobs(refuse, [("one",), ("two",)], workers))


def test_no_job_has_no_result():
    assert list(run_jobs(power, [], 2)) == []
