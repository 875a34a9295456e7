"""Make a registered model the champion, if it passes the gates of params.yaml.

python -m flows.promote --version 7 --why "understands the new accents"

Exit codes: 0 promoted, or the champion already; 2 a mistake in configuration or data; 3 refused by
a gate; 4 another promotion came first; 75 MLflow does not answer; 130 interrupted; 1 a fault.
"""

import argparse
import logging
import sys
from collections.abc import Sequence

from components.common import command_line
from components.registry.tracking import connect, mlflow_errors
from components.stage.stage import exit_codes
from flows.promotion.log import Overtaken
from flows.promotion.promotion import Decision, gate_table, history, promote, rollback
from flows.promotion.registered_model import RegisteredModel
from flows.settings import flow_settings

REFUSED, OVERTAKEN = 3, 4  # exit codes


def main(argv: Sequence[str] | None = None) -> int:
    """Promote from the shell; see the module for the exit codes."""
    parser = command_line.parser(__doc__)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--version", metavar="N", help="model version (default: the challenger)")
    what.add_argument("--rollback", action="store_true", help="go back to the previous champion")
    what.add_argument("--log", action="store_true", help="print all promotions so far")
    parser.add_argument("--why", metavar="TEXT", help="recorded in the log")
    parser.add_argument(
        "--force", action="store_true", help="promote even if gates refuse it, which is recorded"
    )
    parser.add_argument("--dry-run", action="store_true", help="evaluate the gates, change nothing")
    options = parser.parse_args(argv)
    if (options.rollback or options.log) and (options.force or options.dry_run):
        parser.error("--force and --dry-run go with a promotion, not with --rollback and --log")
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    with exit_codes():
        flow_settings()  # first, as connecting makes a database here
        try:
            with mlflow_errors(connect()):
                return _act(options)
        except Overtaken as error:
            print(f"another promotion came first: {error}. Decide again", file=sys.stderr)
            return OVERTAKEN


def _act(options: argparse.Namespace) -> int:
    if options.log:
        print(history(RegisteredModel().log.record_moves()))
        return 0
    if options.rollback:
        entry = rollback(options.why)
        print(f"version {entry.target} has the alias again, instead of version {entry.source}")
        return 0
    decision = promote(options.version, why=options.why, force=options.force, dry=options.dry_run)
    return _report(decision, options.dry_run)


def _report(decision: Decision, dry: bool) -> int:
    """Print the result of a promotion; return the exit code."""
    version = f"version {decision.version}"
    if not decision.gates:
        print(f"{version} is the champion already")
        return 0
    print(gate_table(decision.gates))
    before = f"instead of version {decision.champion}" if decision.champion else "the first one"
    if not decision.promoted:
        print(f"{version} is refused by {len(decision.refusals)} of {len(decision.gates)} gates")
        return REFUSED
    print(f"{version} {'would be' if dry else 'is'} the champion now, {before}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
