"""PostgreSQL, MLflow and Prefect on loopback: started, refused, killed, stopped."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
import urllib.error
import urllib.request

import psutil
import psycopg2
import pytest

from components.registry.tracking import connect
from flows.services import postgresql
from flows.services.__main__ import main
from flows.services.private import OTHERS, private_folder
from flows.services.services import PAGES, PORTS, Services
from tests.support.servers import ANY_PORTS

ANY = [word for name in PORTS for word in (f"--{name}-port", "0")]


def status(url: str) -> int:
    """Return the status with which a server answers a request without a password."""
    request = urllib.request.Request(
        url, data=b"{}", headers={"Content-Type": "application/json"}, method="POST"
    )
    try:
        return urllib.request.urlopen(request, timeout=10).status
    except urllib.error.HTTPError as error:
        return error.code


def test_requests_without_password_are_refused(servers):
    assert status(f"{servers.url('mlflow')}/api/2.0/mlflow/experiments/search") == 401
    assert status(f"{servers.url('prefect')}/api/flows/filter") == 401
    with pytest.raises(psycopg2.OperationalError, match="password"):
        wrong = servers.database.uri("prefect").replace(servers.secrets["postgresql"], "wrong")
        psycopg2.connect(wrong)


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_clients_with_environment_are_accepted(store, prefect_api):
    import mlflow

    script = """
import asyncio
from prefect import get_client
async def ask():
    async with get_client() as client:
        return (await client.hello()).status_code
print(asyncio.run(ask()))
"""
    assert mlflow.MlflowClient(os.environ["MLFLOW_TRACKING_URI"]).search_experiments()
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_secrets_are_private(servers):
    for name in ("secrets.json", "environment", "mlflow_users.ini"):
        assert stat.S_IMODE((servers.folder / name).stat().st_mode) == 0o600, name
    lines = []
    for name in PORTS:
        for member in servers.process(name).members():
            lines += member.cmdline()
    assert not [line for line in lines for secret in servers.secrets.values() if secret in line]


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_nothing_is_open_to_other_users(store, servers):
    """Only PostgreSQL's account may pass through, to its cluster, where root started it."""
    mlflow = connect()
    experiment = mlflow.MlflowClient().create_experiment(f"private-{store.unique}")
    with mlflow.start_run(experiment_id=experiment):
        mlflow.log_text("mine", "folder/file.txt")
    pages = servers.folder / "prefect" / PAGES
    through = {servers.folder, servers.folder / "postgresql"} if os.geteuid() == 0 else set()
    found = {
        path: stat.S_IMODE(path.lstat().st_mode) & OTHERS
        for path in (servers.folder, *servers.folder.rglob("*"))
        if pages not in path.parents
    }
    assert servers.folder / "artifacts" in found and servers.folder / "mlflow.log" in found
    assert [path.name for path in found if path.name == "file.txt"]
    assert {path: mode for path, mode in found.items() if mode} == dict.fromkeys(through, 0o010)


def test_folder_with_other_files_is_refused(tmp_path, capsys):
    (tmp_path / "mine.txt").touch()
    before = tmp_path.stat().st_mode
    assert main(["start", "--folder", str(tmp_path), *ANY]) == 2
    assert "holds other files, as mine.txt" in capsys.readouterr().err
    assert tmp_path.stat().st_mode == before


@pytest.mark.parametrize("mode", [0o755, 0o777])
def test_open_folder_is_closed(tmp_path, mode):
    tmp_path.chmod(mode)
    private_folder(tmp_path)
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700


def test_servers_listen_on_loopback_only(servers):
    for name in PORTS:
        listening = [
            connection.laddr.ip
            for member in servers.process(name).members()
            for connection in member.net_connections("tcp")
            if connection.status == psutil.CONN_LISTEN
        ]
        assert set(listening) == {"127.0.0.1"}, name


@pytest.mark.slow  # starts servers
def test_killed_services_restart_with_their_data(services_folder):
    services = Services(services_folder / "killed")
    bystander = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    try:
        services.start(ANY_PORTS)
        ports, secrets = services.ports, services.secrets
        services.database.create("kept")
        first = {name: services.process(name) for name in PORTS}
        for process in first.values():
            os.kill(process.pid, signal.SIGKILL)
            while process.runs():  # `start` skips one that is about to die
                time.sleep(0.01)
        services = Services(services.folder)
        services.start()
        assert (services.ports, services.secrets) == (ports, secrets)
        psycopg2.connect(services.database.uri("kept")).close()
        second = {name: services.process(name) for name in PORTS}
        services.start()
        assert {name: services.process(name) for name in PORTS} == second
        # A PID that was reused by another process is not ours to kill.
        services._keep("prefect", first["prefect"].__class__(bystander.pid, 1.0))
        assert services.stop() == ["mlflow", "postgresql"]
        second["prefect"].end()
        assert bystander.poll() is None
        assert not [name for name in PORTS if second[name].members()]
        assert services.stop() == []
    finally:
        bystander.kill()
        bystander.wait()
        services.stop()


def test_taken_port_is_named(servers, services_folder, capsys):
    taken = str(servers.ports["prefect"])
    folder = services_folder / "taken"
    assert main(["start", "--folder", str(folder), *ANY, "--prefect-port", taken]) == 2
    assert f"port {taken} for prefect cannot be used" in capsys.readouterr().err
    assert Services(folder).stop() == []


@pytest.mark.parametrize("port", ["-1", "65536", "http", ""])
def test_number_that_is_no_port_is_refused(tmp_path, capsys, port):
    with pytest.raises(SystemExit, match="2"):
        main(["start", "--folder", str(tmp_path / "new"), "--mlflow-port", port])
    assert "--mlflow-port: invalid port value" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_one_port_for_two_services_is_refused(tmp_path, capsys):
    port = str(socket.create_server(("127.0.0.1", 0)).getsockname()[1])  # free again at once
    words = ["--postgresql-port", "0", "--mlflow-port", port, "--prefect-port", port]
    assert main(["start", "--folder", str(tmp_path / "new"), *words]) == 2
    assert f"mlflow {port}, prefect {port}. Give each its own" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["ports.json", "secrets.json", "mlflow.json"])
def test_damaged_record_is_named(tmp_path, capsys, name):
    (tmp_path / "ports.json").write_text(json.dumps(PORTS))
    (tmp_path / name).write_text("{")
    assert main(["status", "--folder", str(tmp_path)]) == 2
    assert f"{name} is damaged: " in capsys.readouterr().err


def test_missing_postgresql_says_how_to_install_it(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(postgresql, "DEBIAN", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["start", "--folder", str(tmp_path / "services"), *ANY]) == 2
    assert "apt-get install postgresql" in capsys.readouterr().err


def test_status_of_nothing_says_how_to_start(tmp_path, capsys):
    assert main(["status", "--folder", str(tmp_path)]) == 0
    assert "python -m flows.services start" in capsys.readouterr().out
