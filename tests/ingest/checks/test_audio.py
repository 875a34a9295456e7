"""Which sound files can be used, and what is found out about them."""

import tracemalloc

import numpy as np
import pytest

from components.common.errors import Problem
from components.modalities.audio.decoding import LOUDEST
from components.modalities.audio.inspection import inspect
from tests.shrunk import png, run_python, wav
from tests.sounds import KINDS, SECONDS, damaged, flac, riff, sound, tone

REASONS = {
    "audio_empty", "audio_rate", "audio_undecodable", "audio_not_finite", "audio_too_loud",
}  # fmt: skip


def floats(*values: float) -> bytes:
    """A WAV file of a tone that ends in `values`."""
    return wav(np.append(tone(440), values), subtype="DOUBLE")


def peak_memory(content: bytes) -> int:
    tracemalloc.start()
    try:
        inspect(content)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("kind", KINDS)
def test_the_facts_of_every_kind_of_file(kind):
    container, subtype, rate = KINDS[kind]
    facts = inspect(sound(np.stack([tone(440), tone(300)], 1), kind))
    assert facts.pop("seconds") == pytest.approx(SECONDS, abs=0.1)  # MP3 adds silence
    assert facts == {"rate": rate, "channels": 2, "format": f"{container} {subtype}"}


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 44099, 44100, 96000, 192000])
def test_any_rate_in_range(rate):
    assert inspect(wav(tone(440, rate=rate), rate))["rate"] == rate


@pytest.mark.parametrize("rate", [0, 1, 7999, 192_001, 2**31, 2**32 - 1])
def test_a_rate_out_of_range_is_refused(rate):
    problem = inspect(riff(rate=rate))
    assert problem.reason == "audio_rate"
    assert "expected 8000 to 192000 Hz" in problem.detail


@pytest.mark.parametrize("channels", [1, 2, 6, 64, 1024])
def test_many_channels(channels):
    assert inspect(riff(bytes(channels * 2 * 100), channels=channels))["channels"] == channels


@pytest.mark.parametrize("samples", [1, 2, 100])
def test_a_sound_shorter_than_a_window(samples):
    assert inspect(wav(tone(440)[:samples]))["seconds"] == samples / 8000


@pytest.mark.parametrize(
    "samples", [np.zeros(4000), 1e-30 * tone(440), 0.5 + tone(440), 7 * tone(440), -tone(440) - 3]
)
def test_silence_an_offset_and_samples_beyond_one_are_allowed(samples):
    assert inspect(wav(samples, subtype="FLOAT"))["seconds"] == SECONDS


@pytest.mark.parametrize(
    ("content", "reason"),
    {
        "an empty file": (b"", "audio_empty"),
        "no samples": (wav(np.zeros(0)), "audio_empty"),
        "not a number": (floats(np.nan), "audio_not_finite"),
        "infinite": (floats(-np.inf), "audio_not_finite"),
        "too much for 32 bits": (floats(1e300), "audio_not_finite"),
        "too loud": (floats(LOUDEST * 1.01), "audio_too_loud"),
        "a text": (b"is it red? " * 100, "audio_undecodable"),
        "an image": (png(), "audio_undecodable"),
        "zeros": (bytes(5000), "audio_undecodable"),
        "a header without data": (riff()[:30], "audio_undecodable"),
        "no channel": (riff(channels=0), "audio_undecodable"),
        "65,535 channels": (riff(channels=65_535), "audio_undecodable"),
        "fewer bytes than channels": (riff(bytes(100), channels=1024), "audio_empty"),
        "samples of 0 bits": (riff(bits=0), "audio_undecodable"),
        "a FLAC of 2 million hours": (flac(tone(440), 2**36 - 1), "audio_undecodable"),
        "a FLAC of unknown length": (flac(tone(440), 0), "audio_undecodable"),
    }.values(),
)
def test_what_cannot_be_used_has_a_reason(content, reason):
    problem = inspect(content)
    assert problem.reason == reason
    assert "0x" not in problem.detail  # no address: the same words in every run


def test_the_loudest_numbers_that_a_sound_card_writes_are_allowed():
    assert "seconds" in inspect(floats(-(2.0**31)))


@pytest.mark.parametrize("declared", [1002, 2**31 - 1, 2**32 - 1])
def test_a_data_chunk_longer_than_its_file_is_read_to_the_end(declared):
    content = riff(declared=declared)
    assert inspect(content)["seconds"] == 500 / 8000
    assert peak_memory(content) < 100_000


@pytest.mark.parametrize("content", [flac(tone(440), 2**36 - 1), riff(declared=2**32 - 1)])
def test_what_a_header_declares_is_not_allocated(content):
    assert peak_memory(content) < 20 * 2**20


def test_an_hour_is_read_in_blocks():
    content = sound(np.zeros(3600 * 8000, np.int16), "FLAC")
    assert inspect(content)["seconds"] == 3600
    assert peak_memory(content) < 20 * 2**20  # as floats it has 110 MiB


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_a_file_cut_short_is_read_to_its_end_unless_its_decoder_needs_the_rest(kind, share):
    noise = np.random.default_rng(0).normal(scale=0.1, size=8 * KINDS[kind][2])
    content = sound(noise, kind)
    found = inspect(content[: int(len(content) * share)])
    if kind == "FLAC":
        assert found.reason == "audio_undecodable"
    else:
        assert 8 * share - 2 < found["seconds"] < 8 * share + 0.1  # a page of Ogg lasts seconds


@pytest.mark.parametrize("kind", KINDS)
def test_the_first_bytes_alone_are_no_sound(kind):
    assert inspect(sound(tone(440), kind)[:20]).reason == "audio_undecodable"


def test_damaged_files_are_used_or_refused_for_a_known_reason(capfd):
    found = [inspect(content) for content in damaged(600)]
    problems = [problem for problem in found if isinstance(problem, Problem)]
    assert 100 < len(problems) < 500
    assert {problem.reason for problem in problems} <= REASONS
    assert all(0 < facts["seconds"] < 60 for facts in found if not isinstance(facts, Problem))
    assert "Traceback" not in capfd.readouterr().err


def test_the_checks_need_no_torch(tmp_path):
    """It takes seconds to import, and ingest has many processes."""
    script = "import sys, components.modalities.inspection; sys.exit('torch' in sys.modules)"
    assert run_python("-c", script, cwd=tmp_path).returncode == 0
