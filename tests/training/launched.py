"""A stage whose processes meet and then fail as the command line says."""

import os
import signal
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import torch

from components.common.errors import InputError
from components.common.files import write_text
from components.stage.arguments import Arguments, option, output_path
from components.stage.settings import Settings
from components.stage.stage import Stage
from components.training import distributed
from components.training.determinism import make_deterministic
from components.training.launch import launch

LARGE = torch.zeros(1000, 1000)  # enough for several threads


class Processes(Settings):
    """Keys of the section `train`."""

    processes: int
    device: Literal["cpu", "cuda"]


class LaunchedSettings(Settings):
    """What the stage reads of params.yaml."""

    threads: int
    train: Processes


@dataclass(frozen=True, kw_only=True)
class LaunchedArguments(Arguments):
    """The command line."""

    out: Path = output_path("folder, the id of each process")
    fail: str = option("how")


def meet(arguments: LaunchedArguments) -> str:
    """Write the id of the process, and fail; else return a number that all have computed."""
    write_text(arguments.out / f"{distributed.rank()}", str(os.getpid()))
    distributed.barrier()
    how, last = arguments.fail, distributed.rank() == distributed.world_size() - 1
    if how == "input everywhere" or (how == "input" and last):
        raise InputError("the label is odd")
    if how == "fault" and last:
        raise RuntimeError("out of luck")
    if how == "killed" and last:
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "asleep":
        time.sleep(600)
    total = LARGE.exp() + distributed.rank()
    distributed.all_reduce([total])
    return f"of all processes: {total.mean():g}"


def main(arguments: LaunchedArguments, settings: LaunchedSettings) -> None:
    """Run the stage."""
    work = partial(meet, arguments)
    make_deterministic(0, settings.threads)
    LARGE.exp()  # in the threads of this process
    print(launch(work, settings.train.processes, settings.train.device))


STAGE = Stage(__doc__, LaunchedArguments, lambda _: LaunchedSettings, main)

if __name__ == "__main__":
    STAGE.main()
