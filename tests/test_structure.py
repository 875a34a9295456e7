"""The structure of the code: imports go down the list of packages, and there are no circles."""

import ast
import os

import pytest
import torch

from benchmarks.structure import circles, file_graph, folder_circles, modules
from components.common.source_code import read_source
from components.modalities.registry import MODALITIES
from tests.support.params import ROOT
from tests.support.process import run_python

ORDER = (  # docs/architecture.md explains it
    *("start", "settings", "code"),
    *("ingest", "baselines", "preprocess", "features", "align", "train", "evaluate", "register"),
    *("serving", "registry", "model", "fusion", "tasks", "modalities", "huggingface"),
    *("training", "layers", "data", "stage", "common"),
)
STAGES = ORDER[3:11]
FILES = ("dvc.lock", "dvc.yaml")  # strings that look like modules
NO_IMPORT = ("components.serving.pyfunc",)  # registers itself with MLflow, which is its purpose


def test_no_circle_of_files():
    assert circles(file_graph()) == []


def test_no_circle_of_folders():
    assert folder_circles() == {}


def test_components_import_downwards_only():
    place = {name: number for number, name in enumerate(ORDER)}
    wrong = []
    for source, targets in file_graph().items():
        for target in targets:
            a, b = source.split("."), target.split(".")
            between = a[0] == b[0] == "components" and len(a) > 1 < len(b) and a[1] != b[1]
            if between and place[a[1]] >= place[b[1]]:
                wrong.append(f"{source} → {target}")
    assert wrong == []


def test_stages_do_not_import_each_other():
    wrong = [
        f"{source} → {target}"
        for source, targets in file_graph().items()
        for target in targets
        if (a := source.split(".")[1:2]) != (b := target.split(".")[1:2])
        and source.startswith("components")
        and target.startswith("components")
        and a
        and b
        and a[0] in STAGES
        and b[0] in STAGES
    ]
    assert wrong == []


def test_nobody_imports_from_a_main():
    wrong = [f"{s} → {t}" for s, ts in file_graph().items() for t in ts if t.endswith("__main__")]
    assert wrong == []


def test_components_know_neither_prefect_nor_dvc():
    wrong = [
        f"{name} → {target}"
        for name, path in modules().items()
        if name.startswith("components")
        for target in read_source(path).imports
        if target.split(".")[0] in ("prefect", "dvc", "flows") and target not in FILES
    ]
    assert wrong == []


def test_nothing_is_pickled():
    """A pickle may be read that can hold tensors only, as packages of weights have it."""
    pickling = {"pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}
    for path in modules().values():
        assert not {target.split(".")[0] for target in read_source(path).imports} & pickling, path
        tree = ast.parse(path.read_text())
        tensors_only = {
            node.func
            for node in ast.walk(tree)
            if isinstance(node, ast.Call) and ast.unparse(node).endswith("weights_only=True)")
        }
        calls = {
            f"{node.value.id}.{node.attr}"
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
            if node not in tensors_only
        }
        assert not {c for c in calls if c in ("torch.save", "torch.load") or "pickle" in c}, path


@pytest.mark.slow  # imports everything
def test_importing_changes_nothing(tmp_path):
    """No folder is created, no seed set, no variable changed."""
    names = [n for n in modules() if n.startswith("components") and n not in NO_IMPORT]
    script = (
        "import os, importlib, torch, pandera.pandas, sklearn, threadpoolctl, torchvision.models\n"
        "def state(): return (dict(os.environ), torch.get_num_threads(),\n"
        "    torch.are_deterministic_algorithms_enabled(), os.listdir('.'))\n"
        "torch.manual_seed(7); before = state(), torch.get_rng_state().tolist()\n"
        f"for name in {names!r}: importlib.import_module(name)\n"
        "assert (state(), torch.get_rng_state().tolist()) == before\n"
    )
    process = run_python("-c", script, cwd=tmp_path, PYTHONDONTWRITEBYTECODE="1")
    assert process.returncode == 0, process.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow  # imports everything
def test_flows_load_no_torch(tmp_path):
    """Nor does checking settings: the stage of that name would take seconds to start."""
    names = [n for n in modules() if n.startswith("flows") and not n.endswith("__main__")]
    names.append("components.settings.__main__")
    script = f"""
import importlib, sys
for name in {names!r}: importlib.import_module(name)
assert not [name for name in ("torch", "torchvision", "torchaudio") if name in sys.modules]
"""
    process = run_python("-c", script, cwd=ROOT)
    assert process.returncode == 0, process.stderr


def test_modality_names_are_confined():
    """Names of modalities are known to their folders, the registry and sources of data only."""
    allowed = ("components.modalities", "components.ingest.sources")
    wrong = []
    for name, path in modules().items():
        if name.startswith(allowed):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and node.value in MODALITIES:
                wrong.append(f"{name}: {node.value!r}")
    assert wrong == []


def test_tests_set_threads_before_torch_is_imported():
    """Several threads of several workers wait for each other."""
    assert torch.get_num_threads() == int(os.environ["OMP_NUM_THREADS"])


def test_missing_packages_are_reported():
    """As when DVC is run without its environment: its stages take the first `python`."""
    process = run_python("-S", "-m", "components.align", cwd=ROOT)
    assert process.returncode == 2
    (line,) = process.stderr.splitlines()
    assert "lacks the packages of this project" in line and ".venv/bin/activate" in line
