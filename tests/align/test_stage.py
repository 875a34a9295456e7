"""The whole stage with either loss, from shard sets of features to retrieval metrics."""

import sys

import pytest
import torch
from components.modalities.registry import MODALITIES
from safetensors.torch import load_file

from components.align.__main__ import STAGE, work
from components.align.contrast import LOSSES
from components.common.files import read_json
from components.data.tables import HISTORY, SAMPLES, read_table, write_table
from tests.model.worlds import make_assets, make_model, make_table, write_assets
from tests.shrunk import small_params, write_params

ASSETS = 8
DIRECTIONS = {f"{a}→{b}" for a in MODALITIES for b in MODALITIES if a != b}
FILES = ("projections", "embeddings", "metrics", "ranks", "history")


@pytest.fixture(scope="module", params=LOSSES)
def done(request, tmp_path_factory):
    """The folder after the stage has run."""
    here = tmp_path_factory.mktemp(request.param)
    params = {"align.loss": request.param, "align.epochs": 30, "align.learning_rate": 0.01}
    write_params(here / "params.yaml", small_params(params))
    write_table(here / "samples", make_table(60, ASSETS), SAMPLES)
    torch.manual_seed(0)
    for m, assets in make_assets(ASSETS, make_model()).items():
        pooled = torch.randn_like(assets.tensors["pooled"])  # no two are alike
        write_assets(here / m, here / "media" / m, m, assets.tensors | {"pooled": pooled})
    run(here)
    return here


def run(here):
    words = [w for name in (*STAGE.inputs, *STAGE.outputs) for w in (f"--{name}", str(here / name))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["align", "--params", str(here / "params.yaml"), *words])
        STAGE.run(work)


def test_it_learns(done):
    history = read_table(done / "history", HISTORY)
    losses = history[history["series"] == "loss"].pivot(index="epoch", columns="task")["value"]
    assert (losses.iloc[-1] < losses.iloc[0]).all() and losses.shape == (30, 3)


def test_retrieval_in_all_six_directions_is_that_of_the_embeddings_it_leaves(done):
    """Computed here from the embeddings' file and the samples, one query at a time."""
    found, samples = read_json(done / "metrics"), read_table(done / "samples", SAMPLES)
    embeddings, test = load_file(done / "embeddings"), samples[samples["split"] == "test"]
    ids = {m: make_assets(ASSETS)[m].ids for m in MODALITIES}
    assert set(found["recall_at_1"]) == set(found["recall_at_5"]) == DIRECTIONS
    for direction, recall in found["recall_at_1"].items():
        a, b = direction.split("→")
        pairs = set(test[[f"{a}_id", f"{b}_id"]].dropna().itertuples(index=False, name=None))
        queries, targets = (sorted(set(side)) for side in zip(*pairs, strict=True))
        rows = [ids[b].index(target) for target in targets]
        nearest = {
            query: targets[int((embeddings[b][rows] @ embeddings[a][ids[a].index(query)]).argmax())]
            for query in queries
        }
        hits = sum((query, target) in pairs for query, target in nearest.items())
        assert recall == pytest.approx(hits / len(queries))


def test_embeddings_are_of_length_one(done):
    for embeddings in load_file(done / "embeddings").values():
        torch.testing.assert_close(embeddings.norm(dim=1), torch.ones(ASSETS))


def test_the_same_again_gives_the_same_bytes(done):
    before = {name: (done / name).read_bytes() for name in FILES}
    run(done)
    assert {name: (done / name).read_bytes() for name in FILES} == before
