"""What a folder of sentence-transformers says of how its token features become one vector."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.common.errors import InputError
from components.huggingface.models import read

POOLINGS = {"cls": "first", "mean": "mean", "max": "max"}  # its words and ours
ONLY = {"Transformer", "Pooling", "Normalize"}  # the modules whose work is done here


@dataclass(frozen=True)
class Sentences:
    """How a sentence's vector is made.

    Attributes:
        pooling: one of the values of `POOLINGS`.
        normalised: whether it is brought to length 1.
        max_tokens: the longest sentence; None if the folder does not say.
    """

    pooling: str
    normalised: bool
    max_tokens: int | None


def sentences_of(place: Path) -> Sentences | None:
    """Read the settings of a folder that sentence-transformers saved; None if it is none.

    Raises:
        InputError: it does something that is not done here.
    """
    if not (place / "modules.json").exists():
        return None
    parts = read(place / "modules.json")
    kinds = {part["type"].rsplit(".", 1)[-1]: part["path"] for part in parts}
    if more := sorted(set(kinds) - ONLY):
        raise InputError(
            f"modules.json names {', '.join(more)}; only {', '.join(sorted(ONLY))} are known here"
        )
    pooling = read(place / kinds["Pooling"] / "config.json") if "Pooling" in kinds else {}
    limits = place / "sentence_bert_config.json"
    return Sentences(
        pooling=_pooling(pooling),
        normalised="Normalize" in kinds,
        max_tokens=read(limits).get("max_seq_length") if limits.exists() else None,
    )


def _pooling(config: Mapping[str, Any]) -> str:
    """From `pooling_mode: mean`, or as older folders have it `pooling_mode_mean_tokens: true`."""
    old = [key for key, value in config.items() if key.startswith("pooling_mode_") and value]
    modes = config.get("pooling_mode") or [
        key.removeprefix("pooling_mode_").removesuffix("_tokens").removesuffix("_token")
        for key in old
    ]
    modes = [modes] if isinstance(modes, str) else modes or ["mean"]
    if len(modes) > 1 or modes[0] not in POOLINGS:
        raise InputError(
            f"its Pooling is {', '.join(modes)}; only one of {', '.join(POOLINGS)} is known here"
        )
    return POOLINGS[modes[0]]
