"""dvc.yaml: the deps, params and outputs of each stage are those of its module."""

import ast
import json
import re
from pathlib import Path

import pytest
import yaml

from components.modalities.registry import MODALITIES
from components.stage.arguments import with_role
from components.stage.settings import keys_of
from tests.support.params import ROOT
from tests.support.process import run_python
from tests.support.stages import PRETRAINED, SOURCE, STAGES, covered

COMMANDS = {  # as DVC finds them, before it fills in parameters
    name: row["cmd"]
    for name, row in yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"].items()
}
PARAMS = "params.yaml"
PER_MODALITY = [name for name in STAGES if name.startswith(("preprocess_", "features_"))]
# Each stage in a process of its own, forked after the imports of others' packages, which take long.
LOADED = """
import importlib, json, os, sys
import mlflow, pandas, pandera.pandas, pyarrow.parquet, scipy.stats, torch, torchvision
for module, words in json.loads(sys.argv[1]):
    if os.fork():
        assert os.wait()[1] == 0, module
        continue
    from components.stage.arguments import parse_arguments
    stage = importlib.import_module(module).STAGE
    stage.settings(parse_arguments(stage.arguments, None, words))
    print(json.dumps(sorted(name for name in sys.modules if name.startswith("components"))))
    sys.stdout.flush()
    os._exit(0)
"""


def bare(path: Path) -> bool:
    """Return whether a file is a package with nothing but a docstring."""
    tree = ast.parse(path.read_text()) if path.name == "__init__.py" else None
    return tree is not None and len(tree.body) == (ast.get_docstring(tree) is not None)


@pytest.mark.parametrize("name", [name for name in STAGES if name != "code"])
def test_code_is_a_dep_and_is_checked(name):
    row = STAGES[name]
    assert [dep for dep in row.deps if dep not in row.data] == [f"data/code/{name}.txt"]
    assert row.arguments.code == Path(f"data/code/{name}.txt")


def test_code_of_every_stage_is_listed():
    row = STAGES["code"]
    assert ("code", *row.arguments.stages) == tuple(STAGES)
    assert row.deps == ("components",)
    assert {path.split("/")[0] for row in STAGES.values() for path in row.code} == {"components"}


@pytest.mark.parametrize("name", STAGES)
def test_name_says_what_the_command_runs(name):
    package, _, modality = name.partition("_")
    row = STAGES[name]
    assert row.module == f"components.{package}"
    assert getattr(row.arguments, "modality", "") == modality


@pytest.fixture(scope="module")
def loaded() -> dict[str, list[str]]:
    """The modules that Python loads for the command line and the settings of each stage."""
    calls = [(f"{row.module}.__main__", row.words) for row in STAGES.values()]
    process = run_python("-c", LOADED, json.dumps(calls), cwd=ROOT)
    assert process.returncode == 0, process.stderr
    return dict(zip(STAGES, map(json.loads, process.stdout.splitlines()), strict=True))


@pytest.mark.slow  # several processes
@pytest.mark.parametrize("name", STAGES)
def test_modules_loaded_by_settings_are_listed(name, loaded):
    for module in loaded[name]:
        base = ROOT / module.replace(".", "/")
        path = base / "__init__.py" if base.is_dir() else base.with_suffix(".py")
        assert bare(path) or str(path.relative_to(ROOT)) in STAGES[name].code, module


@pytest.mark.parametrize("name", STAGES)
def test_inputs_are_deps_and_outputs_are_outs(name):
    row = STAGES[name]
    paths = {
        role: {
            str(p) for n in with_role(row.stage.arguments, role) if (p := getattr(row.arguments, n))
        }
        for role in ("input", "output")
    }
    assert set(row.deps) - {SOURCE, "components"} == paths["input"]
    assert set(row.outs) == paths["output"]


@pytest.mark.parametrize("name", STAGES)
def test_command_contains_constants_only(name):
    """DVC would put a value of params.yaml into the shell's command line as it is."""
    assert re.fullmatch(r"[\w ./=-]+", COMMANDS[name])


@pytest.mark.parametrize("name", STAGES)
def test_params_are_the_settings(name):
    row = STAGES[name]
    assert list(row.params) == list(keys_of(row.stage.settings(row.arguments)))


@pytest.mark.parametrize("name", STAGES)
def test_inputs_are_made_by_stages(name):
    made = (SOURCE, PRETRAINED, PARAMS, *(out for row in STAGES.values() for out in row.outs))
    orphans = [
        path
        for path in STAGES[name].data
        if not covered(path, made) and not any(covered(out, (path,)) for out in made)
    ]
    assert orphans == []


def test_each_stage_has_its_own_checkpoint():
    found = [getattr(row.arguments, "checkpoint", None) for row in STAGES.values()]
    checkpoints = [str(path) for path in found if path]
    assert len(checkpoints) == len(set(checkpoints)) == len(MODALITIES) + 2
    assert all(path.startswith("work/") for path in checkpoints)
    assert "/work/" in (ROOT / ".gitignore").read_text().splitlines()


@pytest.mark.parametrize("name", PER_MODALITY)
def test_modalities_are_independent(name):
    """Except for transcripts: the texts that encoders of sound learn from."""
    own = name.split("_")[1]
    others = set(MODALITIES) - {own}
    transcripts = {"data/media/text"} if "--texts" in STAGES[name].words else set()
    for path in {*STAGES[name].data, *STAGES[name].params} - transcripts:
        assert not others & set(path.replace(".", "/").split("/")), path


def test_stages_exist_for_every_modality():
    expected = [f"{stage}_{m}" for stage in ("preprocess", "features") for m in MODALITIES]
    assert sorted(PER_MODALITY) == sorted(expected)


def test_stages_come_after_their_inputs():
    made: tuple[str, ...] = (SOURCE, PRETRAINED, PARAMS)
    for name, row in STAGES.items():
        for path in row.data:
            assert covered(path, made) or any(covered(out, (path,)) for out in made), (name, path)
        made += row.outs
