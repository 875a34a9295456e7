"""Every corruption: pure, the same everywhere, worse with its severity, and still a file."""

import difflib
import re
from itertools import pairwise

import numpy as np
import pytest
import soundfile
from PIL import Image
from torchaudio.functional import edit_distance

from components.common.errors import InputError
from components.common.hashing import content_id, fingerprint
from components.evaluate.robustness import CORRUPTIONS, SUITES, corrupted, corruption, suite
from components.evaluate.robustness.missing import CORRUPTIONS as MISSING
from components.modalities.audio import decoding as decode_audio
from components.modalities.corruption import SEVERITIES
from components.modalities.image import decoding as decode_image
from components.modalities.registry import MODALITIES
from components.modalities.text import decoding as decode_text
from tests.evaluate.robustness.media import MEDIA, RATE
from tests.shrunk import ROOT, encoded, run_python, wav

CHANGING = [name for name in CORRUPTIONS if name not in MISSING]
PACE = {"fast", "slow"}  # change how long a sound is
ROUGHLY = 0.98  # of a level's distance the next one has at least: JPEG's blocks are no ladder


def media(name: str) -> dict[str, bytes]:
    return MEDIA[CORRUPTIONS[name].modality]


def spoilt(name: str, severity: int) -> dict[str, bytes]:
    return corrupted(media(name), name, severity)


def read(modality: str, content: bytes):
    if modality == "text":
        return decode_text.decode(content)
    if modality == "image":
        return decode_image.decode(content).pixels / 255
    return decode_audio.decode(content, 10)[0]


def loudness(wave: np.ndarray) -> np.ndarray:
    """What a sound is like whatever its length: its mean spectrum in dB, of one loudness."""
    spectrum = np.abs(np.fft.rfft(wave, 1 << 15)) ** 2
    bands = np.array([band.mean() for band in np.array_split(spectrum, 64)])
    return 10 * np.log10(bands / bands.sum() + 1e-9)


def distance(name: str, content: bytes, changed: bytes) -> float:
    """How far a file is from what it was."""
    modality = CORRUPTIONS[name].modality
    before, after = read(modality, content), read(modality, changed)
    if modality == "text":
        return 1 - difflib.SequenceMatcher(None, before, after, autojunk=False).ratio()
    if modality == "image":
        return float(np.abs(before - after).mean())
    if name in PACE | {"pitch"}:
        return float(np.abs(loudness(before) - loudness(after)).mean())
    if name == "quiet":
        return float(20 * np.log10(np.linalg.norm(before) / np.linalg.norm(after)))
    return float(np.linalg.norm(before - after) / np.linalg.norm(before))


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_the_same_each_time_whatever_else_is_corrupted(name):
    for severity in SEVERITIES:
        together = spoilt(name, severity)
        alone = {}
        for asset, content in reversed(media(name).items()):
            alone |= corrupted({asset: content}, name, severity)
        assert alone == together


def test_the_same_in_another_process():
    code = """
from components.evaluate.robustness import SUITES, CORRUPTIONS, corrupted
from components.common.hashing import content_id, fingerprint
from tests.evaluate.robustness.media import MEDIA
def digest(name, severity):
    found = corrupted(MEDIA[CORRUPTIONS[name].modality], name, severity)
    return [[asset, content_id(content)] for asset, content in found.items()]
print(fingerprint([digest(*each) for each in SUITES["full"]]))
"""
    runs = [run_python("-c", code, cwd=ROOT, PYTHONHASHSEED=seed) for seed in ("1", "2")]
    found = [[a, content_id(c)] for name, s in SUITES["full"] for a, c in spoilt(name, s).items()]
    here = fingerprint(
        [[[a, content_id(c)] for a, c in spoilt(name, s).items()] for name, s in SUITES["full"]]
    )
    assert len(found) > 500
    assert [run.stdout.strip() for run in runs] == [here, here], runs[0].stderr


@pytest.mark.parametrize("name", CHANGING)
def test_still_a_file_of_its_size(name):
    modality = CORRUPTIONS[name].modality
    for severity in SEVERITIES:
        for asset, content in spoilt(name, severity).items():
            before, after = read(modality, media(name)[asset]), read(modality, content)
            if modality == "image":
                assert after.shape == before.shape
            elif modality == "text":
                assert after.strip() and len(after) <= 2 * len(before)
            else:
                ratio = 1.0
                if name in PACE:
                    up, down = CORRUPTIONS[name].levels[severity - 1]
                    ratio = down / up
                assert len(after) == pytest.approx(len(before) * ratio, abs=1)
                assert np.isfinite(after).all() and np.abs(after).max() <= 1


@pytest.mark.parametrize("name", CHANGING)
def test_farther_from_the_clean_the_more_severe(name):
    means = [
        np.mean([distance(name, media(name)[a], c) for a, c in spoilt(name, severity).items()])
        for severity in SEVERITIES
    ]
    assert means[0] > 0
    for mild, severe in pairwise(means):
        assert severe > ROUGHLY * mild, means
    assert means[-1] > 1.2 * means[0], means


@pytest.mark.parametrize("name", MISSING)
def test_what_has_gone_stays_gone_and_the_rest_is_as_it_was(name):
    many = {content_id(bytes([n, k])): bytes([n]) for n in range(200) for k in range(5)}
    left = [corrupted(many, name, severity) for severity in SEVERITIES]
    for mild, severe in pairwise(left):
        assert severe.keys() <= mild.keys()
    for severity, found in enumerate(left, 1):
        assert all(many[asset] == content for asset, content in found.items())
        assert len(found) / len(many) == pytest.approx(1 - severity / 5, abs=0.05)


