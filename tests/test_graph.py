"""dvc.yaml says of every stage what its module needs, and the packages keep apart."""

import ast
import re
from pathlib import Path

import pytest
import yaml

from components.common.source_code import import_closure
from tests.shrunk import ROOT, run_python
from tests.stages import PRETRAINED, SOURCE, STAGES, covered

STATE = ("checkpoint", "lock", "scratch")  # decide no result: neither deps nor outs
COMMANDS = {  # as DVC finds them, before it fills in parameters
    name: row["cmd"]
    for name, row in yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"].items()
}
FILES = {
    folder: sorted(path.relative_to(ROOT) for path in (ROOT / folder).rglob("*.py"))
    for folder in ("components", "flows")
}


def imported(path: Path) -> set[str]:
    """The full names of everything that a file imports, at its top or inside of a function."""
    names = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("name", STAGES)
def test_deps_are_the_import_closure(name):
    """Every file that the stage can run or read, and no other: folders stand for all they hold."""
    code = [ROOT / dep for dep in STAGES[name].deps if dep.startswith("components")]
    listed = {
        file.relative_to(ROOT)
        for dep in code
        for file in (dep.rglob("*") if dep.is_dir() else [dep])
        if file.is_file() and file.suffix != ".pyc" and not bare(file)
    }
    needed = set(import_closure(STAGES[name].import_name))
    assert {str(path) for path in needed - listed} == set(), "add to deps"
    assert {str(path) for path in listed - needed} == set(), "remove from deps"


def bare(path: Path) -> bool:
    """Whether a file is a package that holds nothing but a docstring."""
    tree = ast.parse(path.read_text()) if path.name == "__init__.py" else None
    return tree is not None and len(tree.body) == (ast.get_docstring(tree) is not None)


@pytest.mark.parametrize("name", STAGES)
def test_code_among_the_deps_exists(name):
    code = [dep for dep in STAGES[name].deps if dep.startswith("components")]
    assert [dep for dep in code if not (ROOT / dep).exists()] == []


@pytest.mark.parametrize("name", STAGES)
def test_what_the_command_reads_are_deps_and_what_it_writes_are_outs(name):
    row = STAGES[name]
    options = {k: v for k, v in row.options.items() if k not in STATE}
    stage = row.stage
    inputs, outputs = set(stage.inputs), set(stage.outputs) - set(STATE)
    assert set(options) == inputs | outputs
    data = {dep for dep in row.deps if not dep.startswith("components")} - {SOURCE}
    assert data == {options[option] for option in inputs}
    written = {options[option] for option in outputs}
    assert set(row.outs) == written


@pytest.mark.parametrize("name", STAGES)
def test_command_holds_constants_only(name):
    """DVC puts a value of params.yaml into the shell's command line as it is."""
    assert re.fullmatch(r"[\w ./=-]+", COMMANDS[name])


@pytest.mark.parametrize("name", STAGES)
def test_params_are_those_that_the_module_may_read(name):
    assert STAGES[name].params == STAGES[name].stage.params


@pytest.mark.parametrize("name", STAGES)
def test_every_input_is_made_by_a_stage(name):
    made = (SOURCE, PRETRAINED, *(out for row in STAGES.values() for out in row.outs))
    data = [dep for dep in STAGES[name].deps if not dep.startswith("components")]
    orphans = [
        path
        for path in data
        if not covered(path, made) and not any(covered(out, (path,)) for out in made)
    ]
    assert orphans == []


def test_checkpoints_lie_in_the_ignored_folder_and_each_stage_has_its_own():
    checkpoints = [
        row.options["checkpoint"] for row in STAGES.values() if "checkpoint" in row.options
    ]
    assert len(checkpoints) == len(set(checkpoints)) == 5
    assert all(path.startswith("work/") for path in checkpoints)
    assert "/work/" in (ROOT / ".gitignore").read_text().splitlines()


@pytest.mark.parametrize(
    "name", [name for name in STAGES if name.startswith(("preprocess_", "features_"))]
)
def test_a_modality_s_branch_depends_on_nothing_of_the_other_modalities(name):
    """But for what is said: the label of a sound, which stands in the texts as ingest left them."""
    own = name.split("_")[1]
    others = {"image", "text", "audio"} - {own}
    labels = {"data/media/text"} if name == "features_audio" else set()
    data = {dep for dep in STAGES[name].deps if not dep.startswith("components")}
    for path in {*data, *STAGES[name].params} - labels:
        assert not others & set(path.replace(".", "/").split("/")), path


@pytest.mark.parametrize("path", FILES["components"], ids=str)
def test_components_know_neither_prefect_nor_dvc(path):
    assert not {name.split(".")[0] for name in imported(path)} & {"prefect", "dvc", "flows"}


@pytest.mark.parametrize("path", FILES["flows"], ids=str)
def test_flows_do_no_machine_learning(path):
    names = imported(path)
    assert not {name.split(".")[0] for name in names} & {"torch", "torchvision", "torchaudio"}
    packages = {name.split(".")[1] for name in names if name.startswith("components.")}
    assert packages <= {"common", "stage", "registry", "config"}


@pytest.mark.parametrize("path", FILES["components"] + FILES["flows"], ids=str)
def test_nothing_is_pickled(path):
    pickling = {"pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}
    assert not {name.split(".")[0] for name in imported(path)} & pickling
    source = ast.parse((ROOT / path).read_text())
    calls = {
        f"{node.value.id}.{node.attr}"
        for node in ast.walk(source)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
    }
    assert not {c for c in calls if c in ("torch.save", "torch.load") or "pickle" in c}


def test_importing_every_module_changes_nothing(tmp_path):
    """No folder made, no seed fixed, no variable set, no thread count changed."""
    modules = [
        ".".join(path.with_suffix("").parts).removesuffix(".__init__")
        for path in FILES["components"]
        if path.name != "pyfunc.py"  # tells MLflow about itself: that is its purpose
    ]
    script = (
        "import os, importlib, torch, matplotlib, pandera.pandas, torchvision.models\n"
        "def state(): return (dict(os.environ), torch.get_num_threads(),\n"
        "    torch.are_deterministic_algorithms_enabled(), os.listdir('.'))\n"
        "torch.manual_seed(7); before = state(), torch.get_rng_state().tolist()\n"
        f"for name in {modules!r}: importlib.import_module(name)\n"
        "assert (state(), torch.get_rng_state().tolist()) == before\n"
    )
    process = run_python("-c", script, cwd=tmp_path, PYTHONDONTWRITEBYTECODE="1")
    assert process.returncode == 0, process.stderr
    assert list(tmp_path.iterdir()) == []


def test_stages_stand_in_dvc_yaml_after_what_they_need():
    """So that a reader meets nothing before it is made."""
    made: tuple[str, ...] = (SOURCE, PRETRAINED)
    for name, row in STAGES.items():
        for path in (dep for dep in row.deps if not dep.startswith("components")):
            assert covered(path, made) or any(covered(out, (path,)) for out in made), (name, path)
        made += row.outs
