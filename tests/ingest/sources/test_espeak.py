"""The bytes of a clip depend on the text and the voice alone."""

import io
import pickle
import random
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import psutil
import pytest
import soundfile

from components.common.errors import Problem
from components.ingest.sources import espeak
from components.ingest.sources.espeak import SpeechError, Utterance, has_voice, say
from components.ingest.sources.espeak_helper import MAX_SPEAKERS
from tests.support.process import run_python

TEXTS = ("is there a red shape?", "what color is the circle?", "does the image not contain teal?")
VOICES = (("en-us", 150, 35), ("en-gb-scotland", 190, 60), ("en-029", 170, 60))
ACCENTS = (
    *("cs", "da", "de", "el", "es", "fi", "fr", "hu", "it"),
    *("nl", "pl", "pt", "ro", "ru", "sk", "sv", "tr", "vi"),
)
UTTERANCES = [Utterance(text, *voice) for voice in VOICES for text in TEXTS]


def said(text: str, accent: str = "en-us") -> bytes:
    clip = say(Utterance(text, accent, 150, 50))
    assert isinstance(clip, bytes), clip
    return clip


@pytest.fixture(scope="module")
def clips() -> dict[Utterance, bytes]:
    return {utterance: say(utterance) for utterance in UTTERANCES}


def test_clip_is_wav_file_with_sound(clips):
    for clip in clips.values():
        samples, rate = soundfile.read(io.BytesIO(clip))
        assert rate == 22_050
        assert samples.ndim == 1
        assert 0.5 < len(samples) / rate < 5
        assert abs(samples).max() > 0.05


def test_every_text_and_voice_sounds_different(clips):
    assert len(set(clips.values())) == len(UTTERANCES)


@pytest.mark.parametrize("threads", [1, 5])
def test_order_and_threads_change_no_clip(clips, threads):
    order = random.Random(threads).sample(UTTERANCES * 2, len(UTTERANCES) * 2)
    with ThreadPoolExecutor(threads) as pool:
        assert list(pool.map(say, order)) == [clips[utterance] for utterance in order]


def test_clip_of_new_process_is_the_same(clips, monkeypatch):
    monkeypatch.setattr(espeak, "_idle", [])
    assert say(UTTERANCES[-1]) == clips[UTTERANCES[-1]]


def test_request_is_picklable(clips):
    assert pickle.loads(pickle.dumps(partial(say, UTTERANCES[0])))() == clips[UTTERANCES[0]]


@pytest.mark.parametrize("text", ["café über", "这是什么?", "что это?", "😀", "x\ny", "12"])
def test_any_script_is_spoken(text):
    assert len(said(text)) > 5_000


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("<b>red</b>", "red"),
        ("<voice name='de'>red</voice>", "red"),
        ("[[r'Ed]]", "red"),
        ("&lt;red", "<red"),
    ],
)
def test_markup_is_read_out(text, same):
    assert len(said(text)) > 1.5 * len(said(same))  # its signs are read out


@pytest.mark.parametrize("text", ["", " ", "…", "?!", "---", "\U000e0001"])
def test_silent_text_is_a_problem(text):
    found = say(Utterance(text, "en-us", 150, 50))
    assert isinstance(found, Problem)
    assert found.reason == "speech_silent"
    assert repr(text) in found.detail and "en-us" in found.detail


def test_unknown_voice_is_a_problem(clips):
    assert has_voice("en-us") and not has_voice("en-klingon")
    found = say(Utterance("hello", "en-klingon", 150, 50))
    assert found == Problem(
        "speech_failed", "eSpeak NG cannot speak 'hello' in the voice 'en-klingon'"
    )
    assert say(UTTERANCES[0]) == clips[UTTERANCES[0]]


def test_helper_that_cannot_start_is_a_fault(monkeypatch, tmp_path):
    monkeypatch.setattr(espeak, "_idle", [])
    (tmp_path / "espeakng_loader.py").write_text("raise RuntimeError('no eSpeak NG here')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(SpeechError, match="the helper of eSpeak NG ended with code 1"):
        say(UTTERANCES[0])
    assert espeak._idle == []


def test_killed_helper_is_replaced(clips, monkeypatch):
    monkeypatch.setattr(espeak, "_idle", [])
    say(UTTERANCES[0])
    espeak._idle[0]._process.kill()
    espeak._idle[0]._process.wait()
    with pytest.raises(SpeechError, match="ended with code -9"):
        say(UTTERANCES[0])
    assert say(UTTERANCES[0]) == clips[UTTERANCES[0]]


def test_killed_voice_is_replaced(clips, monkeypatch):
    monkeypatch.setattr(espeak, "_idle", [])
    say(UTTERANCES[0])
    (speaker,) = psutil.Process(espeak._idle[0]._process.pid).children()
    speaker.kill()
    with pytest.raises(SpeechError, match="ended with code 1"):
        say(UTTERANCES[0])
    assert say(UTTERANCES[0]) == clips[UTTERANCES[0]]


def test_processes_of_many_voices_are_limited(clips, monkeypatch):
    monkeypatch.setattr(espeak, "_idle", [])
    for accent in ACCENTS:
        said("a", accent)
    speakers = psutil.Process(espeak._idle[0]._process.pid).children()
    assert sum(each.status() != psutil.STATUS_ZOMBIE for each in speakers) == MAX_SPEAKERS
    assert [say(utterance) for utterance in UTTERANCES] == list(clips.values())


def test_helper_has_little_in_memory(tmp_path):
    """Each clip would cost twice the time if it had as much as this project imports."""
    code = "import runpy, sys; runpy.run_path(sys.argv[1]); print(*sys.modules)"
    process = run_python("-c", code, str(espeak.HELPER), cwd=tmp_path)
    assert not {"components", "numpy", "random", "logging"} & set(process.stdout.split())


def test_helpers_end_with_killed_parent(tmp_path):
    """They share its standard error, whose end `run_python` waits for."""
    script = (
        "import os, signal\n"
        "from components.ingest.sources import espeak\n"
        "espeak.say(espeak.Utterance('hello', 'en', 150, 50))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    process = run_python("-c", script, cwd=tmp_path)
    assert process.returncode == -9
