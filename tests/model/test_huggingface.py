"""Models of Transformers give here what they give there, from the same media."""

import io
import json
import socket
import sys
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
import soundfile
import torch
import transformers as hf
from PIL import Image
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer

from components.common.errors import InputError
from components.huggingface import models
from components.huggingface.description import Description, describe
from components.layers.features import Features
from components.modalities.encoders import build_encoder
from components.modalities.image.huggingface_processor import HuggingFaceImageProcessor
from components.modalities.processors import build_processors
from components.preprocess.text import own_tokenizer
from tests.model import published
from tests.shrunk import encoded, picture, run_python, small_settings

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


@pytest.mark.parametrize(("modality", "name"), EVERY)
def test_the_rebuilt_encoder_knows_the_width_and_learns(folder, modality, name):
    encoder = encoder_of(name, folder, modality).train()
    contents = {"image": IMAGES, "text": TEXTS, "audio": [wav(WAVES[0], RATE)] * 2}[modality]
    torch.manual_seed(0)
    features = encoder(**tensors_of(contents, name, folder, modality))
    assert encoder.width == features.tokens.shape[2] == features.pooled.shape[1]
    features.pooled.square().sum().backward()
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in encoder.parameters())


@pytest.mark.parametrize("name", MODELS["audio"])
def test_a_sound_of_a_single_sample_has_a_token_and_neighbours_change_nothing(folder, name):
    encoder = encoder_of(name, folder, "audio")
    samples = torch.zeros(2, int(SECONDS * encoder.rate))
    samples[1] = torch.randn(samples.shape[1], generator=torch.Generator().manual_seed(0))
    lengths = torch.tensor([1, samples.shape[1]])
    with torch.no_grad():
        together = encoder(samples, lengths)
        alone = encoder(samples[:1], lengths[:1])
    assert together.mask.any(1).all() and together.pooled.isfinite().all()
    close(alone.pooled[0], together.pooled[0])
    assert alone.mask.sum() == together.mask[0].sum()


def test_training_draws_from_the_seeded_generator_only(folder):
    encoder = encoder_of("wav2vec2", folder, "audio").train()  # its config asks for random masks
    samples, lengths = torch.randn(2, 8_000), torch.tensor([8_000, 8_000])
    found = []
    for seed in (1, 2):
        np.random.seed(seed)
        torch.manual_seed(0)
        found.append(encoder(samples, lengths).pooled)
    assert found[0].equal(found[1])


def folder_with(tmp_path: Path, make, **files: str) -> Path:
    """A folder of a model in which some files have other contents; None: the file is removed."""
    published.save(tmp_path / "mine", make)
    for name, content in files.items():
        path = tmp_path / "mine" / name.replace("__", ".")
        path.unlink(missing_ok=True)
        if content is not None:
            path.write_text(content)
    return tmp_path


def refused(message: str, folder: Path, modality: str, name: str = "mine") -> None:
    with pytest.raises(InputError, match=rf"features.{modality}.encoder: .*{message}"):
        describe(name, folder, modality)


@pytest.mark.parametrize(
    ("modality", "name", "message"),
    [
        ("image", "resnet81", "'resnet81' is unknown. Did you mean 'resnet18'"),
        ("image", "cilp", r"Did you mean 'clip' .*\? Valid here: convolutional, a classific"),
        ("text", "brt", r"Did you mean 'bert'.*found: .*bert, .*package:<module>/<folder>"),
        ("audio", "patch", "Did you mean 'patches'"),
        ("audio", "package:no_such/model", "no Python package 'no_such' is installed"),
        ("audio", "package:no_such.one/model", "no Python package 'no_such.one' is installed"),
        ("audio", "package:json/model", "json/model is no folder. Name one that the package json"),
    ],
)
def test_a_name_that_is_unknown_is_refused_with_the_nearest(folder, modality, name, message):
    refused(message, folder, modality, name)


@pytest.mark.parametrize(
    ("modality", "name", "message"),
    [
        ("image", "bert", "no encoder of image: its BertModel reads input_ids, expected pixel_v"),
        ("image", "clap", "no encoder of image: its ClapModel reads input_ids"),
        ("text", "vit", "no encoder of text: its ViTModel reads pixel_values"),
        ("text", "whisper", "no encoder of text: its WhisperEncoder reads input_features"),
        ("audio", "clip", "no encoder of audio: its CLIPModel reads input_ids"),
    ],
)
def test_a_model_of_another_modality_is_refused(folder, modality, name, message):
    refused(message, folder, modality, name)


