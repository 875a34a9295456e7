"""The stages of dvc.yaml as benchmarks see them."""

import pytest

from benchmarks.stages import PipelineStage, downstream, read_stages, run_commands
from components.modalities.registry import MODALITIES

STAGES = {
    "a": PipelineStage("a", "python -m a", deps=("source", "code"), outs=("data/a", "data/x/1")),
    "b": PipelineStage("b", "python -m b", deps=("data/a/part",), outs=("data/b",)),
    "c": PipelineStage("c", "python -m c", deps=("data/x",), outs=("data/c",)),
    "d": PipelineStage("d", "python -m d", deps=("data/ab",), outs=("data/d",)),
    "e": PipelineStage("e", "python -m e", deps=("data/b",), outs=("data/e",)),
}


def test_stages_are_those_of_dvc_yaml():
    stages = read_stages()
    assert stages["ingest"].module == "components.ingest" and "source" in stages["ingest"].data
    assert stages["preprocess_text"].by_hand[2:4] == ["--modality", "text"]
    assert {"data/samples.parquet", "data/features"} < stages["train"].data
    assert not any(path.startswith(("components", "data/code")) for path in stages["train"].data)
    assert "components/train/__main__.py" in stages["train"].code
    assert "reports/metrics.json" in stages["evaluate"].outs
    learning = [name for name, stage in stages.items() if stage.is_learning]
    assert learning == [*(f"features_{m}" for m in MODALITIES), "align", "train"]


@pytest.mark.parametrize(
    ("path", "expected"),
    [("code/file.py", True), ("code", True), ("codes", False), ("source/a/b", True)],
)
def test_dep_covers_what_is_below(path, expected):
    assert STAGES["a"].reads(path) is expected


def test_downstream_follows_outputs():
    assert downstream(STAGES, ["a"]) == ["b", "c", "e"]
    assert downstream(STAGES, ["b", "d"]) == ["e"]
    assert downstream(STAGES, []) == []


def test_failed_command_is_reported(tmp_path):
    stage = PipelineStage("wrong", "python -m timeit no_luck", (), ())
    with pytest.raises(RuntimeError, match="wrong ended with 1:\n(.*\n)*.*no_luck"):
        run_commands([stage], tmp_path)
