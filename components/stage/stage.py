"""How a stage runs from the shell: arguments, settings, exit codes."""

import atexit
import gc
import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, NoReturn, TypeVar

from components.common.errors import InputError, Unavailable, explained
from components.common.hashing import file_hash, fingerprint
from components.common.source_code import code_hash
from components.stage.arguments import (
    Arguments,
    ArgumentsT,
    check_inputs,
    parse_arguments,
    with_role,
)
from components.stage.code_listing import check_listing
from components.stage.process import alone, ended_with_starter
from components.stage.resource_usage import sampled
from components.stage.settings import Settings, load_settings

INTERRUPTED = 130  # exit code, as of a shell after Ctrl-C

SettingsT = TypeVar("SettingsT", bound=Settings)


@dataclass(frozen=True)
class Stage(Generic[ArgumentsT, SettingsT]):
    """A stage of the pipeline: its command line, the sections of params.yaml it reads, its work."""

    description: str | None  # for `--help`
    arguments: type[ArgumentsT]
    settings: Callable[[ArgumentsT], type[SettingsT]]
    work: Callable[[ArgumentsT, SettingsT], None]

    def main(self, words: list[str] | None = None) -> None:
        """Parse the command line, check the settings and do the work; see `exit_codes`."""
        arguments = parse_arguments(self.arguments, self.description, words)
        logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
        os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
        with exit_codes():
            settings = self._load_settings(arguments)
            check_inputs(arguments)
            if arguments.code:
                check_listing(arguments.code)
            with ended_with_starter(), alone(_own_files(arguments)), _sampling(arguments):
                self.work(arguments, settings)

    def _load_settings(self, arguments: ArgumentsT) -> SettingsT:
        sections = self.settings(arguments)
        return load_settings(arguments.params, sections) if sections.model_fields else sections()


@contextmanager
def exit_codes() -> Iterator[None]:
    """End the process with a message and a code, without a traceback, for what is no fault.

    Code 2 for `InputError` and for a path that cannot be used, 75 for `Unavailable` and for a disk
    that is full, 130 after Ctrl-C; any other exception passes.
    """
    atexit.register(gc.freeze)  # at its end Python would search all of torch for garbage: a second
    try:
        with explained():
            yield
    except InputError as error:
        _end(error, 2)
    except Unavailable as error:
        _end(error, os.EX_TEMPFAIL)
    except KeyboardInterrupt:
        _end("interrupted", INTERRUPTED)


def _end(message: object, code: int) -> NoReturn:
    print(f"error: {message}", file=sys.stderr)
    raise SystemExit(code) from None


def run_fingerprint(module: str, arguments: Arguments, settings: Settings) -> str:
    """Return a fingerprint of all that decides a stage's result: inputs, settings and code.

    Code counts by itself: by hand a stage may run without the listing of it.
    """
    names = (name for name in with_role(type(arguments), "input") if name != "code")
    paths = (getattr(arguments, name) for name in names)
    inputs = file_hash(*(path for path in paths if path is not None))
    plain = settings.model_dump(mode="json", by_alias=True)
    return fingerprint(inputs, plain, code_hash(module))


def _own_files(arguments: Arguments) -> Iterator[Path]:
    """Yield what two runs of a stage would overwrite for each other while they work.

    Processes that torchrun has started share it.
    """
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        paths = (getattr(arguments, name) for name in with_role(type(arguments), "state"))
        yield from (path for path in paths if path is not None)


def _sampling(arguments: Arguments) -> AbstractContextManager:
    """Sample the resources that a learning stage uses; of several processes in the first only."""
    history = getattr(arguments, "history", None)
    if history is None or os.environ.get("RANK", "0") != "0":
        return nullcontext()
    return sampled(history)
