"""The command line that every stage shares."""

import argparse
import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic_core import to_jsonable_python

from components.common.errors import InputError, Unavailable
from components.config.load import load_settings
from components.stage.resource_usage import sampled


class View:
    """The part of the settings that a stage declares; any other part is out of its reach.

    What a stage can read is thus what `dvc.yaml` re-runs it for.
    """

    def __init__(self, settings: Any, keys: tuple[str, ...]):
        for key in keys:
            value = settings
            for part in key.split("."):
                value = getattr(value, "register_" if part == "register" else part)
            setattr(self, key.replace(".", "_"), value)

    def dump(self) -> dict[str, Any]:
        """The same as plain values."""
        return to_jsonable_python(vars(self))


@dataclass(frozen=True)
class Stage:
    """A stage's command line: what it reads, what it makes, which settings decide the result.

    Attributes:
        description: one sentence for `--help`.
        inputs: option name → what it is; files or folders that must exist.
        outputs: option name → what it is; files or folders that the stage writes.
        params: keys of params.yaml, dotted, that the stage may read (as in dvc.yaml).
        optional: option name → what it is; files that do not decide the result.
        choices: option name → the words it may be, the first if it is left out.
    """

    description: str
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    params: tuple[str, ...]
    optional: Mapping[str, str] = field(default_factory=dict)
    choices: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def run(self, work: Callable[[argparse.Namespace, View], None]) -> None:
        """Parse the command line, check the settings and do the work.

        Exits with code 2 and a message for a mistake in configuration or data, with code 75 and
        a message where a service does not answer, with code 1 and a traceback for a fault.
        """
        parser = argparse.ArgumentParser(description=self.description)
        parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="settings")
        for name, help_text in {**self.inputs, **self.outputs}.items():
            parser.add_argument(f"--{name}", type=Path, required=True, help=help_text)
        for name, help_text in self.optional.items():
            parser.add_argument(f"--{name}", type=Path, help=help_text)
        for name, words in self.choices.items():
            parser.add_argument(f"--{name}", choices=words, default=words[0])
        arguments = parser.parse_args()
        logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
        try:
            settings = load_settings(arguments.params)
            self._check_inputs(arguments)
            with self._sampling(arguments):
                work(arguments, View(settings, self.params))
        except InputError as error:
            print(f"error: {error}", file=sys.stderr)
            raise SystemExit(2) from None
        except Unavailable as error:
            print(f"error: {error}", file=sys.stderr)
            raise SystemExit(os.EX_TEMPFAIL) from None

    def _sampling(self, arguments: argparse.Namespace) -> AbstractContextManager:
        """Samples what a stage that trains takes of the machine; of several processes the first."""
        if "history" not in self.outputs or os.environ.get("RANK", "0") != "0":
            return nullcontext()
        return sampled(arguments.history)

    def _check_inputs(self, arguments: argparse.Namespace) -> None:
        for name in self.inputs:
            path = getattr(arguments, name.replace("-", "_"))
            if not path.exists():
                raise InputError(f"--{name}: {path} does not exist. Make it first: dvc repro")