def test_the_input_is_left_alone():
    kept = {m: dict(MEDIA[m]) for m in MODALITIES}
    for name, severity in SUITES["full"]:
        buffer = bytearray(next(iter(media(name).values())))
        before = bytes(buffer)
        corruption(name)(severity, "0" * 64, bytes(buffer))
        assert bytes(buffer) == before
    assert kept == MEDIA


@pytest.mark.parametrize("name", CHANGING)
def test_the_smallest_files_too(name):
    smallest = {
        "image": [encoded(Image.new(mode, size)) for mode in "LP" for size in ((1, 1), (1, 9))],
        "text": [b"a", b"?", b" ?! ", "é😀".encode()],
        "audio": [
            wav(np.zeros(1)),
            wav(np.zeros(3000)),
            wav(np.full(2, 1.0)),
            wav(np.zeros((900, 2)), 44100),
        ],
    }
    modality = CORRUPTIONS[name].modality
    for severity in SEVERITIES:
        for content in smallest[modality]:
            changed = corruption(name)(severity, content_id(content), content)
            assert len(read(modality, changed)) > 0


def test_an_asset_s_chance_is_its_own():
    one, two = (
        corruption("gaussian_noise")(3, asset, MEDIA["image"][next(iter(MEDIA["image"]))])
        for asset in ("a" * 64, "b" * 64)
    )
    assert one != two


def test_typos_hit_as_many_letters_as_they_say():
    """Levenshtein counts a letter after the next as two edits: of four kinds one."""
    text = "the quick brown fox jumps over the lazy dog"
    many = [corruption("typos")(4, content_id(bytes([n])), text.encode()) for n in range(100)]
    edits = sum(edit_distance(text, changed.decode()) for changed in many)
    assert edits / (100 * sum(map(str.isalpha, text))) == pytest.approx(0.15 * 5 / 4, rel=0.1)


def test_a_typo_next_door():
    from components.modalities.text.corruptions import NEIGHBOURS

    assert set(NEIGHBOURS["s"]) == set("awedxz")
    assert set(NEIGHBOURS["q"]) == set("wa")
    assert all(key in NEIGHBOURS[other] for key in NEIGHBOURS for other in NEIGHBOURS[key])


def test_noise_has_the_power_it_says():
    """A quiet sound, so that nothing is cut off."""
    wave = 0.02 * np.sin(np.arange(4 * RATE) / 5)
    content = wav(wave, RATE, "FLOAT")
    for name in ("white_noise", "pink_noise"):
        changed = decode_audio.decode(corruption(name)(3, "0" * 64, content), 10)[0]
        ratio = 10 * np.log10((wave**2).sum() / ((changed - wave) ** 2).sum())
        assert ratio == pytest.approx(10, abs=0.1)


def test_a_pitch_is_as_high_as_it_says_and_no_shorter():
    wave = 0.5 * np.sin(2 * np.pi * 440 * np.arange(2 * RATE) / RATE)
    for severity, (up, down) in zip(SEVERITIES, CORRUPTIONS["pitch"].levels, strict=True):
        changed = corruption("pitch")(severity, "0" * 64, wav(wave, RATE))
        found = decode_audio.decode(changed, 10)[0]
        highest = np.abs(np.fft.rfft(found * np.hanning(len(found)))).argmax() / len(found) * RATE
        assert highest == pytest.approx(440 * up / down, rel=0.02)
        assert len(found) == len(wave)


def test_other_rates_and_channels_stay_sounds_of_their_rate():
    wave = np.random.default_rng(0).normal(scale=0.1, size=(4410, 2))
    for name in CHANGING:
        if CORRUPTIONS[name].modality == "audio":
            content = corruption(name)(2, "0" * 64, wav(wave, 44100))
            with decode_audio.open_sound(content) as sound:
                assert (sound.samplerate, sound.channels) == (44100, 1)


def test_suites_name_corruptions_that_there_are():
    assert SUITES["none"] == ()
    assert len(SUITES["full"]) == len(set(SUITES["full"])) == 5 * len(CORRUPTIONS)
    for chosen in SUITES.values():
        assert all(name in CORRUPTIONS and severity in SEVERITIES for name, severity in chosen)
    assert {CORRUPTIONS[name].modality for name, _ in SUITES["quick"]} == set(MODALITIES)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: corruption("gausian_noise"), "Did you mean 'gaussian_noise'?"),
        (lambda: suite("fast"), "Valid here: none, quick, full"),
        (lambda: corruption("typos", 6), "found severity 6, expected 1 to 5"),
        (lambda: corruption("typos", 0), "found severity 0, expected 1 to 5"),
    ],
)
def test_other_names_and_severities_are_refused(call, message):
    with pytest.raises(InputError, match=re.escape(message)):
        call()


def test_every_corruption_is_described():
    described = (ROOT / "docs/robustness.md").read_text()
    assert [name for name in CORRUPTIONS if f"`{name}`" not in described] == []


def test_sounds_are_written_with_16_bits():
    content = corruption("quiet")(5, "0" * 64, MEDIA["audio"][next(iter(MEDIA["audio"]))])
    with decode_audio.open_sound(content) as sound:
        assert sound.subtype == "PCM_16"
        assert soundfile.default_subtype("WAV") == "PCM_16"
