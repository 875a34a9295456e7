"""Text of every kind becomes token ids."""

from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing

from components.common.errors import InputError
from components.modalities.settings import TextSettings
from components.modalities.text.decoding import LONGEST
from components.modalities.text.processing import (
    PAD,
    SPECIAL,
    TextProcessor,
    load_tokenizer,
    train_tokenizer,
)
from tests.shrunk import small_settings

SETTINGS = small_settings().preprocess.text
CORPUS = ["is there a red shape?", "what color is the circle?", "is no teal shape present?"]


@pytest.fixture(scope="module")
def text():
    return TextProcessor(SETTINGS, train_tokenizer(CORPUS, SETTINGS))


def read(text: TextProcessor, words: str) -> str:
    """What is left of a text after it was encoded."""
    result = text([words.encode()])
    return text.tokenizer.decode(result["tokens"][0, : result["lengths"][0]].tolist())


@pytest.mark.parametrize(
    "words", ["", " ", "?", "привет мир", "你好", "🙂🙃", "naïve", "\x00", "A" * 1000]
)
def test_any_text_is_encoded_within_the_limit(text, words):
    result = text([words.encode()])
    tokens, length = result["tokens"], int(result["lengths"][0])
    assert tokens.shape == (1, SETTINGS.max_tokens)
    assert 1 <= length <= SETTINGS.max_tokens
    assert (tokens[0, length:] == PAD).all()
    assert tokens.min() >= 0 and tokens.max() < SETTINGS.vocabulary


@pytest.mark.parametrize(
    "words",
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
def test_a_short_text_can_be_read_back(text, words):
    assert read(text, words).removeprefix(" ") == words


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ("e\u0301", "é"),
        ("\ufeffis it red?", "is it red?"),
        ("is it red?\r\n", "is it red?"),
        ("a\r\nb\rc", "a\nb\nc"),
        ("a\x00b\x1bc\x85d\x7fe", "a b c d e"),
    ],
)
def test_how_a_text_was_stored_does_not_matter(text, words, meant):
    assert np.array_equal(text([words.encode()])["tokens"], text([meant.encode()])["tokens"])


def test_only_the_beginning_of_a_text_beyond_all_measure_is_read():
    text = TextProcessor(SETTINGS, train_tokenizer(["x" * 100, "y " + "x" * LONGEST], SETTINGS))
    long, longer = (text([b"x" * count])["tokens"] for count in (LONGEST, 2 * LONGEST))
    assert np.array_equal(long, longer)


def test_a_long_text_is_cut_at_its_end(text):
    short = text([b"is there a red shape?"])
    long = text([b"is there a red shape?" + b" and so on" * 50])
    length = int(short["lengths"][0])
    assert np.array_equal(long["tokens"][0, :length], short["tokens"][0, :length])
    assert int(long["lengths"][0]) == SETTINGS.max_tokens


def test_one_accent_written_in_two_ways_is_one_text(text):
    one, other = (text([word.encode()])["tokens"] for word in ("é", "e\u0301"))
    assert np.array_equal(one, other)


def test_a_text_that_spells_a_special_token_is_a_text_like_any_other(text):
    """A user's text must not be able to say "masked" or "nothing here"."""
    for word in SPECIAL:
        result = text([f"is {word} red?".encode()])
        assert not {0, 1} & set(result["tokens"][0, : result["lengths"][0]].tolist())


def test_the_tokenizer_does_not_depend_on_the_order_of_the_corpus():
    one, other = (train_tokenizer(texts, SETTINGS) for texts in (CORPUS, CORPUS[::-1]))
    assert one.to_str() == other.to_str()
    assert one.get_vocab_size() <= SETTINGS.vocabulary


def saved(tokenizer: Tokenizer, folder: Path) -> Path:
    path = folder / "tokenizer.json"
    tokenizer.save(str(path))
    return path


@pytest.fixture
def foreign(tmp_path) -> Path:
    """A tokenizer of words with special tokens, padding and a limit of its own."""
    words = ["[UNK]", "[CLS]", "is", "it", "red", "?"]
    tokenizer = Tokenizer(WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.add_special_tokens(["[CLS]"])
    tokenizer.post_processor = TemplateProcessing(single="[CLS] $A", special_tokens=[("[CLS]", 1)])
    tokenizer.enable_padding(length=9, pad_id=5)
    tokenizer.enable_truncation(2)
    return saved(tokenizer, tmp_path)


def with_room(vocabulary: int) -> TextSettings:
    return SETTINGS.model_copy(update={"vocabulary": vocabulary})


def test_a_tokenizer_from_elsewhere_leaves_room_for_padding_and_masks(foreign):
    text = TextProcessor(SETTINGS, load_tokenizer(foreign, SETTINGS))
    result = text([b"is it red ?", b"it [CLS]"])
    assert result["lengths"].tolist() == [4, 4]
    assert result["tokens"][0].tolist() == [4, 5, 6, 7] + [PAD] * (SETTINGS.max_tokens - 4)
    assert result["tokens"][1, :4].tolist() == [5, 2, 2, 2]  # "[CLS]" is brackets and a word


def test_a_tokenizer_of_this_pipeline_gives_the_same_ids_when_it_is_read_again(text, tmp_path):
    again = TextProcessor(SETTINGS, load_tokenizer(saved(text.tokenizer, tmp_path), SETTINGS))
    contents = [b"is it red?", "你好".encode(), b"<mask>"]
    assert np.array_equal(again(contents)["tokens"], text(contents)["tokens"])


def test_a_tokenizer_with_more_tokens_than_the_settings_allow_is_refused(foreign):
    load_tokenizer(foreign, with_room(8))
    with pytest.raises(InputError, match=r"preprocess.text.vocabulary: found 7, .* needs 8"):
        load_tokenizer(foreign, with_room(7))


@pytest.mark.parametrize("content", [None, "", "is it red?", "{}", '{"model": {"type": "BPE"}}'])
def test_a_file_that_is_no_tokenizer_is_refused(tmp_path, content):
    path = tmp_path / "tokenizer.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match=f"preprocess.text.tokenizer: {path} is no tokenizer.json"):
        load_tokenizer(path, SETTINGS)
