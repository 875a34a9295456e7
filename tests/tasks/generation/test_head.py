"""The head of generation: its loss, and that it learns texts by heart."""

import pandas as pd
import pytest
import torch
from torch.nn import functional as F

from components.tasks.generation.labels import END
from components.tasks.registry import head_of
from tests.tasks.generation.texts import make_input, shape


def test_loss_is_a_mean_over_samples_of_means_over_tokens():
    task = head_of("generation")([], 5, "greedy")
    texts = make_input(task.head(shape()).eval(), 3)
    targets = torch.full((3, 2, 5), -1, dtype=torch.int32)
    right = {(0, 0): [5, 9, END], (0, 1): [7, END], (2, 0): [1, 2, 3, 4, 5]}  # the last one is cut
    losses: dict[int, list[float]] = {0: [], 2: []}
    hits = []
    for (row, place), text in right.items():
        tokens = torch.tensor(text)
        targets[row, place, : len(text)] = tokens
        logits = texts[torch.tensor([row])].teacher_forced_logits(tokens[None])[0]
        losses[row] += F.cross_entropy(logits, tokens, reduction="none").tolist()
        hits += (logits.argmax(1) == tokens).tolist()
    expected = (sum(losses[0]) / 5 + sum(losses[2]) / 5) / 2
    assert task.loss(texts, targets).item() == pytest.approx(expected, rel=1e-5)
    assert task.validate(texts, targets) == pytest.approx(sum(hits) / 10)
    shorter = targets.masked_fill(torch.tensor([[True], [True], [False]])[..., None], -1)
    assert task.loss(texts, shorter).item() == pytest.approx(sum(losses[2]) / 5, rel=1e-5)


def test_texts_are_learnt_by_heart():
    task = head_of("generation")(["Ġ a"], 8, "beam/2")
    torch.manual_seed(0)
    decoder = task.head(shape(width=16))
    tokens, mask = torch.randn(4, 2, 16), torch.ones(4, 2, dtype=torch.bool)
    wanted = ["a cat", "a dog", "é 東", "a very long text"]
    targets = task.targets(pd.Series([[text] for text in wanted]))
    optimizer = torch.optim.Adam(decoder.parameters(), lr=0.02)
    for _ in range(100):
        optimizer.zero_grad()
        task.loss(decoder(tokens, mask), targets).backward()
        optimizer.step()
    with torch.no_grad():
        predictions = task.predict(decoder.eval()(tokens, mask))
        recorded = task.record(decoder(tokens, mask))
    assert predictions.values == ["a cat", "a dog", "é 東", "a very l"]  # 8 tokens
    assert all(0.9 < confidence <= 1 for confidence in predictions.confidence)
    assert recorded.values == predictions.values
