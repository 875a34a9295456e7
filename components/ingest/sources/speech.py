"""Speech by eSpeak NG whose bytes depend on the text and the voice alone.

eSpeak NG carries state from one clip to the next, and initialising it again does not clear it.
Here a small process initialises the library once and forks for every clip, so that each clip
starts from the same memory, whatever came before it. The process imports nothing large, so a
fork takes about a millisecond.

The C interface is the one of `speak_lib.h` in eSpeak NG 1.52.
"""

import ctypes
import io
import os
import sys
import wave
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from subprocess import PIPE, Popen

SYNCHRONOUS = 2  # AUDIO_OUTPUT_SYNCHRONOUS: samples arrive in the callback, before Synth returns
RATE, PITCH = 1, 3  # espeak_PARAMETER
CHARS_UTF8 = 1
RECORD = 3  # fields of a request: text, accent, "speed pitch"


@dataclass(frozen=True)
class Utterance:
    """A text and how it is spoken: eSpeak NG voice, words a minute, pitch (0 to 99)."""

    text: str
    accent: str
    speed: int
    pitch: int


class SpeechError(Exception):
    """eSpeak NG could not speak an utterance."""


def speak(utterances: Iterable[Utterance], workers: int) -> Iterator[bytes]:
    """Give each utterance as a WAV file (16 bit, mono, 22,050 Hz), in the order asked.

    Args:
        utterances: what to say.
        workers: helper processes; the bytes do not depend on it.

    Raises:
        SpeechError: a voice does not exist, or the library failed.
    """
    utterances = list(utterances)
    share = -(-len(utterances) // workers) or 1
    parts = [utterances[i : i + share] for i in range(0, len(utterances), share)]
    with ThreadPoolExecutor(max(1, len(parts))) as pool:
        for clips in pool.map(_speak_in_one_process, parts):
            yield from clips


def _speak_in_one_process(utterances: list[Utterance]) -> list[bytes]:
    for utterance in utterances:
        if "\n" in utterance.text or "\0" in utterance.text:
            raise SpeechError(f"the text {utterance.text!r} holds a line break or NUL")
    request = "".join(f"{u.text}\n{u.accent}\n{u.speed} {u.pitch}\n" for u in utterances)
    helper = Popen([sys.executable, "-m", __name__], stdin=PIPE, stdout=PIPE, stderr=PIPE)
    output, errors = helper.communicate(request.encode())
    if helper.returncode:
        raise SpeechError(errors.decode().strip() or f"the helper ended with {helper.returncode}")
    clips, stream = [], io.BytesIO(output)
    while size := stream.read(8):
        clips.append(_wav(stream.read(int.from_bytes(size, "little"))))
    return clips


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


def _synthesise(library: ctypes.CDLL, utterance: Utterance) -> bytes:
    """Speak with the library's present state; 16-bit samples."""
    pcm = bytearray()

    @ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
    def receive(samples, count, _events):
        if samples and count > 0:
            pcm.extend(ctypes.string_at(samples, count * 2))
        return 0

    if library.espeak_SetVoiceByName(utterance.accent.encode()):
        raise SpeechError(f"eSpeak NG has no voice {utterance.accent!r}; see espeak-ng --voices")
    library.espeak_SetSynthCallback(receive)
    library.espeak_SetParameter(RATE, utterance.speed, 0)
    library.espeak_SetParameter(PITCH, utterance.pitch, 0)
    text = utterance.text.encode()
    if library.espeak_Synth(text, len(text) + 1, 0, 0, 0, CHARS_UTF8, None, None):
        raise SpeechError(f"eSpeak NG could not speak {utterance.text!r}")
    return bytes(pcm)


def _speak_in_a_fork(library: ctypes.CDLL, utterance: Utterance) -> bytes:
    """Speak in a child process, so that this process's state stays as it was initialised."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.close(read_end)
            with os.fdopen(write_end, "wb") as pipe:
                pipe.write(_synthesise(library, utterance))
            code = 0
        except SpeechError as error:
            print(error, file=sys.stderr, flush=True)
        finally:
            os._exit(code)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as pipe:
        pcm = pipe.read()
    if os.waitpid(child, 0)[1] or not pcm:
        raise SystemExit(1)
    return pcm


def _serve() -> None:
    """The helper: requests on standard input, each clip's size and samples on standard output."""
    lines = sys.stdin.buffer.read().decode().splitlines()
    library = _library()
    for start in range(0, len(lines), RECORD):
        text, accent, numbers = lines[start : start + RECORD]
        speed, pitch = map(int, numbers.split())
        pcm = _speak_in_a_fork(library, Utterance(text, accent, speed, pitch))
        sys.stdout.buffer.write(len(pcm).to_bytes(8, "little") + pcm)


if __name__ == "__main__":
    _serve()
