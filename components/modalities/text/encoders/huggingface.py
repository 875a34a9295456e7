"""Text models of Transformers: BERT-like ones, sentence encoders, CLIP's tower and others."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.nn import functional as F

from components.common.errors import InputError
from components.huggingface.description import Description
from components.huggingface.models import (
    LOCAL,
    EncoderInterface,
    Pooling,
    PoolingKind,
    library,
    read_json_file,
)
from components.layers.features import Encoder, Features, length_mask, masked_mean

UNLIMITED = 10**9  # tokens; where nothing limits a text
MODULES, LIMITS = "modules.json", "sentence_bert_config.json"  # files of sentence-transformers
KNOWN_MODULES = {"Transformer", "Pooling", "Normalize"}
POOLINGS: dict[str, PoolingKind] = {"cls": "first", "mean": "mean", "max": "max"}


def tokenizer_of(place: Path) -> Any:
    """Return the tokenizer of a text model; InputError if the model would take padding for text."""
    tokenizer = library().AutoTokenizer.from_pretrained(place, **LOCAL)
    if not tokenizer.is_fast:
        raise InputError("its tokenizer has no form as tokenizer.json")
    if "attention_mask" not in tokenizer.model_input_names:
        raise InputError("its tokenizer gives no attention mask: it takes padding for text")
    return tokenizer


def _longest_text(place: Path, model: Any) -> dict[str, Any]:
    """Return the longest text in tokens; InputError if the tokenizer does not fit the model."""
    tokenizer, config = tokenizer_of(place), model.config
    if len(tokenizer) > config.vocab_size:
        raise InputError(
            f"its tokenizer has {len(tokenizer)} tokens, but the model {config.vocab_size}"
        )
    limits = [tokenizer.model_max_length, getattr(config, "max_position_embeddings", None)]
    if (place / MODULES).exists() and (place / LIMITS).exists():
        limits.append(read_json_file(place / LIMITS).get("max_seq_length"))
    return {"max_tokens": min(limit or UNLIMITED for limit in limits)}


def _pooling(place: Path, config: Mapping[str, Any]) -> Pooling:
    """Return how a model pools: by the mean if it does not say, as sentence-transformers does."""
    if (place / MODULES).exists():
        return _sentence_pooling(place)
    is_tower = "text_config" in config or config["model_type"].endswith("_text_model")
    return Pooling("own" if is_tower else "mean")


def _sentence_pooling(place: Path) -> Pooling:
    """Read what sentence-transformers saved; InputError if it has a module that is unsupported."""
    parts = read_json_file(place / MODULES)
    folders = {part["type"].rsplit(".", 1)[-1]: part["path"] for part in parts}
    if unknown := sorted(set(folders) - KNOWN_MODULES):
        raise InputError(
            f"modules.json names {', '.join(unknown)}; only {', '.join(sorted(KNOWN_MODULES))} "
            "are supported"
        )
    config = {}
    if "Pooling" in folders:
        config = read_json_file(place / folders["Pooling"] / "config.json")
    return Pooling(_pooling_kind(config), normalised="Normalize" in folders)


def _pooling_kind(config: Mapping[str, Any]) -> PoolingKind:
    """From `pooling_mode: mean`, or in older folders `pooling_mode_mean_tokens: true`."""
    old = [key for key, value in config.items() if key.startswith("pooling_mode_") and value]
    modes = config.get("pooling_mode") or [
        key.removeprefix("pooling_mode_").removesuffix("_tokens").removesuffix("_token")
        for key in old
    ]
    modes = [modes] if isinstance(modes, str) else modes or ["mean"]
    if len(modes) > 1 or modes[0] not in POOLINGS:
        raise InputError(
            f"its Pooling is {', '.join(modes)}; only one of {', '.join(POOLINGS)} is supported"
        )
    return POOLINGS[modes[0]]


INTERFACE = EncoderInterface(
    input_names=("input_ids",),
    tower="text_model",
    describe_inputs=_longest_text,
    pooling=_pooling,
)


class HuggingFaceTextEncoder(Encoder):
    """A model of Transformers over the ids of its own tokenizer, special tokens included."""

    max_batch_size = 64

    def __init__(self, description: Description):
        super().__init__()
        self.model: Any = description.build(INTERFACE)
        self.width = self.model.config.hidden_size
        self.pooling, self.normalised = description.pooling, description.normalised

    def forward(self, tokens: Tensor, lengths: Tensor) -> Features:
        """Token ids [N, T] and lengths [N] → features with T tokens."""
        mask = length_mask(lengths, tokens.shape[1])  # [N, T]
        output = self.model(input_ids=tokens, attention_mask=mask.long())
        x = output.last_hidden_state  # [N, T, D]
        pooled = self._pool(x, mask, output.get("pooler_output"))
        return Features(x, mask, F.normalize(pooled, dim=-1) if self.normalised else pooled)

    def _pool(self, x: Tensor, mask: Tensor, own: Tensor | None) -> Tensor:
        match self.pooling:
            case "own" if own is not None:
                return own
            case "first":
                return x[:, 0]
            case "max":
                return x.masked_fill(~mask[..., None], float("-inf")).amax(1)
        return masked_mean(x, mask)
