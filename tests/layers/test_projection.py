"""Features of all modalities, projected."""

import torch

from components.layers.features import Features
from components.layers.projection import Projections
from tests.support.tiny_model import PRESENT


def test_embeddings_have_length_one_and_tokens_keep_their_mask():
    widths = dict(zip(PRESENT, (6, 4, 8), strict=True))
    projections = Projections(widths, 5)
    for m, width in widths.items():
        features = Features(torch.randn(3, 2, width), torch.rand(3, 2) < 0.5, torch.randn(3, width))
        projected = projections[m](features)
        assert projected.tokens.shape == (3, 2, 5)
        assert projected.pooled.shape == (3, 5)
        assert projected.mask is features.mask
        embeddings = projections.embed(m, features.pooled)
        torch.testing.assert_close(embeddings.norm(dim=1), torch.ones(3))
        cosine = torch.cosine_similarity(embeddings, projected.pooled)
        torch.testing.assert_close(cosine, torch.ones(3))
