"""Tiny models of real classes of Transformers and timm, as these libraries save them.

The functions without arguments return a model and the processors of its inputs.
"""

import json
from collections.abc import Callable
from pathlib import Path

import timm
import torch
import transformers as hf
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from components.features.pretrained import load_published
from components.features.settings import FeaturesSettings
from components.huggingface.description import Description, describe
from components.layers.features import Encoder
from components.modalities.modality import Preparation, Processor
from components.modalities.registry import encoders_of, modality, processing_of

SIZES = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}
PIXELS = {**SIZES, "image_size": 32, "patch_size": 8}
WORDS = ["is", "shape", "red", "blue", "a", "circle", "there", "?", *"0123456789"]
LONGEST = 24  # tokens


def tokenizer(**options) -> hf.PreTrainedTokenizerFast:
    """Return a tokenizer of words in lower case between [CLS] and [SEP], as BERT has them."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    words = {word: number for number, word in enumerate([*special, *WORDS])}
    built = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    built.normalizer = normalizers.Lowercase()
    built.pre_tokenizer = pre_tokenizers.Whitespace()
    ends = [("[CLS]", words["[CLS]"]), ("[SEP]", words["[SEP]"])]
    built.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=ends
    )
    return hf.PreTrainedTokenizerFast(
        tokenizer_object=built,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_max_length=LONGEST,
        **options,
    )


TEXT = {**SIZES, "vocab_size": len(WORDS) + 4, "max_position_embeddings": LONGEST}
ENDS = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3}  # tokens of `tokenizer`


def clip() -> tuple:
    """Both towers, with the processors of both."""
    config = hf.CLIPConfig(vision_config=PIXELS, text_config=TEXT | ENDS, projection_dim=8)
    square = {"height": 32, "width": 32}
    images = hf.CLIPImageProcessor(size={"shortest_edge": 36}, crop_size=square)
    return hf.CLIPModel(config), images, tokenizer()


def vit() -> tuple:
    """As a classifier: without a pooler."""
    images = hf.ViTImageProcessor(size={"height": 32, "width": 32})
    return hf.ViTForImageClassification(hf.ViTConfig(**PIXELS)), images


def vit_pooled() -> tuple:
    """With a pooler."""
    images = hf.ViTImageProcessor(size={"height": 32, "width": 32})
    return hf.ViTModel(hf.ViTConfig(**PIXELS, pooler_output_size=16)), images


def dinov2() -> tuple:
    """With the image processor that DINOv2 was published with."""
    square = {"height": 32, "width": 32}
    images = hf.BitImageProcessor(
        size={"shortest_edge": 36},
        crop_size=square,
        image_mean=[0.485, 0.456, 0.406],
        image_std=[0.229, 0.224, 0.225],
    )
    return hf.Dinov2Model(hf.Dinov2Config(**PIXELS)), images


def convnext() -> tuple:
    """A convolutional network, whose features are a map."""
    config = hf.ConvNextConfig(hidden_sizes=[4, 8, 8, 16], depths=[1, 1, 1, 1])
    return hf.ConvNextModel(config), hf.ConvNextImageProcessor(size={"shortest_edge": 64})


def bert() -> tuple:
    """For masked language modelling: without a pooler."""
    return hf.BertForMaskedLM(hf.BertConfig(**TEXT)), tokenizer()


def roberta() -> tuple:
    """Its positions are counted from the padding id."""
    config = hf.RobertaConfig(**TEXT | {"max_position_embeddings": LONGEST + 1}, pad_token_id=0)
    return hf.RobertaModel(config), tokenizer()


def t5() -> tuple:
    """An encoder and a decoder."""
    config = hf.T5Config(
        vocab_size=len(WORDS) + 4, d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2
    )
    return hf.T5Model(config), tokenizer()


def whisper() -> tuple:
    """An encoder and a decoder; the encoder takes 30 seconds."""
    config = hf.WhisperConfig(
        vocab_size=60,
        d_model=16,
        encoder_layers=2,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        decoder_start_token_id=1,
        **ENDS,
    )
    return hf.WhisperModel(config), hf.WhisperFeatureExtractor()


def wav2vec2(norm: str = "group") -> tuple:
    """Over samples; `norm` as in the base models (group) or in the large ones (layer)."""
    config = hf.Wav2Vec2Config(
        **SIZES,
        feat_extract_norm=norm,
        conv_dim=(8, 8, 8),
        conv_kernel=(10, 3, 3),
        conv_stride=(5, 8, 8),
        num_conv_pos_embeddings=8,
        num_conv_pos_embedding_groups=2,
        mask_time_prob=0.5,
    )
    extractor = hf.Wav2Vec2FeatureExtractor(return_attention_mask=norm == "layer")
    return hf.Wav2Vec2Model(config), extractor


def wav2vec2_large() -> tuple:
    """As the large models, which were trained with an attention mask."""
    return wav2vec2("layer")


def ast() -> tuple:
    """For two seconds, with patches that overlap."""
    config = hf.ASTConfig(**SIZES, max_length=200, num_mel_bins=32)
    return hf.ASTModel(config), hf.ASTFeatureExtractor(max_length=200, num_mel_bins=32)


def clap(fusion: bool = False) -> tuple:
    """Both towers, with the processors of both."""
    sound = {
        "hidden_size": 32,
        "patch_embeds_hidden_size": 8,
        "depths": [1, 1, 1],
        "num_attention_heads": [1, 2, 2],
        "num_hidden_layers": 3,
        "spec_size": 256,
        "num_mel_bins": 64,
        "projection_dim": 8,
        "enable_fusion": fusion,
    }
    positions = {"max_position_embeddings": LONGEST + 2, "pad_token_id": 0}
    config = hf.ClapConfig(text_config=TEXT | positions, audio_config=sound, projection_dim=8)
    truncation = "fusion" if fusion else "rand_trunc"
    extractor = hf.ClapFeatureExtractor(feature_size=64, truncation=truncation)
    return hf.ClapModel(config), extractor, tokenizer()


def clap_fused() -> tuple:
    """With fusion of parts of sounds longer than 10 seconds."""
    return clap(fusion=True)


def save(folder: Path, make: Callable[[], tuple]) -> Path:
    """Save a model with random weights and the processors of its inputs; return the folder."""
    torch.manual_seed(0)
    model, *input_processors = make()
    for parameter in model.parameters():  # some begin at 0 or 1, and would change nothing
        torch.nn.init.normal_(parameter, std=0.2)
    model.eval().save_pretrained(folder)
    for processor in input_processors:
        processor.save_pretrained(folder)
    return folder


def save_timm(folder: Path, architecture: str, **options) -> Path:
    """Save a model of timm with random weights and five classes; return the folder."""
    torch.manual_seed(0)
    model = timm.create_model(architecture, num_classes=5, **options)
    for parameter in model.parameters():  # as above
        torch.nn.init.normal_(parameter, std=0.2)
    timm.models.save_for_hf(model, folder, safe_serialization=True)
    return folder


def describe_encoder(name: str, folder: Path, m: str) -> Description:
    """Return the description of a model as the encoder of a modality, as a file holds it."""
    made = describe(name, folder, modality(m).encoder_names, encoders_of(m).INTERFACE)
    return Description.model_validate_json(made.model_dump_json())


def build_encoder(name: str, folder: Path, m: str, settings: FeaturesSettings) -> Encoder:
    """Return a model as the encoder of a modality, rebuilt from JSON and weights alone."""
    part = encoders_of(m)
    inputs, options = getattr(settings.preprocess, m), getattr(settings.features, m)
    encoder = part.build(inputs, options, describe_encoder(name, folder, m))
    load_published(encoder, name, folder, modality(m).encoder_names, part.INTERFACE)
    return encoder.eval()


def build_processor(name: str, folder: Path, m: str, settings: FeaturesSettings) -> Processor:
    """Return the processor of a model's inputs, rebuilt from its state as JSON."""
    inputs, part = getattr(settings.preprocess, m), processing_of(m)
    state = part.prepare(Preparation(inputs, name, folder, Path("is not read")))
    return part.build(json.loads(json.dumps(state)))
