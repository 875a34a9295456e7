"""Tell people about runs that failed, through a notification block of Prefect."""

from pathlib import Path

import yaml
from prefect import Flow
from prefect.blocks.core import Block
from prefect.blocks.notifications import NotificationBlock
from prefect.client.schemas.objects import FlowRun, State
from prefect.logging.loggers import flow_run_logger
from prefect.settings import get_current_settings

from components.common.errors import InputError

PARAMS = Path("params.yaml")


def report(flow: Flow, run: FlowRun, state: State) -> None:
    """Send what became of a run to the block that params.yaml names: a hook of flows.

    Of a flow that another one started, that one tells.
    """
    if run.parent_task_run_id is not None or (slug := _slug()) is None:
        return
    flow_run_logger(run, flow).info("%s is told about this", slug)
    subject = f"{flow.name}: {state.name}"
    address = f"{get_current_settings().ui_url}/runs/flow-run/{run.id}"
    load(slug).notify(f"Run {run.name}: {state.message}\n{address}", subject)


def load(slug: str) -> NotificationBlock:
    """The block with a slug.

    Raises:
        InputError: there is none, or it notifies nobody.
    """
    hint = "Make one in Prefect's UI, under Blocks, or set operate.notify to null"
    try:
        block = Block.load(slug)
    except ValueError as error:
        raise InputError(f"operate.notify: Prefect has no block {slug!r}. {hint}") from error
    if not isinstance(block, NotificationBlock):
        raise InputError(f"operate.notify: the block {slug!r} sends no notifications. {hint}")
    return block


def _slug() -> str | None:
    """`operate.notify`, whatever else stands in params.yaml: that may be what went wrong."""
    try:
        return yaml.safe_load(PARAMS.read_text(encoding="utf-8"))["operate"]["notify"]
    except (OSError, yaml.YAMLError, KeyError, TypeError):
        return None