def test_pickled_weights_are_refused(tmp_path):
    folder = folder_with(tmp_path, published.vit, model__safetensors=None, pytorch_model__bin="x")
    refused("no .*safetensors, only pytorch_model.bin; pickles are not loaded", folder, "image")


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("config__json", None, "its config.json cannot be read"),
        ("config__json", "{", "its config.json cannot be read"),
        ("config__json", "{}", "has the model_type None, which Transformers .* does not know"),
        ("config__json", '{"model_type": "mine", "auto_map": {}}', "code that a model brings"),
        ("config__json", '{"model_type": "vit", "hidden_size": "wide"}', "cannot be used"),
        ("preprocessor_config__json", None, "cannot be used: .*preprocessor_config.json"),
    ],
)
def test_a_folder_that_lacks_something_is_refused(tmp_path, file, content, message):
    refused(message, folder_with(tmp_path, published.vit, **{file: content}), "image")


def test_weights_that_lack_a_tensor_are_refused(tmp_path):
    published.save(tmp_path / "mine", published.dinov2)
    path = tmp_path / "mine/model.safetensors"
    tensors = load_file(path)
    lost = tensors.pop("layernorm.weight")
    save_file(tensors, path, {"format": "pt"})
    with pytest.raises(InputError, match="its weights lack 1 tensors, the first is layernorm.weig"):
        models.weights(path.parent, "image")
    save_file(tensors | {"layernorm.weight": lost}, path, {"format": "pt"})
    assert models.weights(path.parent, "image")["layernorm.weight"].equal(lost)


def test_a_processor_that_leaves_images_of_several_sizes_is_refused(tmp_path):
    uncut = hf.CLIPImageProcessor(size={"shortest_edge": 36}, do_center_crop=False)
    with pytest.raises(InputError, match="its processor leaves images of several sizes"):
        HuggingFaceImageProcessor(json.loads(uncut.to_json_string()))


def test_a_tokenizer_that_has_more_tokens_than_the_model_is_refused(tmp_path):
    def small():
        return hf.BertModel(hf.BertConfig(**published.TEXT | {"vocab_size": 9})), tokenizer()

    tokenizer = published.tokenizer
    refused("its tokenizer has 22 tokens, but the model 9", folder_with(tmp_path, small), "text")


def test_a_tokenizer_without_an_attention_mask_is_refused(tmp_path):
    def blind():
        tokenizer = published.tokenizer(model_input_names=["input_ids"])
        return hf.BertModel(hf.BertConfig(**published.TEXT)), tokenizer

    refused("gives no attention mask", folder_with(tmp_path, blind), "text")


def test_texts_longer_than_the_model_reads_are_refused(folder):
    longer = settings(**{"preprocess.text.max_tokens": published.LONGEST + 1}).preprocess.text
    with pytest.raises(InputError, match=r"max_tokens: found 25, but the encoder bert reads 24"):
        own_tokenizer("bert", folder, longer)


@pytest.mark.parametrize(("name", "longest"), [("whisper", 30), ("ast", 2), ("clap", 10)])
def test_sounds_longer_than_the_model_hears_are_refused(folder, name, longest):
    longer = settings(**{"preprocess.audio.max_seconds": longest + 0.5})
    given = describe(name, folder, "audio")
    with pytest.raises(InputError, match=rf"max_seconds: found {longest}.5, .* hears {longest} se"):
        build_encoder("audio", longer.preprocess, longer.features, given)


def test_without_the_library_the_way_out_is_named(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    way_out = r"cannot be imported: .*pip install 'synesthesia\[huggingface\]'"
    refused(way_out, folder, "text", "bert")


def test_a_model_of_the_hub_that_cannot_be_had_is_refused_with_the_way_out(folder, monkeypatch):
    def unreachable(*_, **__):
        raise OSError("no route")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", unreachable)
    commit = "0a" * 20
    refused("team/model at .* cannot be had: no route", folder, "text", f"team/model@{commit}")
    with pytest.raises(InputError, match=f"hf download team/model --revision {commit} --include"):
        describe(f"team/model@{commit}", folder, "text")


def test_a_model_of_the_hub_is_read_at_its_commit(folder, monkeypatch):
    asked = []

    def give(repository, revision, allow_patterns):
        asked.append((repository, revision))
        assert not {"*", "*.bin", "*.py"} & set(allow_patterns)
        return str(folder / "bert")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", give)
    name = f"team/model@{'0a' * 20}"
    assert describe(name, folder, "text") == describe("bert", folder, "text")
    assert asked == [("team/model", "0a" * 20)]


def test_the_demo_does_not_import_the_library(tmp_path):
    done = run_python(
        "-c",
        "import sys; from components.model import multimodal; from components.features import text;"
        "from components.preprocess import image, audio; assert 'transformers' not in sys.modules",
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
