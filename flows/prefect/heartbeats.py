"""An automation of Prefect's server that ends runs whose heartbeats stopped.

Prefect sends heartbeats as long as the process of a run lives. Their absence is the only sign of a
run whose machine was lost.
"""

from collections.abc import Iterable
from datetime import timedelta
from http import HTTPStatus

from prefect.automations import AutomationCore, ChangeFlowRunState, EventTrigger, Posture
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import StateType
from prefect.exceptions import PrefectHTTPStatusError

NAME = "Crash runs whose heartbeats stopped"
SILENCE_SECONDS = 300.0  # ten heartbeats: networks and servers may fail for some minutes


def watch(
    client: SyncPrefectClient,
    flows: Iterable[str],
    name: str = NAME,
    seconds: float = SILENCE_SECONDS,
) -> None:
    """Create the automation for flows of these names unless the server has one of its name.

    A run counts as dead after `seconds` without a heartbeat; Prefect allows at least 10.
    """
    if client.read_automations_by_name(name):
        return
    client.create_automation(_automation(list(flows), name, seconds))
    # If several machines do so at the same time, the last one sees all automations; each keeps the
    # one with the smallest id.
    for other in sorted(made.id for made in client.read_automations_by_name(name))[1:]:
        try:
            client.delete_automation(other)
        except PrefectHTTPStatusError as error:
            if error.response.status_code != HTTPStatus.NOT_FOUND:  # another machine was faster
                raise


def _automation(flows: list[str], name: str, seconds: float) -> AutomationCore:
    """Return the automation, which watches a run from its first heartbeat on.

    Any other event of a run means that it ended or is waiting. The server refuses to crash a run
    that has ended or is being cancelled.
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
    crash = ChangeFlowRunState(name=None, state=StateType.CRASHED, message=message, force=False)
    return AutomationCore(
        name=name,
        description="Created by python -m flows.serve and prefect deploy, unless it exists.",
        trigger=silence,
        actions=[crash],
    )
