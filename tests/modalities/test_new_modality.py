"""Another modality is one folder, one name in the registry, and its rows in dvc.yaml.

`tests/support/toy_modality` becomes the modality `vector` of a copy of the project, in which a
model of images and texts was trained and registered before.
"""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image
from safetensors import safe_open

from tests.support.clone import Clone
from tests.support.media import encoded
from tests.support.params import ROOT, small_params, write_params

pytestmark = pytest.mark.slow

TOY = "vector"
MODEL, EARLIER = "models/synesthesia", "pretrained/model/earlier"
COLOURS = {"red": (250, 0, 0), "blue": (0, 0, 250)}
SPLITS = ["train"] * 48 + ["validation"] * 8 + ["test"] * 16
COLUMNS = {"image": "picture", "text": "caption"}
SOURCE = {"kind": "table", "files": ["table.csv"], "id": "id", "split": "split"}
COLOUR = {"kind": "classification", "column": "colour", "sufficient_modalities": ["image", "text"]}
SIGN = {"kind": "classification", "column": "sign", "sufficient_modalities": [TOY]}
CHANGES = {
    "ingest.source": SOURCE | {"columns": COLUMNS},
    "ingest.splits": {"group": "text", "validation": 0.0},
    "ingest.slices": [],
    "tasks": {"colour": COLOUR},
    "train.epochs": 20,
    "train.learning_rate": 0.01,
}
TOY_CHANGES = {
    "ingest.source": SOURCE | {"columns": COLUMNS | {TOY: "numbers"}},
    "tasks": {"colour": COLOUR, "sign": SIGN},
}
TOY_INPUTS = {"length": 4}
TOY_ENCODER = {
    "encoder": "mlp",
    "pretrained": None,
    "width": 8,
    "dropout": 0.0,
    "label_smoothing": 0.0,
    "epochs": 20,
    "batch_size": 16,
    "learning_rate": 0.02,
    "weight_decay": 0.0,
}
SCRIPTS = {
    "run_stages": """
import importlib, shlex, sys, yaml
rows = yaml.safe_load(open("dvc.yaml"))["stages"]
for name in sys.argv[1:]:
    _, _, module, *words = shlex.split(rows[name]["cmd"])
    importlib.import_module(f"{module}.__main__").STAGE.main(words)
""",
    "predict": """
import json, sys, pandas
from pathlib import Path
from components.common.errors import InputError
from components.model.predictor import Predictor
predictor = Predictor(Path(sys.argv[1]))
try:
    print(json.dumps(predictor(pandas.read_parquet(sys.argv[2])).to_dict("list")))
except InputError as error:
    print(json.dumps(str(error)))
""",
    "closure": """
import sys
from components.common.source_code import import_closure
modules = ("components.preprocess.__main__", "components.features.__main__")
print(*import_closure(*modules, plugins={"components.modalities": sys.argv[1:]}), sep="\\n")
""",
}


