"""Serve the flows from this process: on request, and by the crons of params.yaml.

python -m flows.serve
"""

import asyncio
import contextlib
import os
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from httpx import HTTPError
from prefect import get_client
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
from prefect.deployments.runner import RunnerDeployment
from prefect.runner import Runner
from prefect.schedules import Cron
from prefect.settings import get_current_settings
from prefect.types.entrypoint import EntrypointType

from components.common import command_line
from components.common.errors import InputError, Unavailable
from flows.evaluate import evaluate
from flows.pipeline import pipeline
from flows.prefect import heartbeats
from flows.prefect.notify import load
from flows.prefect.runs import end_lost_runs
from flows.prefect.server import check_server, explain
from flows.retrain import patience, retrain
from flows.settings import FlowSettings, OperateSettings, flow_settings

FLOWS = (pipeline, retrain, evaluate)
NEVER = "0 0 29 2 *"  # an inactive cron
MODULE = EntrypointType.MODULE_PATH
ONE = ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW)


class Server(Runner):
    """Prefect's runner, which SIGTERM ends in the same way as Ctrl-C.

    Prefect's own handler raises SystemExit in whichever coroutine it interrupts. One that is
    starting a flow run takes that for a failure of the run, and the server goes on.
    """

    async def start(self, run_once: bool = False, webserver: bool | None = None) -> None:
        """Serve until cancelled."""
        self._serving = asyncio.current_task()
        await super().start(run_once, webserver)

    def handle_sigterm(self, *args: Any, **kwargs: Any) -> None:
        """Cancel what serves: running flow runs are terminated, schedules paused."""
        if self._serving is not None:
            self._serving.get_loop().call_soon_threadsafe(self._serving.cancel)


def operate() -> dict[str, Any]:
    """Return the settings of deployments: a step of prefect.yaml, so that params.yaml has them.

    Prefect requires a schedule even where none is wanted; then it is inactive.
    """
    settings = flow_settings()
    options = settings.operate
    return {
        **parameters(settings),
        "timezone": options.timezone,
        "retrain": options.retrain or NEVER,
        "retrain_active": options.retrain is not None,
        "evaluate": options.evaluate or NEVER,
        "evaluate_active": options.evaluate is not None,
    }


def parameters(settings: FlowSettings) -> dict[str, Any]:
    """Return the default parameters of the pipeline."""
    return {**patience(settings), "push": settings.operate.push}


def deployments(settings: FlowSettings) -> list[RunnerDeployment]:
    """Return the deployments that are served."""
    options = settings.operate
    retraining, evaluation = (
        [] if cron is None else [Cron(cron, timezone=options.timezone)]
        for cron in (options.retrain, options.evaluate)
    )
    return [  # pyright: ignore[reportReturnType]  # declared as either sync or async
        pipeline.to_deployment("pipeline", parameters=parameters(settings), entrypoint_type=MODULE),
        retrain.to_deployment(
            "retrain", schedules=retraining, concurrency_limit=ONE, entrypoint_type=MODULE
        ),
        evaluate.to_deployment("evaluate", schedules=evaluation, entrypoint_type=MODULE),
    ]


def watch() -> None:
    """Let the server end runs whose heartbeats stop: a step of prefect.yaml, too."""
    with get_client(sync_client=True) as client:
        heartbeats.watch(client, (flow.name for flow in FLOWS))


def check(options: OperateSettings) -> None:
    """Raise InputError unless Prefect's server answers and has what params.yaml names."""
    url = get_current_settings().api.url
    hint = (
        "Start one: make services, or prefect server start; then set PREFECT_API_URL to its "
        "address, as http://127.0.0.1:4200/api"
    )
    if not url:
        raise InputError(f"PREFECT_API_URL is not set: schedules need a permanent server. {hint}")
    try:
        check_server()
    except Unavailable as error:
        raise InputError(f"no Prefect server answers at {url}. {hint}") from error
    if options.notify is not None:
        load(options.notify)


def serve(served: Iterable[RunnerDeployment]) -> None:
    """Run deployments on request and on schedule until SIGTERM or Ctrl-C."""
    server = Server()
    for deployment in served:
        server.add_deployment(deployment)
        print(f"serving {deployment.full_name}")
    print("Stop with Ctrl-C, which also terminates the runs.")
    with contextlib.suppress(KeyboardInterrupt, asyncio.CancelledError):
        asyncio.run(server.start())


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until stopped; exit code 2 for a mistake in configuration, 75 if Prefect went away."""
    parser = command_line.parser(__doc__)
    parser.parse_args(argv)
    try:
        settings = flow_settings()
        check(settings.operate)
        watch()
        for flow in FLOWS:
            end_lost_runs(flow.name)  # they could block new runs
        serve(deployments(settings))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except HTTPError as error:  # it went away since
        print(f"error: {explain(error)}", file=sys.stderr)
        return os.EX_TEMPFAIL
    return 0


if __name__ == "__main__":
    sys.exit(main())
