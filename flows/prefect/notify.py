"""Notifications of failed runs through a block of Prefect."""

from prefect import Flow
from prefect.blocks.abstract import NotificationBlock
from prefect.blocks.core import Block
from prefect.client.schemas.objects import FlowRun, State
from prefect.logging.loggers import flow_run_logger
from prefect.settings import get_current_settings

from components.common.errors import InputError
from components.stage.settings import parse_yaml
from flows.settings import PARAMS


def report(flow: Flow, flow_run: FlowRun, state: State) -> None:
    """Send the result of a run to the block that params.yaml names; a hook of flows.

    Runs that were started by another flow are reported by that flow.
    """
    if flow_run.parent_task_run_id is not None or (slug := _slug()) is None:
        return
    flow_run_logger(flow_run, flow).info("notifying %s", slug)
    subject = f"{flow.name}: {state.name}"
    address = f"{get_current_settings().ui_url}/runs/flow-run/{flow_run.id}"
    text = f"Run {flow_run.name}: {state.message}\n{address}"
    # It is declared as async, and sync where no event loop runs.
    load(slug).notify(text, subject)  # pyright: ignore[reportUnusedCoroutine]


def load(slug: str) -> NotificationBlock:
    """Return the block with a slug; raise InputError unless it is a notification block."""
    hint = "Create one in Prefect's UI, under Blocks, or set operate.notify to null"
    try:
        block = Block.load(slug)
    except ValueError as error:
        raise InputError(f"operate.notify: Prefect has no block {slug!r}. {hint}") from error
    if not isinstance(block, NotificationBlock):
        raise InputError(f"operate.notify: the block {slug!r} is not a notification block. {hint}")
    return block


def _slug() -> str | None:
    """Return `operate.notify` even if the rest of params.yaml is invalid."""
    try:
        return parse_yaml(PARAMS.read_bytes(), PARAMS)["operate"]["notify"]
    except (OSError, InputError, KeyError, TypeError):
        return None
