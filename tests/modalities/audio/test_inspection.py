"""Which sound files are accepted, and why the others are refused."""

import tracemalloc

import numpy as np
import pytest

from components.common.errors import Problem
from components.modalities.audio.decoding import MAX_MAGNITUDE
from components.modalities.audio.inspection import inspect
from tests.support.media import png, wav
from tests.support.params import ROOT
from tests.support.process import run_python
from tests.support.sounds import KINDS, SECONDS, damaged, flac, riff, sound, tone

REASONS = {
    "audio_empty",
    "audio_rate",
    "audio_undecodable",
    "audio_not_finite",
    "audio_too_loud",
}


def floats(*values: float) -> bytes:
    """Return a WAV file of a tone that ends in `values`."""
    return wav(np.append(tone(440), values), subtype="DOUBLE")


def peak_memory(content: bytes) -> int:
    """Return the most bytes that Python allocates while a file is inspected."""
    tracemalloc.start()
    try:
        inspect(content)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("kind", KINDS)
def test_facts_describe_file(kind):
    facts = inspect(sound(np.stack([tone(440), tone(300)], 1), kind))
    assert facts.pop("seconds") == pytest.approx(SECONDS, abs=0.1)  # MP3 adds silence
    assert len(facts.pop("fingerprint")) == 64
    assert facts == {"rate": KINDS[kind][2]}


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 44099, 44100, 96000, 192000])
def test_rate_in_range_is_accepted(rate):
    assert inspect(wav(tone(440, rate=rate), rate))["rate"] == rate


@pytest.mark.parametrize("rate", [0, 1, 7999, 192_001, 2**31, 2**32 - 1])
def test_rate_out_of_range_is_refused(rate):
    problem = inspect(riff(rate=rate))
    assert problem.reason == "audio_rate"
    assert "expected 8000 to 192000 Hz" in problem.detail


@pytest.mark.parametrize("channels", [1, 2, 6, 64, 1024])
def test_any_number_of_channels_is_accepted(channels):
    facts = inspect(riff(bytes(channels * 2 * 100), channels=channels))
    assert facts == {"seconds": 100 / 8000, "rate": 8000}


@pytest.mark.parametrize("samples", [1, 2, 100])
def test_sound_shorter_than_window_is_accepted(samples):
    assert inspect(wav(tone(440)[:samples]))["seconds"] == samples / 8000


@pytest.mark.parametrize(
    "samples", [np.zeros(4000), 1e-30 * tone(440), 0.5 + tone(440), 7 * tone(440), -tone(440) - 3]
)
def test_silence_offset_and_clipping_are_accepted(samples):
    assert inspect(wav(samples, subtype="FLOAT"))["seconds"] == SECONDS


@pytest.mark.parametrize(
    ("content", "reason"),
    {
        "an empty file": (b"", "audio_empty"),
        "no samples": (wav(np.zeros(0)), "audio_empty"),
        "not a number": (floats(np.nan), "audio_not_finite"),
        "infinite": (floats(-np.inf), "audio_not_finite"),
        "too much for 32 bits": (floats(1e300), "audio_not_finite"),
        "too loud": (floats(MAX_MAGNITUDE * 1.01), "audio_too_loud"),
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
def test_unusable_file_has_reason(content, reason):
    problem = inspect(content)
    assert problem.reason == reason
    assert "0x" not in problem.detail  # no address in memory, which differs from run to run


def test_unreadable_sound_names_what_it_is():
    assert "it is an MP4 or M4A file: convert it to WAV" in inspect(b"\0\0\0 ftypM4A ").detail
    assert "it is an image: correct what names it" in inspect(png()).detail
    assert "it begins with b'is it red?'" in inspect(b"is it red?").detail


def test_full_scale_of_32_bits_is_accepted():
    assert "seconds" in inspect(floats(-(2.0**31)))


@pytest.mark.parametrize("declared", [1002, 2**31 - 1, 2**32 - 1])
def test_truncated_data_chunk_is_read_to_end(declared):
    content = riff(declared=declared)
    assert inspect(content)["seconds"] == 500 / 8000
    assert peak_memory(content) < 100_000


@pytest.mark.parametrize("content", [flac(tone(440), 2**36 - 1), riff(declared=2**32 - 1)])
def test_declared_length_is_not_allocated(content):
    assert peak_memory(content) < 20 * 2**20


def test_hour_is_read_in_blocks():
    content = sound(np.zeros(3600 * 8000, np.int16), "FLAC")
    assert inspect(content)["seconds"] == 3600
    assert peak_memory(content) < 20 * 2**20  # as floats it has 110 MiB


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fraction", [0.5, 0.9])
def test_truncated_file_is_read_to_end_except_flac(kind, fraction):
    noise = np.random.default_rng(0).normal(scale=0.1, size=8 * KINDS[kind][2])
    content = sound(noise, kind)
    found = inspect(content[: int(len(content) * fraction)])
    if kind == "FLAC":
        assert found.reason == "audio_undecodable"
    else:
        assert 8 * fraction - 2 < found["seconds"] < 8 * fraction + 0.1  # pages of Ogg are long


@pytest.mark.parametrize("kind", KINDS)
def test_header_alone_is_refused(kind):
    assert inspect(sound(tone(440), kind)[:20]).reason == "audio_undecodable"


def test_damaged_file_is_used_or_refused_for_known_reason(capfd):
    found = [inspect(content) for content in damaged(600)]
    problems = [problem for problem in found if isinstance(problem, Problem)]
    assert 100 < len(problems) < 500
    assert {problem.reason for problem in problems} <= REASONS
    assert all(0 < facts["seconds"] < 60 for facts in found if not isinstance(facts, Problem))
    assert "Traceback" not in capfd.readouterr().err


def test_inspection_needs_no_torch():
    """It takes seconds to import, and ingest has many processes."""
    script = "import sys, components.modalities.audio.inspection; sys.exit('torch' in sys.modules)"
    assert run_python("-c", script, cwd=ROOT).returncode == 0
