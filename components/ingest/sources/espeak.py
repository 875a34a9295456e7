"""Speech by eSpeak NG whose bytes depend on the text and the voice alone.

eSpeak NG carries state from one clip to the next, and initialising it again does not clear it.
Here small processes initialise the library once and fork for every clip, so that each clip
starts from the same memory, whatever came before it. They end with the process that started them.
"""

import io
import json
import sys
import wave
import weakref
from contextlib import suppress
from dataclasses import astuple, dataclass
from pathlib import Path
from subprocess import PIPE, Popen

from components.common.errors import Problem

HELPER = Path(__file__).with_name("espeak_helper.py")
SHORT = 80  # characters of a text that an error shows


@dataclass(frozen=True)
class Utterance:
    """A text and how it is spoken: eSpeak NG voice, words a minute, pitch (0 to 99)."""

    text: str
    accent: str
    speed: int
    pitch: int


class SpeechError(Exception):
    """eSpeak NG does not work here."""


def say(utterance: Utterance) -> bytes | Problem:
    """Return the utterance as a WAV file (16 bit, mono, 22,050 Hz), or why there is none.

    As many helper processes are started as threads call this at once, with the same bytes. Raises
    `SpeechError` if one did not start, or was killed.
    """
    try:
        helper = _idle.pop()
    except IndexError:
        helper = _Helper()
    pcm = helper.ask(utterance)
    _idle.append(helper)
    said = f"{utterance.text[:SHORT]!r} in the voice {utterance.accent!r}"
    if pcm is None:
        return Problem("speech_failed", f"eSpeak NG cannot speak {said}")
    if not pcm.strip(b"\0"):
        return Problem("speech_silent", f"eSpeak NG has nothing to say for {said}")
    return _wav(pcm)


def has_voice(accent: str) -> bool:
    """Whether eSpeak NG has a voice."""
    return isinstance(say(Utterance("a", accent, 175, 50)), bytes)


class _Helper:
    """A process that speaks one utterance after the other."""

    def __init__(self):
        command = [sys.executable, "-P", str(HELPER)]
        self._process = Popen(command, stdin=PIPE, stdout=PIPE)
        assert self._process.stdin and self._process.stdout
        self._input, self._output = self._process.stdin, self._process.stdout
        weakref.finalize(self, _end, self._process)

    def ask(self, utterance: Utterance) -> bytes | None:
        """16-bit samples; None if the library refuses."""
        with suppress(BrokenPipeError):  # the answer will be missing too
            self._input.write(json.dumps(astuple(utterance)).encode() + b"\n")
            self._input.flush()
        size = int.from_bytes(self._read(8), "little", signed=True)
        return None if size < 0 else self._read(size)

    def _read(self, size: int) -> bytes:
        found = self._output.read(size)
        if len(found) < size:
            raise SpeechError(f"the helper of eSpeak NG ended with code {self._process.wait()}")
        return found


def _end(process: Popen) -> None:
    with suppress(BrokenPipeError), process:  # closes the pipes, then waits
        pass


_idle: list[_Helper] = []  # a thread takes one, and gives it back


def _wav(pcm: bytes) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(22_050)
        writer.writeframes(pcm)
    return file.getvalue()
