"""The data of joint training: read from shards, grouped into batches, turned into logits."""

from dataclasses import replace

import pytest
import torch

from components.layers.plain import PLAIN
from components.train.data import training_data
from tests.support.tiny_model import (
    PRESENT,
    TASKS,
    make_assets,
    make_model,
    make_table,
    write_assets,
)
from tests.train.small_data import ASSETS, data_of, make_data, train_settings


def test_frozen_reads_features_and_trained_reads_tensors(tmp_path):
    model, table = make_model(), make_table(60, ASSETS)
    settings = train_settings(frozen=("image", "audio"))
    stored = {"tensors": make_assets(ASSETS), "features": make_assets(ASSETS, model)}
    for kind, assets in stored.items():
        for m, values in assets.items():
            write_assets(tmp_path / kind / m, tmp_path / "media" / m, m, values.tensors)
    folders = tmp_path / "tensors", tmp_path / "features"
    found = training_data(model, table, TASKS, settings, *folders)
    expected = data_of(model, settings, table, TASKS)
    assert set(found.assets["text"].tensors) == {"tokens", "lengths"}
    assert set(found.assets["image"].tensors) == {"tokens", "lengths", "pooled"}
    for m in PRESENT:
        assert found.assets[m].ids == expected.assets[m].ids
        for name, value in expected.assets[m].tensors.items():
            assert found.assets[m].tensors[name].equal(value)
    for split, samples in expected.samples.items():
        read = found.samples[split]
        assert all(read.rows[m].equal(rows) for m, rows in samples.rows.items())
        assert all(read.targets[task].equal(t) for task, t in samples.targets.items())


def test_plain_features_of_an_encoder_in_training_are_computed_once(tmp_path):
    model, table = make_model(**{"features.image.plain": True}), make_table(60, ASSETS)
    stored = {"tensors": make_assets(ASSETS), "features": make_assets(ASSETS, model)}
    for kind, assets in stored.items():
        for m, values in assets.items():
            write_assets(tmp_path / kind / m, tmp_path / "media" / m, m, values.tensors)
    settings = train_settings(frozen=("text", "audio"))
    folders = tmp_path / "tensors", tmp_path / "features"
    data = training_data(model, table, TASKS, settings, *folders)
    expected = stored["features"]["image"].tensors["plain"]
    assert data.assets["image"].tensors[PLAIN].equal(expected)
    fade = {"image": lambda batch: {"pixels": batch["pixels"] // 2}}
    rows = {"image": torch.arange(4)}
    for training in (True, False):
        model.train(training)
        found = replace(data, augment=fade).features(rows)["image"].plain
        assert found is not None and found.equal(expected[:4]) is not training


@pytest.mark.parametrize("batch_size", [2, 3, 8, 1000])
@pytest.mark.parametrize("modality", ["image", "audio"])
def test_batches_hold_each_sample_once_grouped_by_asset(batch_size, modality):
    data = make_data(train_settings(batch_size=batch_size, group_by=modality))
    assets = data.samples["train"].rows[modality]
    torch.manual_seed(0)
    parts = data.batches()
    assert sorted(torch.cat(parts).tolist()) == list(range(len(assets)))
    place = {int(n): number for number, part in enumerate(parts) for n in part}
    for asset in assets[assets >= 0].unique():
        assert len({place[int(n)] for n in (assets == asset).nonzero()}) == 1
    groups = [len(assets[part][assets[part] >= 0].unique()) for part in parts]
    alone = [int((assets[part] < 0).sum()) for part in parts]
    sizes = [a + b for a, b in zip(groups, alone, strict=True)]
    assert max(sizes) - min(sizes) <= 1
    assert max(sizes) <= 1.5 * batch_size


def test_batches_without_the_grouping_modality_hold_single_samples():
    data = make_data(train_settings(batch_size=4, group_by="audio"), modalities=("image", "text"))
    torch.manual_seed(0)
    parts = data.batches()
    assert sorted(torch.cat(parts).tolist()) == list(range(len(data.samples["train"])))
    assert {len(part) for part in parts} <= {3, 4, 5}


def test_every_epoch_has_another_order():
    data = make_data()
    torch.manual_seed(0)
    assert torch.cat(data.batches()).tolist() != torch.cat(data.batches()).tolist()


def test_stored_features_equal_computed_ones():
    """So `frozen` may read stored features."""
    stored, computed = make_data(), make_data(train_settings(frozen=()))
    part = stored.samples["train"]
    one, other = stored.logits(part), computed.logits(part)
    for task in one:
        torch.testing.assert_close(one[task], other[task], atol=1e-5, rtol=1e-5)


def test_inputs_of_encoders_in_training_are_augmented_in_steps_only():
    data = make_data(train_settings(frozen=("image", "audio")), missing=0.0)
    erase = {"text": lambda batch: batch | {"tokens": torch.zeros_like(batch["tokens"])}}
    rows = {m: torch.arange(4) for m in data.model.config.modalities}

    def features(training: bool) -> dict[str, torch.Tensor]:
        data.model.train(training)
        torch.manual_seed(0)
        return {m: found.tokens for m, found in data.features(rows).items()}

    plain = {training: features(training) for training in (True, False)}
    data = replace(data, augment=erase)
    for training, expected in plain.items():
        same = {m: found.equal(expected[m]) for m, found in features(training).items()}
        assert same == {m: not (training and m == "text") for m in rows}
