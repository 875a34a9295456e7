"""Launch the processes of a distributed training, and report why one of them failed.

`torchrun` can launch them as well; then nothing is launched here.
"""

import logging
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import torch
from torch import distributed as dist
from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException, Std
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, record
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from components.common.errors import InputError
from components.training import distributed

Device = Literal["cpu", "cuda"]  # a GPU per process with `cuda`


def launch(work: Callable[[], None], module: str, processes: int, device: Device) -> None:
    """Run `work` in all processes; those launched run `module` with this process's command line.

    Raises:
        InputError: a process has raised it, or the machine has too few GPUs, or torchrun has
            started another number of processes.
    """
    if "TORCHELASTIC_RUN_ID" in os.environ:  # one of them
        _take_part(work, processes, device)
    elif processes > 1:
        training_device(processes, device)
        _launch(module, processes)
    else:
        work()


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
            _report(error, Path(folder))
        except SignalException as error:  # the processes are gone; now this one
            signal.signal(error.sigval, signal.SIG_DFL)
            os.kill(os.getpid(), error.sigval)
        finally:
            logging.disable(logging.NOTSET)


def _report(error: ChildFailedError, folder: Path) -> None:
    """Fail in the way in which the first process failed."""
    number, failure = error.get_first_failure()
    message: Any = failure.message  # declared a string; of a recorded exception it is a mapping
    if isinstance(message, dict):
        if failure.exitcode == 2:
            raise InputError(message["message"].removeprefix("InputError: "))
        said = message["extraInfo"]["py_callstack"]
    else:
        said = "".join(path.read_text() for path in folder.rglob(f"{number}/stderr.log"))
    print(
        f"{said}process {number} of the training processes failed, exit code {failure.exitcode}",
        file=sys.stderr,
    )
    raise SystemExit(1)


def _take_part(work: Callable[[], None], processes: int, device: Device) -> None:
    """Do the work as one of the processes; record an error for the launcher to report."""
    try:
        record(_joined)(work, processes, device)
    except InputError:
        raise SystemExit(2) from None
    except Exception:
        raise SystemExit(1) from None


def _joined(work: Callable[[], None], processes: int, device: Device) -> None:
    if (started := int(os.environ["WORLD_SIZE"])) != processes:
        raise InputError(
            f"torchrun has started {started} processes, train.processes is {processes}. The "
            "weights depend on it: set train.processes in params.yaml to the number started"
        )
    if device == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group({"cpu": "gloo", "cuda": "nccl"}[device])
    if not distributed.is_main_process():
        logging.getLogger().setLevel(logging.WARNING)
    try:
        work()
    finally:
        dist.destroy_process_group()
