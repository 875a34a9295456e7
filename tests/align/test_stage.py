"""The whole stage with either loss, from shard sets of features to retrieval metrics."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from components.align.__main__ import STAGE
from components.align.contrastive import LOSSES
from components.common.files import read_json
from components.common.metrics import Figures
from components.data.samples import read_samples, samples_schema
from components.data.tables import read_table, write_table
from components.modalities.registry import MODALITIES
from components.training.tables import HISTORY
from tests.support.params import small_params, write_params
from tests.support.tiny_model import PRESENT, make_assets, make_model, make_table, write_assets

ASSETS, EPOCHS = 8, 12
DIRECTIONS = {f"{a} to {b}" for a in PRESENT for b in PRESENT if a != b}
INPUTS = ("samples", "features")
OUTPUTS = ("projections", "embeddings", "metrics", "ranks", "history")


@pytest.fixture(scope="module", params=LOSSES)
def done(request, tmp_path_factory) -> Path:
    """Return the folder after the stage has run."""
    here = tmp_path_factory.mktemp(request.param)
    params = {"align.loss": request.param, "align.epochs": EPOCHS, "align.learning_rate": 0.01}
    write_params(here / "params.yaml", small_params(params))
    write_table(here / "samples", make_table(60, ASSETS), samples_schema(MODALITIES))
    torch.manual_seed(0)
    for m, assets in make_assets(ASSETS, make_model()).items():
        pooled = torch.randn_like(assets.tensors["pooled"])  # no two are alike
        tensors = assets.tensors | {"pooled": pooled}
        write_assets(here / "features" / m, here / "media" / m, m, tensors)
    for m in set(MODALITIES) - set(PRESENT):
        nothing = {"pooled": torch.zeros(0, 8)}
        write_assets(here / "features" / m, here / "media" / m, m, nothing)
    run(here)
    return here


def run(here: Path) -> None:
    words = ["--params", str(here / "params.yaml")]
    for name in (*INPUTS, *OUTPUTS, "checkpoint"):
        words += [f"--{name}", str(here / name)]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(here)
        STAGE.main(words)


def test_losses_fall(done):
    history = read_table(done / "history", HISTORY)
    losses = history[history["series"] == "loss"].pivot(index="epoch", columns="task")["value"]
    assert (losses.iloc[-1] < losses.iloc[0]).all() and losses.shape == (EPOCHS, 3)


def test_recall_is_that_of_the_embeddings(done):
    """In all six directions, from the embeddings and the samples, one query at a time."""
    found, samples = read_json(done / "metrics"), read_samples(done / "samples", MODALITIES)
    embeddings, test = load_file(done / "embeddings"), samples[samples["split"] == "test"]
    ids = {m: make_assets(ASSETS)[m].ids for m in PRESENT}
    assert set(found["recall_at_1"]) == set(found["recall_at_5"]) == DIRECTIONS
    assert list(Figures(found).metrics) == ["recall_at_1", "recall_at_5"]
    for direction, recall in found["recall_at_1"].items():
        a, b = direction.split(" to ")
        pairs = set(test[[f"{a}_id", f"{b}_id"]].dropna().itertuples(index=False, name=None))
        queries, targets = (sorted(set(side)) for side in zip(*pairs, strict=True))
        rows = [ids[b].index(target) for target in targets]
        nearest = {
            query: targets[int((embeddings[b][rows] @ embeddings[a][ids[a].index(query)]).argmax())]
            for query in queries
        }
        hits = sum((query, target) in pairs for query, target in nearest.items())
        assert recall == pytest.approx(hits / len(queries))


def test_embeddings_have_length_one(done):
    for embeddings in load_file(done / "embeddings").values():
        torch.testing.assert_close(embeddings.norm(dim=1), torch.ones(ASSETS))


def test_checkpoint_is_gone(done):
    assert not (done / "checkpoint").exists()


def test_second_run_gives_the_same_bytes(done):
    before = {name: (done / name).read_bytes() for name in OUTPUTS}
    run(done)
    assert {name: (done / name).read_bytes() for name in OUTPUTS} == before
