"""Make a registered model the champion, if the gates of params.yaml let it through.

python -m flows.promote --version 7 --why "heard the new accents"

Exit codes: 0 promoted, or the champion already; 2 a mistake in configuration or data; 3 refused by
a gate; 4 another promotion came first; 1 a fault.
"""

import argparse
import logging
import sys
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from threading import Event
from types import ModuleType

from components.common.errors import InputError
from components.common.files import read_json
from components.common.hashing import fingerprint
from components.config.load import load_settings
from components.config.settings import Settings
from components.registry.fetch import fetch
from components.registry.tracking import connect
from flows.command import run_component
from flows.gates import Gate, judge, number
from flows.promotions import (
    LONGEST_WHY,
    MOVED,
    Action,
    Entry,
    Overtaken,
    Promotions,
    before,
    me,
    now,
    state,
)

log = logging.getLogger(__name__)

PARAMS = Path("params.yaml")
QUESTIONS = ("--samples", "data/samples.parquet", "--media", "data/media")
EXAMS = Path("exams")  # what models answered; may be deleted at any time
REFUSED, OVERTAKEN = 3, 4  # exit codes


@dataclass(frozen=True)
class Decision:
    """What came of a promotion.

    Attributes:
        version: the model version.
        champion: the one that had the alias before; None if none had.
        promoted: whether `version` has it now, or would have it, were it no dry run.
        gates: every gate and what was found; none if it was the champion already.
    """

    version: str
    champion: str | None
    promoted: bool
    gates: Sequence[Gate] = ()

    @property
    def refusals(self) -> list[Gate]:
        """The gates that it did not pass."""
        return [gate for gate in self.gates if not gate.passed]


class Desk:
    """What promotions are decided with: the settings, MLflow and the log.

    Args:
        stopping: once it is set, commands that run for it end with `Stopped`.
    """

    def __init__(self, stopping: Event | None = None):
        self.stopping = stopping or Event()
        self.settings: Settings = load_settings(PARAMS)
        self.mlflow: ModuleType = connect()
        self.model = self.settings.register_.model
        self.log = Promotions(self.mlflow, self.model, self.settings.promote.alias)

    def version(self, number: str | None):
        """A version of the model in MLflow: the one named, or the challenger.

        Raises:
            InputError: there is none.
        """
        client, alias = self.mlflow.MlflowClient(), self.settings.register_.alias
        try:
            if number is None:
                return client.get_model_version_by_alias(self.model, alias)
            return client.get_model_version(self.model, number)
        except self.mlflow.MlflowException as error:
            if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                raise
            named = f"alias {alias}" if number is None else f"version {number}"
            raise InputError(
                f"{self.model} has no {named} in MLflow. See the versions it has: make ui"
            ) from error

    def versions(self) -> set[str]:
        """The numbers of the versions that there are."""
        found = self.mlflow.MlflowClient().search_model_versions(f"name = '{self.model}'")
        return {str(version.version) for version in found}

    def home(self, number: str) -> Path:
        """The folder of what is kept about a version.

        Raises:
            InputError: there is none.
        """
        version = self.version(number)
        same = fingerprint(version.source, version.creation_timestamp)  # other stores have others
        return EXAMS / f"{self.model}-{number}-{same[:8]}"

    def folder(self, number: str) -> Path:
        """The model's folder of a version.

        Raises:
            InputError: there is none, or its files cannot be had.
        """
        return fetch(self.mlflow, self.model, number, self.home(number) / "model")

    def exam(self, number: str, suite: str | None = None) -> Path:
        """The folder with the exam of a version on the present test split.

        Args:
            number: of the version.
            suite: of corruptions; that of the settings if None.

        Raises:
            InputError: the version cannot be had or asked.
        """
        suite = suite or self.settings.promote.suite
        log.info("version %s of %s answers the test split", number, self.model)
        folder, exam = self.folder(number), self.home(number) / suite
        words = ["--model", str(folder), *QUESTIONS, "--suite", suite, "--exam", str(exam)]
        run_component("components.evaluate.evaluation", words, self.stopping)
        return exam

    def gates(self, challenger: str, champion: str | None) -> list[Gate]:
        """What the gates say.

        Raises:
            InputError: the challenger cannot be asked, or a gate is about no metric.
        """
        options, ours = self.settings.promote, self.exam(challenger)
        found = read_json(ours / "exam.json")
        if champion is None:
            return judge(options, found)
        try:
            theirs = self.exam(champion)
        except InputError as error:
            log.warning("version %s, the champion, cannot be asked: %s", champion, error)
            return [*judge(options, found), Gate("the champion can be asked", None, "yes", False)]
        comparison = ours / f"beside-{theirs.parent.name}.json"
        words = ["--challenger", str(ours), "--champion", str(theirs)]
        words += ["--comparison", str(comparison)]
        run_component("components.evaluate.compare", words, self.stopping)
        return judge(options, found, read_json(theirs / "exam.json"), read_json(comparison))


