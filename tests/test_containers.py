"""Container and compose files: well-formed, complete, and in agreement with the code; not run."""

import re
import subprocess
import sys
from pathlib import Path

import yaml

from flows.services.services import DATABASES
from tests.support.params import ROOT

FOLDER = ROOT / "containers"
COMPOSE = FOLDER / "compose.yaml"


def run(program: str, *arguments: str | Path) -> None:
    """Run a program of the virtual environment, which must succeed."""
    path = Path(sys.executable).with_name(program)
    done = subprocess.run([path, *arguments], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


def services() -> dict[str, dict]:
    return yaml.safe_load(COMPOSE.read_text())["services"]


def test_containerfile_passes_hadolint():
    run("hadolint", "--failure-threshold=style", FOLDER / "Containerfile")


def test_compose_file_follows_the_specification():
    run("check-jsonschema", "--builtin-schema", "vendor.compose-spec", COMPOSE)


def test_services_have_health_checks_and_loopback_ports():
    for name, service in services().items():
        assert service["healthcheck"]["test"], name
        for port in service.get("ports", ()):
            assert port.startswith("127.0.0.1:"), (name, port)


def test_mounted_and_built_files_exist():
    for name, service in services().items():
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            assert not source.startswith(".") or (FOLDER / source).exists(), (name, source)
        if build := service.get("build"):
            assert (FOLDER / build["context"] / build["dockerfile"]).exists(), name


def test_example_has_every_variable_and_no_secret():
    used = set(re.findall(r"\$\{(\w+)", COMPOSE.read_text()))
    lines = (FOLDER / "environment.example").read_text().splitlines()
    given = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    assert set(given) == used
    assert {value for name, value in given.items() if name not in ("UID", "GID")} == {""}
    assert "/containers/environment" in (ROOT / ".gitignore").read_text().splitlines()


def test_databases_are_those_of_make_services():
    created = re.findall(r"CREATE DATABASE (\w+);", (FOLDER / "databases.sql").read_text())
    assert tuple(created) == DATABASES


def test_context_has_only_what_is_copied():
    sent = re.findall(r"^!(.+)$", (FOLDER / "Containerfile.dockerignore").read_text(), re.M)
    (copied,) = re.findall(r"^COPY (.+) \./$", (FOLDER / "Containerfile").read_text(), re.M)
    assert set(sent) == set(copied.split())
    assert all((ROOT / name).exists() for name in sent)
