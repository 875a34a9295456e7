"""Cells become entries of a table of embeddings, and weights."""

import json
import logging

import numpy as np
import pytest

from components.common.errors import InputError
from components.common.hashing import content_id
from components.data.shards import Asset, MediaWriter
from components.modalities.modality import Preparation, UnusableAsset
from components.modalities.tabular.modality import TabularSettings
from components.modalities.tabular.processing import build, export, prepare

AGES = [1, 2, 3, 4]


def row(**cells) -> bytes:
    return json.dumps(cells).encode()


def preparation(tmp_path, rows: list[bytes], **settings) -> Preparation:
    """Return what a processor of these rows is prepared from."""
    writer = MediaWriter(tmp_path / "media")
    for content in rows:
        writer.add(Asset(content_id(content), content))
    writer.close()
    inputs = TabularSettings.model_validate(settings)
    return Preparation(inputs, "transformer", tmp_path / "pretrained", tmp_path / "media")


def embedded(processor, content: bytes, table: np.ndarray) -> np.ndarray:
    """Return the embedding of each cell of a row: the weighted sum of its entries."""
    (entries,), (weights,) = processor([content]).values()
    return (table[entries] * weights[..., None]).sum(1)


@pytest.fixture
def processor(tmp_path):
    """Of ages 1 to 4, with a knot each, and of two breeds."""
    rows = [row(age=age, breed=breed) for age in AGES for breed in ("tabby", "siamese")]
    return build(prepare(preparation(tmp_path, rows, knots=4)))


@pytest.fixture
def table() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(10, 3))  # 2 + 4 of age, 2 + 2 of breed


def test_number_lies_between_its_knots(processor, table):
    mean, deviation = 2.5, np.std(AGES)
    for age, knots in {1: (2, 2, 0), 2: (2, 3, 1), 3.25: (4, 5, 0.25), 4: (4, 5, 1)}.items():
        low, high, share = knots
        expected = table[0] + (age - mean) / deviation * table[1]
        expected = expected + (1 - share) * table[low] + share * table[high]
        np.testing.assert_allclose(embedded(processor, row(age=age), table)[0], expected, rtol=1e-6)


def test_far_number_keeps_knot_of_its_side(processor, table):
    for age, knot, deviations in ((-1e9, 2, -5.0), (1e9, 5, 5.0)):
        expected = table[0] + deviations * table[1] + table[knot]
        np.testing.assert_allclose(embedded(processor, row(age=age), table)[0], expected, rtol=1e-6)


def test_category_has_entry_and_unknown_ones_share_one(processor, table):
    for breed, entry in {"siamese": 8, "tabby": 9, "sphynx": 7}.items():
        found = embedded(processor, row(breed=breed), table)[1]
        np.testing.assert_allclose(found, table[6] + table[entry])


def test_missing_cell_is_its_column_alone(processor, table):
    found = embedded(processor, row(age=3), table)[1]
    np.testing.assert_allclose(found, table[6])
    np.testing.assert_allclose(embedded(processor, row(breed="tabby"), table)[0], table[0])


def test_batched_equals_alone(processor):
    rows = [row(age=age) for age in AGES] + [row(breed="tabby"), row(age="x", breed="sphynx")]
    together = processor(rows)
    for place, content in enumerate(rows):
        for name, value in processor([content]).items():
            assert np.array_equal(value[0], together[name][place])


def test_column_of_names_and_numbers(tmp_path):
    """Numbers are names where the settings say so, or where too many cells are no numbers."""
    rows = [row(code=n, mixed=n if n % 2 else "a", size=n) for n in range(40)]
    state = prepare(preparation(tmp_path, rows, categories=["code"]))
    kinds = {column["name"]: column["kind"] for column in state["columns"]}
    assert kinds == {"code": "category", "mixed": "category", "size": "quantity"}


def test_few_words_in_column_of_numbers_count_as_missing(tmp_path, caplog, table):
    rows = [row(age=n) for n in range(60)] + [row(age="12O")]
    with caplog.at_level(logging.WARNING):
        processor = build(prepare(preparation(tmp_path, rows, knots=2)))
    assert "'age' holds numbers, so cells such as 12O are missing" in caplog.text
    np.testing.assert_allclose(embedded(processor, row(age="12O"), table)[0], table[0])


def test_rare_categories_share_entry(tmp_path):
    rows = [row(name=name) for name in ["a", "a", "b", "b", "b", "c", "d", "d"]]
    rows = [content.replace(b"}", f', "n": {n}}}'.encode()) for n, content in enumerate(rows)]
    state = prepare(preparation(tmp_path, rows, max_categories=2))
    assert state["columns"][0]["categories"] == ["b", "a"]


def test_no_rows_have_no_columns(tmp_path):
    assert prepare(preparation(tmp_path, [])) == {"columns": []}
    assert build({"columns": []})([])["entries"].shape == (0, 0, 4)


def test_exported_columns_make_same_processor(tmp_path):
    given = preparation(tmp_path, [row(age=age, breed="tabby") for age in AGES])
    state = prepare(given)
    given.pretrained.mkdir()
    options = export(state, given.pretrained, "earlier")
    inputs = TabularSettings.model_validate(options)
    nothing = Preparation(inputs, given.encoder, given.pretrained, tmp_path / "nowhere")
    assert prepare(nothing) == json.loads(json.dumps(state))


@pytest.mark.parametrize("content", ["{}", "[1]", '[{"kind": "shape"}]', '[{"kind": "category"}]'])
def test_other_file_is_refused(tmp_path, content):
    given = preparation(tmp_path, [], columns="columns.json")
    given.pretrained.mkdir()
    (given.pretrained / "columns.json").write_text(content)
    with pytest.raises(InputError, match="tabular.columns: .* does not describe columns"):
        prepare(given)


def test_too_many_embeddings_name_setting(tmp_path):
    rows = [row(age=age) for age in AGES]
    with pytest.raises(InputError, match="vocab_size: found 5, but 1 columns have 6 embeddings"):
        prepare(preparation(tmp_path, rows, vocab_size=5))


def test_unknown_columns_are_named(tmp_path, processor):
    with pytest.raises(UnusableAsset, match="unknown column 'bread'. Did you mean 'breed'?"):
        processor([row(bread="tabby")])
    rows = [row(breed="tabby")]
    with pytest.raises(InputError, match="categories: no column 'bread'. Did you mean 'breed'?"):
        prepare(preparation(tmp_path / "other", rows, categories=["bread"]))