def promote(
    version: str | None = None,
    *,
    why: str | None = None,
    force: bool = False,
    dry: bool = False,
    stopping: Event | None = None,
) -> Decision:
    """Move the alias to a version that passes the gates, and record it.

    Args:
        version: the number; None for the challenger.
        why: recorded.
        force: move it though gates refuse it, which is recorded.
        dry: decide and change nothing.
        stopping: see `Desk`.

    Raises:
        InputError: there is no such version, or it cannot be asked.
        Overtaken: the alias was moved by another meanwhile.
        Stopped: `stopping` was set before there was a decision.
    """
    _check(why)
    desk = Desk(stopping)
    entries = desk.log.entries() if dry else desk.log.note_moves()
    champion = desk.log.champion() if dry else state(entries)
    number = str(desk.version(version).version)
    if number == champion:
        return Decision(number, champion, True)
    decision = Decision(number, champion, True, desk.gates(number, champion))
    refused = bool(decision.refusals)
    if dry or (refused and not force):
        if not dry:
            names = ", ".join(gate.name for gate in decision.refusals)
            desk.log.tag(number, f"refused {now()}: {names}")
        return Decision(number, champion, not refused, decision.gates)
    action: Action = "forced" if refused else "promoted"
    _move(desk.log, entries, action, number, why, decision.gates)
    return decision


def rollback(why: str | None = None) -> Entry:
    """Give the alias back to the champion before the last, and record it.

    Raises:
        InputError: there was none, or all were deleted.
        Overtaken: the alias was moved by another meanwhile.
    """
    _check(why)
    desk = Desk()
    entries = desk.log.note_moves()
    target = before(entries, desk.versions())
    if target is None:
        raise InputError(
            f"{desk.model} had no other {desk.log.alias} before that is still there, so there is "
            "nothing to go back to. Name one: python -m flows.promote --version N"
        )
    return _move(desk.log, entries, "rolled back", target, why)


def note_moves() -> list[Entry]:
    """Finish what a killed promotion left and record an alias that was moved by hand.

    Returns:
        The log.
    """
    return Desk().log.note_moves()


def _check(why: str | None) -> None:
    if why is not None and len(why) > LONGEST_WHY:
        raise InputError(f"--why: found {len(why)} characters, expected {LONGEST_WHY} at most")


def _move(
    log: Promotions,
    entries: Sequence[Entry],
    action: Action,
    target: str,
    why: str | None,
    gates: Sequence[Gate] = (),
) -> Entry:
    """Append an entry after those that the decision knew, and do what it says."""
    entry = Entry(
        number=len(entries) + 1,
        action=action,
        source=state(entries),
        target=target,
        who=me(),
        when=now(),
        why=why,
        gates=[list(astuple(gate)) for gate in gates],
    )
    log.append(entry)
    if log.finish(entry) != MOVED:
        raise Overtaken(f"the alias {log.alias} was moved, or version {target} deleted, meanwhile")
    return entry


def table(gates: Sequence[Gate]) -> str:
    """The gates as aligned text."""
    header = ("", "gate", "found", "bound", "champion", "p")
    rows = [
        (
            "pass" if gate.passed else "FAIL",
            gate.name,
            number(gate.found),
            gate.bound,
            number(gate.champion),
            number(gate.p),
        )
        for gate in gates
    ]
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in (header, *rows))
    return "\n".join(lines)


def history(entries: Sequence[Entry]) -> str:
    """The log as text, a line an entry."""
    lines = []
    for entry in entries:
        moved = f"{entry.source or 'none'} → {entry.target or 'none'}"
        outcome = "" if entry.outcome == MOVED else f" ({entry.outcome or 'unfinished'})"
        why = f": {entry.why}" if entry.why else ""
        lines.append(
            f"{entry.number:>4}  {entry.when}  {moved:<14}{entry.action}{outcome}"
            f" by {entry.who}{why}"
        )
    return "\n".join(lines) or "nothing was promoted yet"


def _report(decision: Decision, options: argparse.Namespace, alias: str) -> int:
    """Print what came of a promotion; give the exit code."""
    version = f"version {decision.version}"
    if not decision.gates:
        print(f"{version} is the {alias} already")
        return 0
    print(table(decision.gates))
    before = f"instead of version {decision.champion}" if decision.champion else "the first one"
    if not decision.promoted:
        print(f"{version} is refused by {len(decision.refusals)} of {len(decision.gates)} gates")
        return REFUSED
    print(f"{version} {'would be' if options.dry_run else 'is'} the {alias} now, {before}")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Promote from the shell; see the module for the exit codes."""
    parser = argparse.ArgumentParser(
        prog="python -m flows.promote", description="Make a registered model the champion."
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--version", metavar="N", help="model version (default: the challenger)")
    what.add_argument("--rollback", action="store_true", help="go back to the champion before")
    what.add_argument("--log", action="store_true", help="print what was promoted so far")
    parser.add_argument("--why", metavar="TEXT", help="recorded in the log")
    parser.add_argument(
        "--force", action="store_true", help="though gates refuse; recorded as such"
    )
    parser.add_argument("--dry-run", action="store_true", help="ask the gates and change nothing")
    options = parser.parse_args(argv)
    if (options.rollback or options.log) and (options.force or options.dry_run):
        parser.error("--force and --dry-run go with a promotion, not with --rollback and --log")
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        return _act(options)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except Overtaken as error:
        print(f"another promotion came first: {error}. Decide again", file=sys.stderr)
        return OVERTAKEN


def _act(options: argparse.Namespace) -> int:
    if options.log:
        print(history(note_moves()))
        return 0
    if options.rollback:
        entry = rollback(options.why)
        print(f"version {entry.target} has the alias again, instead of version {entry.source}")
        return 0
    alias = load_settings(PARAMS).promote.alias
    done = promote(options.version, why=options.why, force=options.force, dry=options.dry_run)
    return _report(done, options, alias)


if __name__ == "__main__":
    sys.exit(main())
