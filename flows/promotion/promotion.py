"""Promotion: moves the champion's alias to a version that passes the gates, and records it."""

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from threading import Event

from components.common.errors import InputError
from flows.promotion.gates import Gate, format_number
from flows.promotion.log import MAX_REASON, MOVED, Entry, champion_after, now, previous_champion
from flows.promotion.registered_model import RegisteredModel


@dataclass(frozen=True)
class Decision:
    """The result of a promotion."""

    version: str
    champion: str | None  # that had the alias before
    promoted: bool  # whether `version` has it now, or would have it after a dry run
    gates: Sequence[Gate] = ()  # none if it was the champion already

    @property
    def refusals(self) -> list[Gate]:
        """The gates that it did not pass."""
        return [gate for gate in self.gates if not gate.passed]


def promote(
    version: str | None = None,
    *,
    why: str | None = None,
    force: bool = False,
    dry: bool = False,
    stopping: Event | None = None,
) -> Decision:
    """Move the alias to a version, by default the challenger, that passes the gates; record it.

    With `force`, it moves even if gates refuse it; with `dry`, nothing is changed.

    Raises:
        InputError: there is no such version, or it cannot be evaluated.
        Overtaken: another process moved the alias meanwhile.
        Stopped: `stopping` was set before there was a decision.
    """
    _check(why)
    model = RegisteredModel(stopping)
    entries = model.log.entries() if dry else model.log.record_moves()
    champion = model.log.champion() if dry else champion_after(entries)
    number = str(model.version(version).version)
    if number == champion:
        return Decision(number, champion, True)
    gates = model.judge(number, champion)
    refusals = [gate.name for gate in gates if not gate.passed]
    if dry or (refusals and not force):
        if not dry:
            model.log.tag(number, f"refused {now()}: {', '.join(refusals)}")
        return Decision(number, champion, not refusals, gates)
    fields = [list(astuple(gate)) for gate in gates]
    model.log.move(entries, "forced" if refusals else "promoted", number, why, fields)
    return Decision(number, champion, True, gates)


def rollback(why: str | None = None) -> Entry:
    """Give the alias back to the previous champion, and record it.

    Raises InputError if there was none or all were deleted, and Overtaken as `promote` does.
    """
    _check(why)
    model = RegisteredModel()
    entries = model.log.record_moves()
    target = previous_champion(entries, model.versions.numbers())
    if target is None:
        raise InputError(
            f"{model.name} had no other {model.log.alias} before that still exists, so there is "
            "nothing to go back to. Name a version: python -m flows.promote --version N"
        )
    return model.log.move(entries, "rolled back", target, why)


def _check(why: str | None) -> None:
    if why is not None and len(why) > MAX_REASON:
        raise InputError(f"--why: found {len(why)} characters, expected {MAX_REASON} at most")


def gate_table(gates: Sequence[Gate]) -> str:
    """Return the gates as aligned text."""
    header = ("", "gate", "found", "bound", "champion", "p")
    rows = [
        (
            "pass" if gate.passed else "FAIL",
            gate.name,
            format_number(gate.found),
            gate.bound,
            format_number(gate.champion),
            format_number(gate.p),
        )
        for gate in gates
    ]
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in (header, *rows))
    return "\n".join(lines)


def history(entries: Sequence[Entry]) -> str:
    """Return the log as text, one line per entry."""
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
