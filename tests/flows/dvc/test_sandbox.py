"""Copies of the project in which stages run."""

from pathlib import Path

import pytest
import yaml
from dvc.repo import Repo

from components.common.errors import InputError
from flows.dvc.sandbox import Sandbox
from tests.support.params import small_params, write_params


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    """A DVC project with two files of code and settings, as the working directory."""
    monkeypatch.chdir(tmp_path)
    for name in ("components/first.py", "components/second.py", "flows/flow.py", "dvc.yaml"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text("")
    Path("pretrained/image").mkdir(parents=True)
    write_params(Path("params.yaml"), small_params())
    Repo.init(no_scm=True)
    return tmp_path


@pytest.fixture
def sandbox(project) -> Sandbox:
    """A copy of it with another seed."""
    made = Sandbox(Path("work/copy"))
    made.refresh({"seed": 7})
    return made


def test_settings_differ_in_the_copy_only(sandbox):
    here, there = (yaml.safe_load((p / "params.yaml").read_text()) for p in (Path(), sandbox.path))
    assert there == {**here, "seed": 7} and here["seed"] == 0


def test_cache_and_weights_are_shared(project, sandbox):
    with Repo(str(sandbox.path)) as repo:
        assert Path(repo.cache.local_cache_dir) == project / ".dvc/cache"
        assert repo.config["core"]["no_scm"]
    (project / "pretrained/image/new.safetensors").touch()
    assert (sandbox.path / "pretrained/image/new.safetensors").exists()


def test_code_is_that_of_the_project_and_outputs_stay(project, sandbox):
    (sandbox.path / "data").mkdir()
    (sandbox.path / "data/output").write_text("kept")
    (project / "components/first.py").write_text("edited = True\n")
    (project / "components/second.py").unlink()
    sandbox.refresh({"seed": 8})
    assert (sandbox.path / "components/first.py").read_text() == "edited = True\n"
    assert not (sandbox.path / "components/second.py").exists()
    assert (sandbox.path / "data/output").read_text() == "kept"


def test_models_of_others_replace_those_of_the_project(project, sandbox):
    (project / "pretrained/model").mkdir()
    (project / "pretrained/model/own").touch()
    for name in ("old", "new"):
        folder = project / name
        folder.mkdir()
        (folder / "config.json").write_text(name)
        sandbox.refresh({})
        sandbox.take_models({name: folder})
    found = [path.name for path in (sandbox.path / "pretrained/model").iterdir()]
    assert found == ["new"]
    assert (project / "pretrained/model/own").exists()


def test_invalid_settings_are_refused(project):
    with pytest.raises(InputError, match="seed"):
        Sandbox(Path("work/copy")).refresh({"seed": -1})


def test_folder_without_project_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_params(Path("params.yaml"), small_params())
    with pytest.raises(InputError, match="not inside of a DVC repository"):
        Sandbox(Path("work/copy")).refresh({})
