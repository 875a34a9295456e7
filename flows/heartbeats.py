"""Runs whose heartbeats stopped, on whatever machine: an automation of Prefect's server ends them.

Prefect sends a heartbeat as long as the process of a run lives. What is lost with its machine can
be found by that alone.
"""

from collections.abc import Iterable
from datetime import timedelta
from http import HTTPStatus
from uuid import UUID

from prefect.automations import AutomationCore, ChangeFlowRunState, EventTrigger, Posture
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import StateType
from prefect.exceptions import PrefectHTTPStatusError

NAME = "Crash runs whose heartbeats stopped"
SILENCE_SECONDS = 300.0  # ten heartbeats: a network or a server may be away for some minutes


def watch(
    client: SyncPrefectClient,
    flows: Iterable[str],
    name: str = NAME,
    seconds: float = SILENCE_SECONDS,
) -> None:
    """See that the server has the automation; one that is there is left as it is.

    Args:
        client: of the server.
        flows: names of those whose runs are watched.
        name: of the automation, by which it is found again.
        seconds: of silence after which a run is taken for dead; Prefect allows no less than 10.
    """
    if client.read_automations_by_name(name):
        return
    client.create_automation(_automation(list(flows), name, seconds))
    # Of machines that did so at the same time the last one sees what all made, and each leaves that
    # with the least id.
    for other in sorted(made.id for made in client.read_automations_by_name(name))[1:]:
        _delete(client, other)


def _delete(client: SyncPrefectClient, automation: UUID) -> None:
    try:
        client.delete_automation(automation)
    except PrefectHTTPStatusError as error:
        if error.response.status_code != HTTPStatus.NOT_FOUND:  # another machine was faster
            raise


def _automation(flows: list[str], name: str, seconds: float) -> AutomationCore:
    """Runs begin to be watched with a heartbeat: no run is ended that sends none.

    Any other event of a run means that it ended, under whatever name, or waits for something. The
    server refuses to crash one that has ended already, or is being cancelled.
    """
    silence = EventTrigger(
        match={"prefect.resource.id": "prefect.flow-run.*"},
        match_related={"prefect.resource.role": "flow", "prefect.resource.name": flows},
        for_each={"prefect.resource.id"},
        after={"prefect.flow-run.heartbeat"},
        expect={"prefect.flow-run.*"},
        posture=Posture.Proactive,
        threshold=1,
        within=timedelta(seconds=seconds),
    )
    message = f"no heartbeat for {seconds:g} s: its process or machine is gone"
    return AutomationCore(
        name=name,
        description="Made by python -m flows.serve and prefect deploy, if no other has its name.",
        trigger=silence,
        actions=[ChangeFlowRunState(state=StateType.CRASHED, message=message)],
    )
