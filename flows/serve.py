"""Serve the flows from this process: when somebody asks, and by the crons of params.yaml.

python -m flows.serve
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
from prefect import get_client, serve
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
from prefect.deployments.runner import RunnerDeployment
from prefect.schedules import Cron
from prefect.settings import get_current_settings
from prefect.types.entrypoint import EntrypointType

from components.common.errors import InputError
from components.config.load import load_settings
from components.config.operate import OperateSettings
from components.config.settings import Settings
from flows import heartbeats
from flows.evaluate import evaluate
from flows.notify import load
from flows.pipeline import pipeline
from flows.retrain import patience, retrain
from flows.runs import end_lost

PARAMS = Path("params.yaml")
FLOWS = (pipeline, retrain, evaluate)
NEVER = "0 0 29 2 *"  # a cron that is not active
ONE = ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW)


def operate() -> dict[str, Any]:
    """What params.yaml says of deployments: a step of prefect.yaml, so that it stands once.

    A schedule must be there, though none is wanted: then it is not active.
    """
    settings = load_settings(PARAMS)
    options = settings.operate
    return {
        **parameters(settings),
        "timezone": options.timezone,
        "retrain": options.retrain or NEVER,
        "retrain_active": options.retrain is not None,
        "evaluate": options.evaluate or NEVER,
        "evaluate_active": options.evaluate is not None,
    }


def parameters(settings: Settings) -> dict[str, Any]:
    """What the pipeline is started with, unless somebody asks otherwise."""
    return {**patience(settings), "push": settings.operate.push}


def deployments(settings: Settings) -> list[RunnerDeployment]:
    """What is served."""
    options = settings.operate
    shared = {"entrypoint_type": EntrypointType.MODULE_PATH}
    retraining, evaluation = (
        [] if cron is None else [Cron(cron, timezone=options.timezone)]
        for cron in (options.retrain, options.evaluate)
    )
    return [
        pipeline.to_deployment("pipeline", parameters=parameters(settings), **shared),
        retrain.to_deployment("retrain", schedules=retraining, concurrency_limit=ONE, **shared),
        evaluate.to_deployment("evaluate", schedules=evaluation, **shared),
    ]


def watch() -> None:
    """Have the server end runs whose heartbeats stop: a step of prefect.yaml, too."""
    with get_client(sync_client=True) as client:
        heartbeats.watch(client, (flow.name for flow in FLOWS))


def check(options: OperateSettings) -> None:
    """See that Prefect's server answers and has what params.yaml names.

    Raises:
        InputError: it does not.
    """
    url = get_current_settings().api.url
    hint = (
        "Start one: make services, or prefect server start; then set PREFECT_API_URL to its "
        "address, as http://127.0.0.1:4200/api"
    )
    if not url:
        raise InputError(f"PREFECT_API_URL is not set: schedules need a server that stays. {hint}")
    try:
        with get_client(sync_client=True) as client:
            client.read_work_pools(limit=1)
    except httpx.HTTPStatusError as error:
        raise InputError(
            f"Prefect's server at {url} refuses: {error.response.status_code}. If it wants a "
            "password, set PREFECT_API_AUTH_STRING to user:password"
        ) from error
    except httpx.HTTPError as error:
        raise InputError(f"no server of Prefect's answers at {url}. {hint}") from error
    if options.notify is not None:
        load(options.notify)


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until Ctrl-C; exit code 2 for a user's mistake."""
    parser = argparse.ArgumentParser(prog="python -m flows.serve", description=__doc__)
    parser.parse_args(argv)
    try:
        settings = load_settings(PARAMS)
        check(settings.operate)
        watch()
        for flow in FLOWS:
            end_lost(flow.name)  # such a run might keep others from starting
        serve(*deployments(settings))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
