"""Features: rows, shards and means."""

import pytest
import torch
from torch import Tensor

from components.layers.features import Encoder, Features, encode, length_mask, masked_mean

N, T, D = 5, 4, 3


@pytest.fixture
def features() -> Features:
    g = torch.Generator().manual_seed(0)
    lengths = torch.tensor([4, 1, 2, 3, 4])
    tokens = torch.randn(N, T, D, generator=g)
    return Features(tokens, length_mask(lengths, T), torch.randn(N, D, generator=g))


def assert_equal(one: Features, other: Features) -> None:
    for name in ("tokens", "mask", "pooled"):
        assert getattr(one, name).equal(getattr(other, name)), name


def test_rows_can_be_selected_and_concatenated(features):
    parts = [features[torch.tensor([0, 1])], features[torch.tensor([2, 3, 4])]]
    assert [len(part) for part in parts] == [2, 3]
    assert_equal(Features.cat(parts), features)


def test_tensors_of_a_shard_give_features_back(features):
    tensors = features.to_tensors()
    assert tensors["lengths"].tolist() == [4, 1, 2, 3, 4]
    assert_equal(Features.from_tensors(tensors), features)


def test_masked_mean_leaves_out_padding(features):
    noisy = torch.where(features.mask[..., None], features.tokens, 99.0)
    found = masked_mean(noisy, features.mask)
    for row in range(N):
        expected = features.tokens[row, features.mask[row]].mean(0)
        torch.testing.assert_close(found[row], expected)


class Doubling(Encoder):
    """Notes how many assets it gets at a time."""

    width, max_batch_size = D, 2

    def __init__(self):
        super().__init__()
        self.sizes: list[int] = []

    def forward(self, values: Tensor) -> Features:
        self.sizes.append(len(values))
        mask = torch.ones(values.shape[:2], dtype=torch.bool)
        return Features(2 * values, mask, 2 * values[:, 0])


def test_assets_are_encoded_a_few_at_a_time(features):
    encoder, rows = Doubling(), torch.tensor([4, 0, 3, 3, 1])
    found = encode(encoder, {"values": features.tokens}, rows)
    assert found.tokens.equal(2 * features.tokens[rows])
    assert encoder.sizes == [2, 2, 1]
