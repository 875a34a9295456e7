"""Plain features of each modality: one row per asset, whatever it holds."""

import numpy as np
import pytest
from scipy.sparse import issparse

from components.modalities.audio.plain_features import BANDS, log_mel, mel_filters
from components.modalities.image.plain_features import ORIENTATIONS, gradients
from components.modalities.registry import MODALITIES, modality, plain_features_of
from components.stage.settings import part_of
from tests.support.media import png, wav
from tests.support.sounds import tone

FILES = {  # unusual ones among them
    "image": [png(0), png(1), png(2, size=(1, 1)), png(3, size=(300, 2)), png(4, mode="L")],
    "text": [b"a red dog", b"dogs", b"?!", "犬".encode(), b"dog " * 5000],
    "audio": [wav(0), wav(np.zeros(1)), wav(np.zeros(4000)), wav(tone(440)), wav(1, rate=44100)],
    "tabular": [
        *(b'{"age": 3, "breed": "tabby"}', b'{"age": null, "breed": "siamese"}', b'{"age": 1e308}'),
        *(b'{"breed": "x", "new": 1}', b'{"age": -1e308, "breed": "tabby"}'),
    ],
}


def matrix(m: str, learnt: list[bytes], files: list[bytes]) -> np.ndarray:
    """Return the features of files, learnt from some."""
    part, record = plain_features_of(m), modality(m)
    inputs = part_of(record.inputs, record.plain_keys)()
    assert part is not None
    vectorizer = part.vectorizer().fit([part.describe(content, inputs) for content in learnt])
    found = vectorizer.transform([part.describe(content, inputs) for content in files])
    return found.toarray() if issparse(found) else found


@pytest.mark.parametrize("m", MODALITIES)
def test_every_asset_has_a_row_of_about_length_1(m):
    found = matrix(m, FILES[m], FILES[m])
    assert len(found) == len(FILES[m]) and np.isfinite(found).all()
    lengths = np.linalg.norm(found, axis=1)
    assert (lengths < 5).all() and 0.2 < np.median(lengths) < 2


@pytest.mark.parametrize("m", MODALITIES)
def test_features_of_an_asset_depend_on_no_other(m):
    together, alone = matrix(m, FILES[m][:3], FILES[m]), matrix(m, FILES[m][:3], FILES[m][3:4])
    assert np.allclose(together[3:4], alone)


@pytest.mark.parametrize("m", MODALITIES)
def test_one_asset_is_enough_to_learn_from(m):
    assert np.isfinite(matrix(m, FILES[m][:1], FILES[m])).all()


def test_gradients_tell_directions():
    """An edge has the orientation of what changes across it."""
    grey = np.zeros((32, 32), "float32")
    grey[:, 14:] = 1
    found = gradients(np.stack([grey, grey.T])).reshape(2, -1, ORIENTATIONS).sum(1)
    assert found.argmax(1).tolist() == [0, 4]


@pytest.mark.parametrize("rate", [8000, 16_000, 44_100])
def test_tone_is_in_the_band_of_its_frequency(rate):
    """Whatever the rate."""
    bands = log_mel(tone(1000, rate=rate), rate).mean(0)
    nearest = mel_filters(rate, rate)[1000].argmax()
    assert bands.argmax() == nearest and len(bands) == BANDS


def test_rare_category_is_known_by_its_name():
    rows = [f'{{"breed": "breed {n}"}}'.encode() for n in range(5)]
    assert np.linalg.matrix_rank(matrix("tabular", rows, rows)) == 5


def test_missing_number_is_a_mean():
    rows = [b'{"age": 1, "x": "y"}', b'{"age": 3, "x": "y"}', b'{"age": null, "x": "y"}']
    found = matrix("tabular", rows, rows)
    assert found[:, 0].tolist() == [-found[1, 0], found[1, 0], 0]
