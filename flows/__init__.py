"""Orchestration: order, retries, schedules, notifications, promotion. No machine learning."""

import os

# Prefect and DVC read these when they are imported, so they are set before any module here is.
# Values that the user set stay.
os.environ.setdefault("DO_NOT_TRACK", "1")
os.environ.setdefault("DVC_NO_ANALYTICS", "1")
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
# Heartbeats show that a run is alive (flows.prefect.heartbeats); Prefect's default is 180 s.
os.environ.setdefault("PREFECT_FLOWS_HEARTBEAT_FREQUENCY", "30")
# Without PREFECT_API_URL: an ephemeral server starts 10 s sooner without its UI, and may take
# longer than Prefect's 20 s to create its database on a busy machine.
os.environ.setdefault("PREFECT_SERVER_UI_ENABLED", "false")
os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "120")
