"""Train in several processes, copies of this one, and report why one of them failed.

`torchrun` can start them as well; then none is started here.
"""

import logging
import os
import signal
import socket
import sys
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, TypeVar

import torch
from torch import distributed as dist
from torch._C._distributed_c10d import FileStore
from torch.multiprocessing.spawn import (
    ProcessContext,
    ProcessExitedException,
    ProcessRaisedException,
    start_processes,
)

from components.common.errors import InputError
from components.common.files import write_text
from components.training import distributed
from components.training.distributed import PeerLost
from components.training.settings import LoopSettings, OptimizerSettings

Device = Literal["cpu", "cuda"]  # a GPU per process with `cuda`
ResultT = TypeVar("ResultT")

MIN_ITEMS = 10_000  # in all epochs: fewer are not worth a second process
MIN_BATCH = 32  # batch normalisation sees half of it
PATIENCE = timedelta(days=1)  # with the first process, which validates alone
BACKENDS = {"cpu": "gloo", "cuda": "nccl"}


@dataclass(frozen=True)
class Group:
    """The processes that train together."""

    size: int
    device: Device
    folder: Path  # where they meet

    @property
    def mistake(self) -> Path:
        """File with the message of an `InputError` of another process than the first."""
        return self.folder / "mistake"

    def run(self, work: Callable[[], ResultT], rank: int) -> ResultT:
        """Return what the work returns, done as the process with a number."""
        if self.device == "cuda":
            torch.cuda.set_device(rank)  # of this thread
        store = FileStore(str(self.folder / "meeting"), self.size)
        with joined(self.device, store=store, rank=rank, world_size=self.size):
            return work()


def launch(work: Callable[[], ResultT], processes: int, device: Device = "cpu") -> ResultT:
    """Run `work` in so many processes; return what it returns in this one, which is the first.

    The others start as copies of this process, which must not have used a GPU, and end with `work`.
    Those of torchrun end the stage with it.

    Raises:
        InputError: a process has raised it, or torchrun has started another number of processes.
    """
    if "TORCHELASTIC_RUN_ID" in os.environ:
        return _work_under_torchrun(work, processes, device)
    if processes == 1:
        return work()
    loopback = next(name for _, name in socket.if_nameindex() if name.startswith("lo"))
    os.environ.setdefault("GLOO_SOCKET_IFNAME", loopback)
    with TemporaryDirectory() as folder:
        group = Group(processes, device, Path(folder))
        others: Any = start_processes(
            _work_along, (work, group), processes - 1, join=False, start_method="fork"
        )
        try:
            return _work_first(work, group, others)
        finally:
            for process, traceback in zip(others.processes, others.error_files, strict=True):
                process.kill()
                process.join()
                Path(traceback).unlink(missing_ok=True)


@contextmanager
def joined(device: Device, **placed: Any) -> Iterator[None]:
    """Make this process one of several, placed as `init_process_group` takes it."""
    dist.init_process_group(BACKENDS[device], timeout=PATIENCE, **placed)
    try:
        yield
    finally:
        dist.destroy_process_group()


def processes_of(loop: LoopSettings, optimizer: OptimizerSettings, items: int) -> int:
    """Return how many processes train together: what settings say, or two if that saves time.

    Settings and data decide, whatever the machine, and with them the weights.

    Args:
        items: that an epoch trains.
    """
    if loop.processes is not None:
        return loop.processes
    is_long = items * optimizer.epochs >= MIN_ITEMS and optimizer.batch_size >= MIN_BATCH
    return 2 if is_long else 1


def training_device(processes: int, device: Device) -> torch.device:
    """Return the device of this process; raise `InputError` if there are fewer GPUs than needed."""
    if device == "cpu":
        return torch.device("cpu")
    if (found := torch.cuda.device_count()) < processes:
        raise InputError(
            f"train.device: cuda needs a GPU for each of {processes} processes, PyTorch found "
            f"{found}. Set train.device to cpu, or lower train.processes"
        )
    return torch.device("cuda", distributed.rank())


def _work_first(work: Callable[[], ResultT], group: Group, others: ProcessContext) -> ResultT:
    """Do the work as the first process, and wait for the others."""
    try:
        result = group.run(work, 0)
    except PeerLost:
        _report(others, group)
        raise
    _report(others, group)
    return result


def _work_along(index: int, work: Callable[[], object], group: Group) -> None:
    """Do the work as another process; the first one reports what fails.

    In a new thread: those with which torch computes belong to the thread that used them first, and
    a copy of the process has none of them.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # which the end of the first process sends
    logging.disable()
    warnings.simplefilter("ignore")
    try:
        with ThreadPoolExecutor(1) as executor:
            executor.submit(group.run, work, index + 1).result()
    except PeerLost:
        pass
    except InputError as error:
        write_text(group.mistake, str(error))
        raise SystemExit(2) from None


def _report(others: ProcessContext, group: Group) -> None:
    """Wait for the other processes, and fail in the way in which the first of them failed."""
    try:
        while not others.join():
            pass
    except ProcessExitedException as error:
        if group.mistake.exists():
            raise InputError(group.mistake.read_text()) from None
        _end(error.error_index + 1, error.exit_code)
    except ProcessRaisedException as error:
        _end(error.error_index + 1, 1, error.msg.split("\n", 3)[-1])


def _end(rank: int, code: int, said: str = "") -> None:
    message = f"{said}process {rank} of the training processes failed, exit code {code}"
    print(message, file=sys.stderr)
    raise SystemExit(1)


def _work_under_torchrun(work: Callable[[], ResultT], processes: int, device: Device) -> ResultT:
    if (started := int(os.environ["WORLD_SIZE"])) != processes:
        raise InputError(
            f"torchrun has started {started} processes, but {processes} train together. The "
            "weights depend on it: set `processes` in params.yaml to the number started"
        )
    if device == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    with joined(device):
        if not distributed.is_main_process():
            logging.disable()
        result, is_done = work(), not distributed.is_main_process()
    if is_done:
        raise SystemExit(0)
    return result
