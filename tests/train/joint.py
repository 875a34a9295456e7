"""A stage whose processes meet, and then fail in the way that they are asked to."""

import argparse
import os
import signal
import time
from functools import partial

from components.common.errors import InputError
from components.common.files import write_text
from components.config.command import Stage, View
from components.training import distributed as parallel
from components.training.launch import together

STAGE = Stage("", {}, {"out": "folder", "fail": "how"}, ("train",))


def meet(arguments: argparse.Namespace, settings: View) -> None:
    """Leave the process's id, and fail."""
    write_text(arguments.out / f"{parallel.rank()}", str(os.getpid()))
    parallel.meet()
    how, last = str(arguments.fail), parallel.rank() == parallel.count() - 1
    if how == "input everywhere" or (how == "input" and last):
        raise InputError("the label is odd")
    if how == "fault" and last:
        raise RuntimeError("out of luck")
    if how == "killed" and last:
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "asleep":
        time.sleep(600)
    parallel.meet()


def work(arguments: argparse.Namespace, settings: View) -> None:
    """Run the stage."""
    together(partial(meet, arguments, settings), "tests.train.joint", settings.train)


if __name__ == "__main__":
    STAGE.run(work)
