"""Models of Transformers give here what they give there, from the same media."""

import io
import json
import shutil
import socket
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import transformers as hf
from PIL import Image
from tokenizers import Tokenizer

from components.config.settings import AudioSettings
from components.model.base.features import Features
from components.model.encoders.build import build_encoder
from components.model.encoders.huggingface import models
from components.model.encoders.huggingface.description import Description, describe
from components.model.processors.build import build_processors
from components.preprocess.text import own_tokenizer
from components.store.errors import InputError
from tests.model import published
from tests.shrunk import encoded, picture, small_settings

SECONDS, RATE = 1.5, 16_000
MODELS = {
    "image": ("clip", "vit", "vit_pooled", "dinov2", "convnext"),
    "text": ("clip", "clap", "bert", "roberta", "t5"),
    "audio": ("whisper", "wav2vec2", "wav2vec2_large", "ast", "clap", "clap_fused"),
}
EVERY = [(modality, name) for modality, names in MODELS.items() for name in names]
IMAGES = [encoded(picture(seed, size=(60 + 30 * seed, 50))) for seed in range(3)]
TEXTS = [b"Is shape 1 red?", b"a circle", b"is there a blue circle or a red 7 ? is there"]
WAVES = [np.random.default_rng(n).normal(scale=0.1, size=8_000 * (n + 1)) for n in range(3)]


def wav(wave: np.ndarray, rate: int) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, wave, rate, format="WAV", subtype="FLOAT")
    return file.getvalue()


@pytest.fixture(autouse=True)
def no_call_leaves_the_machine(monkeypatch):
    def refuse(*_):
        raise AssertionError("a call to the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder that stands for pretrained/<modality> of all of them."""
    made = tmp_path_factory.mktemp("pretrained")
    for name in {name for names in MODELS.values() for name in names}:
        published.save(made / name, getattr(published, name))
    return made


def settings(**changes):
    return small_settings({"preprocess.audio.max_seconds": SECONDS} | changes)


def encoder_of(name: str, folder: Path, modality: str) -> torch.nn.Module:
    """A model as the pipeline loads it, rebuilt from JSON and weights alone."""
    given = Description.model_validate_json(describe(name, folder, modality).model_dump_json())
    built = build_encoder(modality, settings().preprocess, settings().features, given)
    built.model.load_state_dict(models.weights(folder / name, modality))
    return built.eval()


def tensors_of(contents: list[bytes], name: str, folder: Path, modality: str) -> dict:
    """Media as the pipeline turns them into an encoder's inputs."""
    described, tokenizer = {modality: describe(name, folder, modality)}, None
    if modality == "text":
        tokenizer = own_tokenizer(name, folder, settings().preprocess.text)
        tokenizer = Tokenizer.from_str(tokenizer.to_str())  # as it lies in the model's folder
    else:
        tokenizer = published.tokenizer().backend_tokenizer
    processor = build_processors(settings().preprocess, described, tokenizer)[modality]
    return {name: torch.as_tensor(value) for name, value in processor(contents).items()}


@torch.no_grad()
def ours(contents: list[bytes], name: str, folder: Path, modality: str) -> Features:
    inputs = tensors_of(contents, name, folder, modality)
    return encoder_of(name, folder, modality)(**inputs)


def close(one: torch.Tensor, other: torch.Tensor) -> None:
    torch.testing.assert_close(one, other, atol=2e-5, rtol=1e-4)


POOLED_BY_ITSELF = ("clip", "vit_pooled", "dinov2", "convnext")


@pytest.mark.parametrize("name", MODELS["image"])
@torch.no_grad()
def test_an_image_gives_what_its_own_processor_and_model_give(folder, name):
    images = [Image.open(io.BytesIO(content)).convert("RGB") for content in IMAGES]
    inputs = hf.AutoImageProcessor.from_pretrained(folder / name)(images, return_tensors="pt")
    model = hf.CLIPVisionModel if name == "clip" else hf.AutoModel
    expected = model.from_pretrained(folder / name)(**inputs)
    found = ours(IMAGES, name, folder, "image")
    tokens = expected.last_hidden_state
    close(found.tokens, tokens.flatten(2).mT if tokens.ndim == 4 else tokens)
    pooled = expected.pooler_output if name in POOLED_BY_ITSELF else tokens[:, 0]
    close(found.pooled, pooled.reshape(len(IMAGES), -1))
    assert found.mask.all()


@pytest.mark.parametrize("name", MODELS["text"])
@torch.no_grad()
def test_a_text_gives_what_its_own_tokenizer_and_model_give(folder, name):
    size = settings().preprocess.text.max_tokens
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
    found = ours(TEXTS, name, folder, "text")
    mask = inputs["attention_mask"].bool()
    assert found.mask.equal(mask)
    close(found.tokens[mask], expected.last_hidden_state[mask])
    if name in ("clip", "clap"):
        close(found.pooled, expected.pooler_output)
    else:
        for row, own in enumerate(mask):
            close(found.pooled[row], expected.last_hidden_state[row][own].mean(0))


@pytest.mark.parametrize("name", MODELS["audio"])
@torch.no_grad()
def test_a_sound_gives_what_its_own_extractor_and_model_give(folder, name):
    extractor = hf.AutoFeatureExtractor.from_pretrained(folder / name)
    rate = extractor.sampling_rate
    model = hf.AutoModel.from_pretrained(folder / name)
    model = model.get_encoder() if name == "whisper" else getattr(model, "audio_model", model)
    more = {"is_longer": torch.zeros(1, 1)} if name == "clap_fused" else {}
    found = ours([wav(wave, rate) for wave in WAVES], name, folder, "audio")
    for row, wave in enumerate(WAVES):
        given = extractor(wave.astype(np.float32), sampling_rate=rate, return_tensors="pt")
        expected = model(given[extractor.model_input_names[0]], **more)
        tokens = expected.last_hidden_state  # of one sound
        seconds = min(SECONDS, len(wave) / rate)
        if name == "whisper":  # 50 tokens a second
            tokens = tokens[:, : round(50 * seconds)]
        elif name == "ast":  # 3 patches a tenth of a second, in the file band after band
            tokens = tokens[:, 2:].reshape(1, 2, -1, 16).transpose(1, 2)[:, : round(10 * seconds)]
        elif name.startswith("clap"):
            tokens = tokens.permute(0, 3, 2, 1)
        tokens = tokens.reshape(-1, tokens.shape[-1])
        close(found.tokens[row][found.mask[row]], tokens)
        own = expected.get("pooler_output")
        close(found.pooled[row], tokens.mean(0) if own is None else own[0])
