"""Models of Transformers give the features here that the library itself gives."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers as hf
from PIL import Image

from components.features.settings import FeaturesSettings, settings_for
from components.layers.features import Encoder, Features
from tests.huggingface.conftest import MODELS
from tests.support import published
from tests.support.media import encoded, picture, wav
from tests.support.params import small_settings

pytestmark = pytest.mark.slow  # builds models of every class of Transformers

SECONDS, RATE = 1.5, 16_000
EVERY = [(modality, name) for modality, names in MODELS.items() for name in names]
IMAGES = [encoded(picture(seed, size=(60 + 30 * seed, 50))) for seed in range(3)]
TEXTS = [b"Is shape 1 red?", b"a circle", b"is there a blue circle or a red 7 ? is there"]
WAVES = [np.random.default_rng(n).normal(scale=0.1, size=8_000 * (n + 1)) for n in range(3)]
POOLED_BY_ITSELF = ("clip", "vit_pooled", "dinov2", "convnext")


def settings(m: str) -> FeaturesSettings:
    changes = {"preprocess.audio.max_seconds": SECONDS}
    return small_settings(settings_for(m), changes)


def encoder_of(name: str, folder: Path, m: str) -> Encoder:
    return published.build_encoder(name, folder, m, settings(m))


def tensors_of(contents: list[bytes], name: str, folder: Path, m: str) -> dict:
    """Return media as inputs of an encoder."""
    process = published.build_processor(name, folder, m, settings(m))
    return {name: torch.as_tensor(value) for name, value in process(contents).items()}


@torch.no_grad()
def encode(contents: list[bytes], name: str, folder: Path, m: str) -> Features:
    return encoder_of(name, folder, m)(**tensors_of(contents, name, folder, m))


def assert_close(one: torch.Tensor, other: torch.Tensor) -> None:
    torch.testing.assert_close(one, other, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("name", MODELS["image"])
@torch.no_grad()
def test_image_features_equal_library(folder, name):
    images = [Image.open(io.BytesIO(content)).convert("RGB") for content in IMAGES]
    inputs = hf.AutoImageProcessor.from_pretrained(folder / name)(images, return_tensors="pt")
    model = hf.CLIPVisionModel if name == "clip" else hf.AutoModel
    expected = model.from_pretrained(folder / name)(**inputs)
    found = encode(IMAGES, name, folder, "image")
    tokens = expected.last_hidden_state
    assert_close(found.tokens, tokens.flatten(2).mT if tokens.ndim == 4 else tokens)
    pooled = expected.pooler_output if name in POOLED_BY_ITSELF else tokens[:, 0]
    assert_close(found.pooled, pooled.reshape(len(IMAGES), -1))
    assert found.mask.all()


@pytest.mark.parametrize("name", MODELS["text"])
@torch.no_grad()
def test_text_features_equal_library(folder, name):
    size = settings("text").preprocess.text.max_tokens
    tokenizer = hf.AutoTokenizer.from_pretrained(folder / name)
    texts = [content.decode() for content in TEXTS]
    inputs = tokenizer(
        texts, padding="max_length", truncation=True, max_length=size, return_tensors="pt"
    )
    inputs = {key: inputs[key] for key in ("input_ids", "attention_mask")}
    classes = {"clip": hf.CLIPTextModel, "t5": hf.T5EncoderModel}
    model = classes.get(name, hf.AutoModel).from_pretrained(folder / name)
    model = model.text_model if name == "clap" else model
    expected = model(**inputs)
    found = encode(TEXTS, name, folder, "text")
    mask = inputs["attention_mask"].bool()
    assert found.mask.equal(mask)
    assert_close(found.tokens[mask], expected.last_hidden_state[mask])
    if name in ("clip", "clap"):
        assert_close(found.pooled, expected.pooler_output)
    else:
        for row, own in enumerate(mask):
            assert_close(found.pooled[row], expected.last_hidden_state[row][own].mean(0))


@pytest.mark.parametrize("name", MODELS["audio"])
@torch.no_grad()
def test_audio_features_equal_library(folder, name):
    extractor = hf.AutoFeatureExtractor.from_pretrained(folder / name)
    rate = extractor.sampling_rate
    model = hf.AutoModel.from_pretrained(folder / name)
    model = model.get_encoder() if name == "whisper" else getattr(model, "audio_model", model)
    more = {"is_longer": torch.zeros(1, 1)} if name == "clap_fused" else {}
    found = encode([wav(wave, rate, "FLOAT") for wave in WAVES], name, folder, "audio")
    for row, wave in enumerate(WAVES):
        given = extractor(wave.astype(np.float32), sampling_rate=rate, return_tensors="pt")
        expected = model(given[extractor.model_input_names[0]], **more)
        tokens = expected.last_hidden_state  # of one sound
        seconds = min(SECONDS, len(wave) / rate)
        if name == "whisper":  # 50 tokens per second
            tokens = tokens[:, : round(50 * seconds)]
        elif name == "ast":  # 3 patches per 0.1 s, in the library band after band
            tokens = tokens[:, 2:].reshape(1, 2, -1, 16).transpose(1, 2)[:, : round(10 * seconds)]
        elif name.startswith("clap"):
            tokens = tokens.permute(0, 3, 2, 1)
        tokens = tokens.reshape(-1, tokens.shape[-1])
        assert_close(found.tokens[row][found.mask[row]], tokens)
        own = expected.get("pooler_output")
        assert_close(found.pooled[row], tokens.mean(0) if own is None else own[0])


@pytest.mark.parametrize(("m", "name"), EVERY)
def test_rebuilt_encoder_has_width_and_gradients(folder, m, name):
    encoder = encoder_of(name, folder, m).train()
    contents = {"image": IMAGES, "text": TEXTS, "audio": [wav(WAVES[0], RATE, "FLOAT")] * 2}[m]
    torch.manual_seed(0)
    features = encoder(**tensors_of(contents, name, folder, m))
    assert encoder.width == features.tokens.shape[2] == features.pooled.shape[1]
    features.pooled.square().sum().backward()
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in encoder.parameters())


@pytest.mark.parametrize("name", MODELS["audio"])
def test_single_sample_of_sound_has_token(folder, name):
    """And its neighbours in the batch change nothing."""
    encoder = encoder_of(name, folder, "audio")
    samples = torch.zeros(2, int(SECONDS * encoder.rate))
    samples[1] = torch.randn(samples.shape[1], generator=torch.Generator().manual_seed(0))
    lengths = torch.tensor([1, samples.shape[1]])
    with torch.no_grad():
        together = encoder(samples, lengths)
        alone = encoder(samples[:1], lengths[:1])
    assert together.mask.any(1).all() and together.pooled.isfinite().all()
    assert_close(alone.pooled[0], together.pooled[0])
    assert alone.mask.sum() == together.mask[0].sum()


def test_training_uses_only_seeded_generator(folder):
    encoder = encoder_of("wav2vec2", folder, "audio").train()  # its config asks for random masks
    samples, lengths = torch.randn(2, 8_000), torch.tensor([8_000, 8_000])
    found = []
    for seed in (1, 2):
        np.random.seed(seed)
        torch.manual_seed(0)
        found.append(encoder(samples, lengths).pooled)
    assert found[0].equal(found[1])
