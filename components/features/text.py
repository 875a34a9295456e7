"""Stage `features_text`: the text encoder and the features it gives."""

import argparse

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from components.common.files import read_json
from components.config.command import Stage, View
from components.data.tables import SAMPLES, read_table
from components.features import teach
from components.layers.features import length_mask
from components.modalities.text.encoders.build import build_text
from components.modalities.text.processing import MASK

STAGE = Stage(
    description="Teach the text encoder by self-supervision and the tasks that a text decides; "
    "encode every text.",
    inputs=teach.INPUTS,
    outputs=teach.OUTPUTS,
    params=("seed", "threads", "tasks", "preprocess.text", "features.text"),
)

MASKED = 0.15  # share of the tokens, as in BERT
INVERSE_TEMPERATURE = 20.0  # as in SimCSE


def self_supervised(encoder: nn.Module, batch: teach.Batch) -> dict[str, Tensor]:
    """Two losses that need no label: one for the tokens, one for the pooled features.

    Masked language modelling (Devlin et al. 2019), scored with the token embedding, and SimCSE
    (Gao et al. 2021): the same text twice, under two dropout masks and once with masked tokens,
    against the other texts. Without the second, the pooled features of texts that differ in one
    word are nearly the same.
    """
    tokens, lengths = batch["tokens"], batch["lengths"]
    chosen = (torch.rand(tokens.shape) < MASKED) & length_mask(lengths, tokens.shape[1])  # [B, T]
    masked = encoder(tokens.masked_fill(chosen, MASK), lengths)
    logits = masked.tokens[chosen] @ encoder.embedding.weight.T  # [n, V]
    whole = encoder(tokens, lengths)
    similarity = F.normalize(whole.pooled, dim=-1) @ F.normalize(masked.pooled, dim=-1).T  # [B, B]
    same = torch.arange(len(tokens))
    return {
        "masked_tokens": F.cross_entropy(logits, tokens[chosen]).nan_to_num(),
        "same_text": F.cross_entropy(INVERSE_TEMPERATURE * similarity, same),
    }


def lesson(arguments: argparse.Namespace, settings: View, encoder: nn.Module) -> teach.Lesson:
    """What texts teach of themselves and what each of them decides."""
    samples = read_table(arguments.samples, SAMPLES)
    vocabulary = read_json(arguments.vocabulary)
    assets, rows = teach.load(arguments, samples, "text")
    objectives = teach.task_objectives("text", assets, samples, settings.tasks, vocabulary)
    return teach.Lesson(
        modality="text",
        encoder=encoder,
        assets=assets,
        rows=rows,
        objectives=objectives,
        options=settings.features_text,
        self_supervised=self_supervised,
    )


def work(arguments: argparse.Namespace, settings: View) -> None:
    """Run the stage."""
    teach.run("text", STAGE, build_text, lesson, arguments, settings)


if __name__ == "__main__":
    STAGE.run(work)
