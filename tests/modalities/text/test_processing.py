"""Texts of every kind become token ids."""

from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing

from components.common.errors import InputError
from components.modalities.text.decoding import MAX_CHARACTERS
from components.modalities.text.modality import COUNTS, TextSettings
from components.modalities.text.processing import (
    MASK,
    PAD,
    SPECIAL_TOKENS,
    TextProcessor,
    load_tokenizer,
    train_tokenizer,
)
from components.preprocess.settings import settings_for
from tests.support.params import small_settings

SETTINGS = small_settings(settings_for("text")).preprocess.text
CORPUS = ["is there a red shape?", "what color is the circle?", "is no teal shape present?"]


@pytest.fixture(scope="module")
def processor():
    return TextProcessor(train_tokenizer(CORPUS, SETTINGS.vocab_size), SETTINGS.max_tokens)


def encoded_and_decoded(processor: TextProcessor, text: str) -> str:
    """Return what is left of a text after encoding."""
    result = processor([text.encode()])
    return processor.tokenizer.decode(result["tokens"][0, : result["lengths"][0]].tolist())


@pytest.mark.parametrize(
    "text", ["", " ", "?", "привет мир", "你好", "🙂🙃", "naïve", "\x00", "A" * 1000]
)
def test_any_text_is_encoded_within_limit(processor, text):
    result = processor([text.encode()])
    tokens, length = result["tokens"], int(result["lengths"][0])
    assert tokens.shape == (1, SETTINGS.max_tokens)
    assert 1 <= length <= SETTINGS.max_tokens
    assert (tokens[0, length:] == PAD).all()
    assert tokens.min() >= 0 and tokens.max() < SETTINGS.vocab_size


@pytest.mark.parametrize(
    "text",
    [
        "is it red?",
        "привет",
        "שלום",
        "你好",
        "赤い",
        "🙂",
        "👩\u200d🦰",
        "\U0001fae8",
        "a\nb",
        "a\tb",
    ],
)
def test_short_text_is_decoded_unchanged(processor, text):
    assert encoded_and_decoded(processor, text).removeprefix(" ") == text


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("e\u0301", "é"),
        ("\ufeffis it red?", "is it red?"),
        ("is it red?\r\n", "is it red?"),
        ("a\r\nb\rc", "a\nb\nc"),
        ("a\x00b\x1bc\x85d\x7fe", "a b c d e"),
    ],
)
def test_stored_form_does_not_matter(processor, text, normal):
    assert np.array_equal(
        processor([text.encode()])["tokens"], processor([normal.encode()])["tokens"]
    )


def test_only_beginning_of_huge_text_is_read():
    corpus = ["x" * 100, "y " + "x" * MAX_CHARACTERS]
    processor = TextProcessor(train_tokenizer(corpus, SETTINGS.vocab_size), SETTINGS.max_tokens)
    long, longer = (processor([b"x" * MAX_CHARACTERS * n])["tokens"] for n in (1, 2))
    assert np.array_equal(long, longer)


def test_long_text_is_cut_at_its_end(processor):
    short = processor([b"is there a red shape?"])
    long = processor([b"is there a red shape?" + b" and so on" * 50])
    length = int(short["lengths"][0])
    assert np.array_equal(long["tokens"][0, :length], short["tokens"][0, :length])
    assert int(long["lengths"][0]) == SETTINGS.max_tokens


@pytest.mark.parametrize("limit", [2, 3, 4])
def test_texts_that_are_cut_are_counted(limit):
    """Whoever cuts them: the processor, or the tokenizer of a model."""
    texts = [b"is", b"is it red?", b"is it red? is it red?"]
    own, models = (Tokenizer(WordLevel({"[UNK]": 0, "is": 1, "it": 2}, "[UNK]")) for _ in range(2))
    for tokenizer in (own, models):
        tokenizer.pre_tokenizer = Whitespace()
    models.enable_truncation(limit)
    models.enable_padding(length=limit)
    expected = {2: 2, 3: 2, 4: 1}[limit]
    assert [TextProcessor(each, limit).cut(texts) for each in (own, models)] == [expected] * 2


