"""Start the processes that train together, and report what one of them fails with.

`torchrun` starts them just as well: then nothing is launched here.
"""

import ctypes
import logging
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from torch import distributed as dist
from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException, Std
from torch.distributed.elastic.multiprocessing.errors import (
    ChildFailedError,
    ProcessFailure,
    record,
)
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from components.common.errors import InputError
from components.training import distributed as parallel
from components.training.settings import TrainSettings

DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG of Linux's prctl


def together(work: Callable[[], None], module: str, settings: TrainSettings) -> None:
    """Do `work` in so many processes of `module`, whose command line is this process's own.

    Raises:
        InputError: a process has raised it, or the machine has too few GPUs, or torchrun has
            started another number of processes.
    """
    if "TORCHELASTIC_RUN_ID" in os.environ:  # one of them
        _take_part(work, settings)
    elif settings.processes > 1:
        device(settings)
        _launch(module, settings.processes)
    else:
        work()


def device(settings: TrainSettings) -> torch.device:
    """Where this process trains.

    Raises:
        InputError: the machine has fewer GPUs than processes.
    """
    if settings.device == "cpu":
        return torch.device("cpu")
    if (found := torch.cuda.device_count()) < settings.processes:
        raise InputError(
            f"train.device: cuda takes a GPU for each of {settings.processes} processes, PyTorch "
            f"found {found}. Set train.device to cpu, or train.processes to fewer"
        )
    return torch.device("cuda", parallel.rank())


def _launch(module: str, processes: int) -> None:
    loopback = next(name for _, name in socket.if_nameindex() if name.startswith("lo"))
    os.environ.setdefault("GLOO_SOCKET_IFNAME", loopback)
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # as torchrun; params.yaml's threads decide
    with tempfile.TemporaryDirectory() as folder:
        silent = {number: Std.ALL for number in range(1, processes)}
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=processes,
            run_id="train",
            rdzv_backend="c10d",
            rdzv_endpoint="127.0.0.1:0",
            local_addr="127.0.0.1",
            max_restarts=0,
            logs_specs=DefaultLogsSpecs(log_dir=folder, redirects=silent),
        )
        logging.disable()  # the launcher's own messages repeat what is reported here
        try:
            elastic_launch(config, sys.executable)("-m", module, *sys.argv[1:])
        except ChildFailedError as error:
            _report(*error.get_first_failure(), Path(folder))
        except SignalException as error:  # the processes are gone; now this one
            signal.signal(error.sigval, signal.SIG_DFL)
            os.kill(os.getpid(), error.sigval)
        finally:
            logging.disable(logging.NOTSET)


def _report(number: int, failure: ProcessFailure, folder: Path) -> None:
    """Fail as process `number` has failed."""
    if isinstance(failure.message, dict):  # it has recorded an exception
        if failure.exitcode == 2:
            raise InputError(failure.message["message"].removeprefix("InputError: "))
        said = failure.message["extraInfo"]["py_callstack"]
    else:
        said = "".join(path.read_text() for path in folder.rglob(f"{number}/stderr.log"))
    print(
        f"{said}process {number} of the training processes failed, exit code {failure.exitcode}",
        file=sys.stderr,
    )
    raise SystemExit(1)


def _take_part(work: Callable[[], None], settings: TrainSettings) -> None:
    """Do the work as one of the processes; an error is recorded for who launched them to report."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(DIE_WITH_PARENT, signal.SIGKILL)
    try:
        record(_joined)(work, settings)
    except InputError:
        raise SystemExit(2) from None
    except Exception:
        raise SystemExit(1) from None


def _joined(work: Callable[[], None], settings: TrainSettings) -> None:
    if (started := int(os.environ["WORLD_SIZE"])) != settings.processes:
        raise InputError(
            f"torchrun has started {started} processes, train.processes is {settings.processes}. "
            "The weights depend on it: set train.processes in params.yaml to the number started"
        )
    if settings.device == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group({"cpu": "gloo", "cuda": "nccl"}[settings.device])
    if not parallel.first():
        logging.getLogger().setLevel(logging.WARNING)
    try:
        work()
    finally:
        dist.destroy_process_group()
