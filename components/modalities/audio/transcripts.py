"""What is said: the objective that teaches audio encoders to hear texts, not voices."""

import logging
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import torch
from tokenizers import Regex
from tokenizers.pre_tokenizers import Split
from torch import Tensor
from torch.nn import functional as F

from components.common.metrics import PROBABILITY_THRESHOLD, Metric
from components.data.assets import MISSING, AssetTensors, label_votes, majority_labels
from components.data.samples import SPLIT, asset_column
from components.data.shards import read_assets
from components.layers.losses import micro_f1, sparse_binary_cross_entropy
from components.modalities.audio.modality import TRANSCRIPT, AudioEncoderSettings
from components.modalities.encoding import Objective
from components.modalities.text.decoding import decode

log = logging.getLogger(__name__)

MANY_TEXTS = 1_000  # different texts in training from which on words are learnt instead
MAX_WORDS = 1_000  # those of the most texts: nearly all that a corpus of captions says

UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}"
SIGN = rf"[\p{{L}}\p{{M}}\p{{N}}&&[^{UNSPACED}]]"
WORD = rf"[{UNSPACED}]|{SIGN}+(?:['’]{SIGN}+)*"


def transcript_objectives(
    options: AudioEncoderSettings, assets: AssetTensors, samples: pd.DataFrame, texts: Path
) -> dict[str, Objective]:
    """See `Transcripts`: without a text or a word there is no objective.

    Where training has few different texts, the encoder learns which of them it hears; where it has
    many, which of their most frequent words. Of several texts of a sound the one of most samples
    counts, none if there is a tie.
    """
    audio, text = asset_column("audio"), asset_column("text")
    said = majority_labels(label_votes(samples, "audio", text, str))
    heard = samples.loc[samples[SPLIT] == "train", audio].dropna()
    train = sorted(said[said.index.isin(heard)].unique())
    if not train or not options.transcript:
        return {}
    _warn_of_several(samples[[audio, text]].dropna().drop_duplicates(), said)
    if len(train) <= MANY_TEXTS:
        return {TRANSCRIPT: _which_text(assets, said, train)}
    words = _which_words(assets, said, train, texts)
    return {TRANSCRIPT: words} if words.outputs else {}


def _warn_of_several(pairs: pd.DataFrame, said: pd.Series) -> None:
    """Log which sounds have several texts; `pairs` are sounds and texts, each once."""
    sounds = pairs.iloc[:, 0]
    several, count = sounds[sounds.duplicated()].nunique(), sounds.nunique()
    if several:
        log.warning(
            "features_audio: %d of %d sounds have several texts; each learns the one of most "
            "samples, and %d with a tie learn none. Set features.audio.transcript: false if texts "
            "are not what is said",
            *(several, count, count - len(said)),
        )


def _which_text(assets: AssetTensors, said: pd.Series, texts: Sequence[str]) -> Objective:
    codes = {text: code for code, text in enumerate(texts)}
    labels = assets.align(said.map(codes)).fillna(MISSING).astype("int64")
    return Objective(
        targets=torch.tensor(labels.to_numpy()),
        outputs=len(texts),
        weight=1.0,
        loss=_cross_entropy,
        known=lambda targets: targets != MISSING,
        metric=Metric("accuracy"),
        validate=lambda logits, targets: float((logits.argmax(1) == targets).float().mean()),
    )


def _cross_entropy(logits: Tensor, targets: Tensor, smoothing: float) -> Tensor:
    losses = F.cross_entropy(logits, targets, ignore_index=MISSING, label_smoothing=smoothing)
    return losses.nan_to_num()  # 0 / 0 without a single label


def _which_words(
    assets: AssetTensors, said: pd.Series, texts: Sequence[str], media: Path
) -> Objective:
    """A sigmoid per word: a bag of words (Kamper et al. 2017), grounded in text, not in vision."""
    words = {text: words_in(decode(content)) for text, content in read_assets(media, set(said))}
    counts = Counter(word for text in texts for word in words[text])
    vocabulary = sorted(counts, key=lambda word: (-counts[word], word))[:MAX_WORDS]
    return Objective(
        targets=word_targets(assets.align(said.map(words)), vocabulary),
        outputs=len(vocabulary),
        weight=1.0,
        loss=lambda logits, targets, smoothing: sparse_binary_cross_entropy(logits, targets),
        known=lambda targets: ~targets.isnan().flatten(1).any(1),
        metric=Metric("f1"),
        validate=word_f1,
    )


def words_in(text: str) -> tuple[str, ...]:
    """Return the distinct words of a text in their order, in lower case.

    A word is a run of letters, marks and digits, with apostrophes inside; in a script without
    spaces between words each character is one.
    """
    splitter = Split(Regex(WORD), "removed", invert=True)
    found = (word for word, _ in splitter.pre_tokenize_str(text.casefold()))
    return tuple(dict.fromkeys(map(sys.intern, found)))


def word_targets(labels: pd.Series, vocabulary: Sequence[str]) -> Tensor:
    """Return targets for `sparse_binary_cross_entropy`, [N, K, 2]: words that are said score 1."""
    codes = {word: code for code, word in enumerate(vocabulary)}
    known = torch.tensor(labels.notna().to_numpy())
    rows = [
        [(codes[word], 1.0) for word in words if word in codes] if there else []
        for words, there in zip(labels, known.tolist(), strict=True)
    ]
    width = max(1, *map(len, rows), 1)
    padded = [pairs + [(0, 0.0)] * (width - len(pairs)) for pairs in rows]
    targets = torch.tensor(padded).view(-1, width, 2)
    return targets.masked_fill(~known[:, None, None], torch.nan)


def word_f1(logits: Tensor, targets: Tensor) -> float:
    """Return F1 over all decisions."""
    classes, scores = targets.unbind(-1)  # [n, K] each
    predicted = logits.sigmoid() > PROBABILITY_THRESHOLD  # [n, classes]
    right = predicted.gather(1, classes.long()) & (scores > 0)
    return micro_f1(int(right.sum()), int(predicted.sum() + (scores > 0).sum()))