def test_equivalent_accents_are_equal(processor):
    one, other = (processor([word.encode()])["tokens"] for word in ("é", "e\u0301"))
    assert np.array_equal(one, other)


def test_words_and_characters_are_counted_if_asked(processor):
    counting = TextProcessor(processor.tokenizer, SETTINGS.max_tokens, counts=True)
    found, plain = counting([b"a red cube", b""]), processor([b"a red cube", b""])
    assert found.keys() == plain.keys() | {COUNTS}
    assert np.array_equal(found["tokens"], plain["tokens"])
    assert found[COUNTS].dtype == np.int8
    assert found[COUNTS][0].any() and not found[COUNTS][1].any()


def test_spelt_special_token_is_text(processor):
    """A user's text cannot contain the tokens for padding and masks."""
    for word in SPECIAL_TOKENS:
        result = processor([f"is {word} red?".encode()])
        assert not {PAD, MASK} & set(result["tokens"][0, : result["lengths"][0]].tolist())


def test_tokenizer_does_not_depend_on_order_of_texts():
    one, other = (train_tokenizer(texts, SETTINGS.vocab_size) for texts in (CORPUS, CORPUS[::-1]))
    assert one.to_str() == other.to_str()
    assert one.get_vocab_size() <= SETTINGS.vocab_size


def saved(tokenizer: Tokenizer, folder: Path) -> Path:
    path = folder / "tokenizer.json"
    tokenizer.save(str(path))
    return path


@pytest.fixture
def foreign(tmp_path) -> Path:
    """Return a tokenizer of words with its own special tokens, padding and truncation."""
    words = ["[UNK]", "[CLS]", "is", "it", "red", "?"]
    tokenizer = Tokenizer(WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.add_special_tokens(["[CLS]"])
    tokenizer.post_processor = TemplateProcessing(single="[CLS] $A", special_tokens=[("[CLS]", 1)])
    tokenizer.enable_padding(length=9, pad_id=5)
    tokenizer.enable_truncation(2)
    return saved(tokenizer, tmp_path)


def with_room(vocab_size: int) -> TextSettings:
    return SETTINGS.model_copy(update={"vocab_size": vocab_size})


def test_foreign_tokenizer_leaves_ids_for_padding_and_masks(foreign):
    processor = TextProcessor(load_tokenizer(foreign, SETTINGS), SETTINGS.max_tokens)
    result = processor([b"is it red ?", b"it [CLS]"])
    assert result["lengths"].tolist() == [4, 4]
    assert result["tokens"][0].tolist() == [4, 5, 6, 7] + [PAD] * (SETTINGS.max_tokens - 4)
    assert result["tokens"][1, :4].tolist() == [5, 2, 2, 2]  # "[CLS]" is brackets and a word


def test_own_tokenizer_gives_same_ids_from_file(processor, tmp_path):
    loaded = load_tokenizer(saved(processor.tokenizer, tmp_path), SETTINGS)
    again = TextProcessor(loaded, SETTINGS.max_tokens)
    contents = [b"is it red?", "你好".encode(), b"<mask>"]
    assert np.array_equal(again(contents)["tokens"], processor(contents)["tokens"])


def test_too_large_tokenizer_is_refused(foreign):
    load_tokenizer(foreign, with_room(8))
    with pytest.raises(InputError, match=r"preprocess.text.vocab_size: found 7, .* needs 8"):
        load_tokenizer(foreign, with_room(7))


@pytest.mark.parametrize("content", [None, "", "is it red?", "{}", '{"model": {"type": "BPE"}}'])
def test_other_file_than_tokenizer_is_refused(tmp_path, content):
    path = tmp_path / "tokenizer.json"
    if content is not None:
        path.write_text(content)
    message = f"preprocess.text.tokenizer: {path} is not a tokenizer.json"
    with pytest.raises(InputError, match=message):
        load_tokenizer(path, SETTINGS)
