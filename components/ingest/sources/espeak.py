"""Speech by eSpeak NG whose bytes depend on the text and the voice alone.

eSpeak NG carries state from one clip to the next, and initialising it again does not clear it.
Here small processes initialise the library once and fork for every clip, so that each clip
starts from the same memory, whatever came before it. Such a process imports nothing large, so a
fork takes about a millisecond; it ends with the process that started it.

The C interface is the one of `speak_lib.h` in eSpeak NG 1.52.
"""

import ctypes
import io
import json
import os
import sys
import wave
import weakref
from contextlib import suppress
from dataclasses import astuple, dataclass
from pathlib import Path
from subprocess import PIPE, Popen

from components.common import command_line
from components.common.errors import Problem

SYNCHRONOUS = 2  # AUDIO_OUTPUT_SYNCHRONOUS: samples arrive in the callback, before Synth returns
RATE, PITCH = 1, 3  # espeak_PARAMETER
CHARS_UTF8 = 1  # and neither espeakSSML nor espeakPHONEMES: markup is a text like any other
ROOT = Path(__file__).parents[3]  # where Python finds this very module
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
        command = [sys.executable, "-m", __name__]
        self._process = Popen(command, stdin=PIPE, stdout=PIPE, cwd=ROOT)
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


def _library() -> ctypes.CDLL:
    import espeakng_loader

    library = ctypes.CDLL(espeakng_loader.get_library_path())
    rate = library.espeak_Initialize(SYNCHRONOUS, 0, espeakng_loader.get_data_path().encode(), 0)
    if rate != 22_050:
        raise SpeechError(f"eSpeak NG did not start (espeak_Initialize gave {rate})")
    library.espeak_ListVoices(None)  # read the voices' files once, not again in every fork
    return library


def _synthesise(library: ctypes.CDLL, utterance: Utterance) -> bytes | None:
    """Speak with the library's present state; 16-bit samples, None if it refuses."""
    pcm = bytearray()

    @ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
    def receive(samples, count, _events):
        if samples and count > 0:
            pcm.extend(ctypes.string_at(samples, count * 2))
        return 0

    if library.espeak_SetVoiceByName(utterance.accent.encode()):
        return None
    library.espeak_SetSynthCallback(receive)
    library.espeak_SetParameter(RATE, utterance.speed, 0)
    library.espeak_SetParameter(PITCH, utterance.pitch, 0)
    text = utterance.text.encode()
    if library.espeak_Synth(text, len(text) + 1, 0, 0, 0, CHARS_UTF8, None, None):
        return None
    return bytes(pcm)


def _speak_in_a_fork(library: ctypes.CDLL, utterance: Utterance) -> bytes | None:
    """Speak in a child process, so that this process's state stays as it was initialised."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.close(read_end)
            if (pcm := _synthesise(library, utterance)) is not None:
                with os.fdopen(write_end, "wb") as pipe:
                    pipe.write(pcm)
                code = 0
        finally:
            os._exit(code)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as pipe:
        pcm = pipe.read()
    return None if os.waitpid(child, 0)[1] else pcm


def _serve() -> None:
    """The helper: requests on standard input, each clip's size and samples on standard output."""
    library = _library()
    for line in sys.stdin.buffer:
        pcm = _speak_in_a_fork(library, Utterance(*json.loads(line)))
        size = -1 if pcm is None else len(pcm)
        sys.stdout.buffer.write(size.to_bytes(8, "little", signed=True) + (pcm or b""))
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    command_line.parser(__doc__).parse_args()
    _serve()