def vector(row: int) -> bytes:
    """Return four numbers; the sign of the first is the label."""
    numbers = np.random.default_rng(row).normal(size=4)
    numbers[0] = (1 + abs(numbers[0])) * (1 if row // 2 % 2 else -1)
    return numbers.astype("<f4").tobytes()


def write_source(folder: Path) -> None:
    """Write a table and its files; some rows lack modalities, and one vector is cut off."""
    rows = []
    for row, split in enumerate(SPLITS):
        colour = list(COLOURS)[row % 2]
        shade = tuple(max(0, value - row) for value in COLOURS[colour])
        (folder / f"{row}.png").write_bytes(encoded(Image.new("RGB", (8, 8), shade)))
        (folder / f"{row}.f32").write_bytes(vector(row))
        cells = {
            "id": f"row{row}",
            "split": split,
            "picture": f"{row}.png" if row % 5 else "",
            "caption": f"thing {row} is {colour}" if row % 7 else "",
            "numbers": f"{row}.f32" if row % 3 else "",
            "colour": colour,
            "sign": "plus" if row // 2 % 2 else "minus",
        }
        rows.append(cells)
    rows.append(rows[1] | {"id": "broken", "numbers": "broken.f32"})
    (folder / "broken.f32").write_bytes(b"12345")
    pd.DataFrame(rows).to_csv(folder / "table.csv", index=False)


class Project(Clone):
    """A copy of the project with a small table as its source."""

    def read_json(self, name: str) -> Any:
        return json.loads(self.read(name))

    def stages(self) -> dict[str, Any]:
        """Return the rows of dvc.yaml."""
        return yaml.safe_load(self.read("dvc.yaml"))["stages"]

    def run_stages(self) -> None:
        """Run the command of every stage, in the order of dvc.yaml."""
        self.run("run_stages", *self.stages())

    def predict(self, model: str, table: pd.DataFrame) -> Any:
        """Return the predictions of a model's folder by column, or its error message."""
        table.to_parquet(self.path / "rows.parquet")
        return json.loads(self.run("predict", model, "rows.parquet").splitlines()[-1])

    def add_toy(self) -> None:
        """Add the folder, the name in the registry, the rows of dvc.yaml, and settings."""
        place = self.path / "components/modalities" / TOY
        shutil.copytree(ROOT / "tests/support/toy_modality", place)
        registry = self.path / "components/modalities/registry.py"
        before = '= ("image", "text", "audio", "tabular")'
        code = registry.read_text()
        assert code.count(before) == 1
        registry.write_text(code.replace(before, f'{before[:-1]}, "{TOY}")'))
        rows: dict[str, Any] = {}
        for name, row in self.stages().items():
            rows[name] = row
            if name.endswith("_image"):
                text = yaml.safe_dump(row).replace("image", TOY)
                rows[name.replace("image", TOY)] = yaml.safe_load(text)
        rows["code"]["cmd"] += f" preprocess_{TOY} features_{TOY}"
        (self.path / "dvc.yaml").write_text(yaml.safe_dump({"stages": rows}, sort_keys=False))
        self.write_toy_params({})
        (self.path / "pretrained" / TOY).mkdir()

    def write_toy_params(self, changes: dict) -> None:
        params = small_params(CHANGES | TOY_CHANGES | changes)
        params["preprocess"][TOY], params["features"][TOY] = TOY_INPUTS, TOY_ENCODER
        write_params(self.path / "params.yaml", params)

    def evaluate(self, model: str) -> Any:
        """Return the evaluation of a model with the suite quick."""
        folder = f"evaluations/{Path(model).name}"
        inputs = ("--samples", "data/samples.parquet", "--media", "data/media")
        command = ("components.evaluate.evaluation", "--model", model, *inputs)
        self.run(*command, "--evaluation", folder, "--suite", "quick")
        return self.read_json(f"{folder}/evaluation.json")

    def tensors(self, model: str) -> list[str]:
        """Return the names of the tensors of a model."""
        with safe_open(self.path / model / "model.safetensors", "pt") as file:
            return list(file.keys())

    def shards(self) -> dict[str, set[str]]:
        """Return the names of the tensor and feature shards of images."""
        folders = [self.path / "data" / kind / "image" for kind in ("tensors", "features")]
        return {str(f): {p.name for p in f.glob("*.safetensors")} for f in folders}


@pytest.fixture(scope="module")
def project(tmp_path_factory, empty_store) -> Project:
    """Return a project without the toy in which every stage has run."""
    made = Project.fresh(tmp_path_factory.mktemp("toy") / "project", CHANGES)
    shutil.copy(empty_store, made.path / "mlflow.db")
    write_source(made.path / "source")
    for name, script in SCRIPTS.items():
        (made.path / f"{name}.py").write_text(script)
    made.run_stages()
    shutil.copytree(made.path / MODEL, made.path / EARLIER)
    return made


@pytest.fixture(scope="module")
def rows(project) -> pd.DataFrame:
    """Return raw media of some test rows without vectors."""
    numbers = [n for n in range(56, 72) if n % 5 and n % 7]
    return pd.DataFrame(
        {
            "image": [project.read(f"source/{n}.png") for n in numbers],
            "text": [f"thing {n} is {list(COLOURS)[n % 2]}" for n in numbers],
        }
    )


@dataclass(frozen=True)
class Before:
    """What there was before the toy: predictions of the model, and shards of images."""

    predictions: dict[str, list]
    shards: dict[str, set[str]]


@pytest.fixture(scope="module")
def before(project, rows) -> Before:
    return Before(project.predict(MODEL, rows), project.shards())


@pytest.fixture(scope="module")
def extended(project, before) -> Project:
    """Return the project with the toy, in which every stage has run again."""
    project.add_toy()
    project.run_stages()
    return project


def test_model_without_sound_has_no_audio_encoder(project):
    config = project.read_json(f"{EARLIER}/config.json")
    assert config["modalities"] == ["image", "text"]
    assert set(config["encoders"]) == set(config["inputs"]) == {"image", "text"}
    files = {path.name for path in (project.path / EARLIER / "processors").iterdir()}
    assert files == {"image.json", "text.json"}
    names = project.tensors(EARLIER)
    assert any(name.startswith("encoders.image.") for name in names)
    assert not [name for name in names if "audio" in name]


def test_only_folder_registry_rows_and_settings_change(extended):
    changed = extended.git("diff", "--numstat", "--", "components", "flows", "*.yaml")
    lines = dict(line.split("\t")[::-2] for line in changed.splitlines())
    assert set(lines) == {"components/modalities/registry.py", "dvc.yaml", "params.yaml"}
    assert lines["components/modalities/registry.py"] == "1"  # line added
    assert "?? components/modalities/vector/" in extended.git("status", "--porcelain")


def test_settings_are_valid(extended):
    assert "every key and value is valid" in extended.run("flows.check")


def test_rows_become_samples_or_go_to_quarantine(extended):
    samples = pd.read_parquet(extended.path / "data/samples.parquet")
    quarantine = pd.read_parquet(extended.path / "data/quarantine.parquet").set_index("row_id")
    assert len(samples) == len(SPLITS) - 1
    assert samples[f"{TOY}_id"].notna().sum() == sum(row % 3 > 0 for row in range(len(SPLITS)))
    assert quarantine["reason"].to_dict() == {"row0": "row_empty", "broken": "vector_malformed"}
    report = extended.read_json("reports/data.json")
    assert report["media"][TOY]["numbers"] == {"least": 4, "median": 4, "most": 4}
    assert report["leaks"][TOY] == 0


def test_every_stage_knows_the_toy(extended):
    retrieval = extended.read_json("reports/retrieval.json")
    assert {f"text to {TOY}", f"{TOY} to image"} <= set(retrieval["recall_at_1"])
    config = extended.read_json(f"{MODEL}/config.json")
    assert config["modalities"] == ["image", "text", TOY]
    assert extended.read_json(f"{MODEL}/processors/{TOY}.json") == TOY_INPUTS
    accuracy = extended.read_json("reports/metrics.json")["accuracy"]
    assert set(accuracy["sign"]) == {s for s in accuracy["colour"] | {TOY: 1} if TOY in s}
    assert accuracy["sign"][TOY] == 1.0


def test_toy_has_no_baseline_of_its_own(extended):
    """Where it is given, the model is compared with what the others or a constant can do."""
    figures = extended.read_json("reports/metrics.json")
    assert set(figures["baselines"]["colour"]) == {"majority", "image", "text", "image-text"}
    assert set(figures["baselines"]["sign"]) == {"majority"}
    assert set(figures["above_baseline"]["colour"]) == set(figures["accuracy"]["colour"])
    majority = figures["baselines"]["sign"]["majority"]
    assert figures["above_baseline"]["sign"][TOY] == pytest.approx(1 - majority, abs=0.2)


def test_images_are_neither_converted_nor_encoded_again(before, extended):
    """The labels that their encoder learns are the same."""
    assert before.shards == extended.shards()
    assert all(before.shards.values())


def test_deps_of_toy_are_its_own_parts(extended):
    found = extended.run("closure", TOY).split()
    folder = f"components/modalities/{TOY}"
    own = ("decoding.py", "encoders.py", "modality.py", "processing.py")
    assert [path for path in found if path.startswith(folder)] == [f"{folder}/{n}" for n in own]
    assert not [path for path in found if path.startswith("components/modalities/image")]


def test_toy_is_predicted_and_corrupted(extended):
    """By the predictor, from the shell, in a table, and in an evaluation."""
    numbers = [n for n in range(56, 72) if n % 3]
    signs = ["plus" if n // 2 % 2 else "minus" for n in numbers]
    vectors = pd.DataFrame({TOY: [vector(n) for n in numbers]})
    found = extended.predict(MODEL, vectors)
    assert found["sign"] == signs
    assert found["colour"] == [None] * len(numbers)
    shown = extended.run("components.serving.predict", f"--{TOY}", f"source/{numbers[0]}.f32")
    assert shown.split()[:2] == ["sign", signs[0]]
    paths = pd.DataFrame({TOY: [f"source/{n}.f32" for n in numbers] + ["source/broken.f32"]})
    paths.to_parquet(extended.path / "paths.parquet")
    command = ("components.serving.predict", "--table", "paths.parquet", "--output", "out.parquet")
    assert f"{len(numbers)} of {len(paths)} rows predicted" in extended.run(*command)
    predicted = pd.read_parquet(extended.path / "out.parquet")
    assert predicted["sign"].dropna().tolist() == signs
    assert "expected a multiple of 4" in predicted["error"].iloc[-1]
    robustness = extended.evaluate(MODEL)["robustness"]
    assert robustness[TOY]["sign"][TOY]["corrupted"] < robustness[TOY]["sign"][TOY]["clean"] == 1.0


def test_earlier_model_still_predicts(extended, rows, before):
    assert extended.predict(EARLIER, rows) == before.predictions
    question = ("components.serving.predict", "--model", "models:/synesthesia/1", "--text")
    assert extended.run(*question, rows["text"][0]).split()[0] == "colour"
    refusal = extended.predict(EARLIER, pd.DataFrame({TOY: [vector(1)]}))
    assert f"row 0 has {TOY}, but no sample that the model was trained on had any" in refusal


def test_earlier_model_is_evaluated_on_new_data(extended):
    found = extended.evaluate(EARLIER)
    assert set(found["robustness"]) == {"image", "text", "missing"}
    assert set(found["figures"]["accuracy"]) == {"colour"}


def test_training_continues_from_earlier_model(extended):
    extended.write_toy_params({"train.warm_start": Path(EARLIER).name})
    taken = f"{len(extended.tensors(EARLIER))} of {len(extended.tensors(MODEL))} tensors are taken"
    assert f"{taken}; fresh: task sign" in extended.run("run_stages", "settings", "train")
