"""The container and compose files are well-formed, complete and agree with the rest. Not run."""

import re
import subprocess
import sys
from pathlib import Path

import yaml

from flows.services.services import DATABASES
from tests.shrunk import ROOT

FOLDER = ROOT / "containers"
COMPOSE = FOLDER / "compose.yaml"


def run(program: str, *arguments: str | Path) -> None:
    path = Path(sys.executable).with_name(program)
    done = subprocess.run([path, *arguments], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


def services() -> dict[str, dict]:
    return yaml.safe_load(COMPOSE.read_text())["services"]


def test_containerfile_passes_hadolint():
    run("hadolint", "--failure-threshold=style", FOLDER / "Containerfile")


def test_compose_file_follows_its_specification():
    run("check-jsonschema", "--builtin-schema", "vendor.compose-spec", COMPOSE)


def test_every_service_is_watched_and_those_with_a_page_are_on_loopback_only():
    for name, service in services().items():
        assert service["healthcheck"]["test"], name
        for port in service.get("ports", ()):
            assert port.startswith("127.0.0.1:"), (name, port)


def test_every_file_that_is_mounted_or_built_from_is_there():
    for name, service in services().items():
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            assert not source.startswith(".") or (FOLDER / source).exists(), (name, source)
        if build := service.get("build"):
            assert (FOLDER / build["context"] / build["dockerfile"]).exists(), name


def test_the_example_names_every_variable_and_holds_no_secret():
    wanted = set(re.findall(r"\$\{(\w+)", COMPOSE.read_text()))
    lines = (FOLDER / "environment.example").read_text().splitlines()
    given = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    assert set(given) == wanted
    assert {value for name, value in given.items() if name not in ("UID", "GID")} == {""}
    assert "/containers/environment" in (ROOT / ".gitignore").read_text().splitlines()


def test_the_databases_are_those_of_make_services():
    made = re.findall(r"CREATE DATABASE (\w+);", (FOLDER / "databases.sql").read_text())
    assert tuple(made) == DATABASES


def test_the_context_sends_only_what_the_containerfile_copies():
    sent = re.findall(r"^!(.+)$", (FOLDER / "Containerfile.dockerignore").read_text(), re.M)
    (copied,) = re.findall(r"^COPY (.+) \./$", (FOLDER / "Containerfile").read_text(), re.M)
    assert set(sent) == set(copied.split())
    assert all((ROOT / name).exists() for name in sent)
