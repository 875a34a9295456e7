"""The process that speaks for `components.ingest.sources.espeak`.

Requests come on standard input, a line of JSON each: text, accent, speed and pitch. Each clip's
size and samples go to standard output, a size of -1 if there is none. Every clip is spoken in a
fork of a process in which the library was initialised and its voice set, and nothing else happened.
Such a process imports nothing of this project and little else, since a fork costs what is in
memory.

The C interface is the one of `speak_lib.h` in eSpeak NG 1.52.
"""

import ctypes
import json
import mmap
import os
import sys
from io import BufferedReader, BufferedWriter

SYNCHRONOUS = 2  # AUDIO_OUTPUT_SYNCHRONOUS: samples arrive in the callback, before Synth returns
RATE, PITCH = 1, 3  # espeak_PARAMETER
CHARS_UTF8 = 1  # and neither espeakSSML nor espeakPHONEMES: markup is a text like any other
RECEIVE = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)
MAX_SPEAKERS = 16  # processes with a voice


class Speaker:
    """A process with a voice, until the requests to it end."""

    def __init__(self, library: ctypes.CDLL, accent: str, others: "dict[str, Speaker]"):
        lines, requests = os.pipe()
        done, answered = os.pipe()
        if os.fork() == 0:
            for other in others.values():
                other.close()  # or they would not end before this process does
            os.close(requests)
            os.close(done)
            voice = Voice(library, accent)
            for line in os.fdopen(lines, "rb"):
                voice.answer(line)
                os.write(answered, b".")
            os._exit(0)
        os.close(lines)
        os.close(answered)
        self._requests: BufferedWriter = os.fdopen(requests, "wb")
        self._done: BufferedReader = os.fdopen(done, "rb")

    def close(self) -> None:
        """End the process."""
        self._requests.close()
        self._done.close()

    def ask(self, line: bytes) -> None:
        """Have a request answered; raise `SystemExit` if the process ends meanwhile."""
        self._requests.write(line)
        self._requests.flush()
        if not self._done.read(1):
            raise SystemExit(1)


def serve() -> None:
    """Answer requests until standard input ends."""
    library = start()
    speakers: dict[str, Speaker] = {}
    for line in sys.stdin.buffer:
        accent = json.loads(line)[1]
        if accent not in speakers:
            if len(speakers) == MAX_SPEAKERS:
                speakers.pop(next(iter(speakers))).close()
            speakers[accent] = Speaker(library, accent, speakers)
        speakers[accent].ask(line)


def start() -> ctypes.CDLL:
    """Return the library, initialised."""
    import espeakng_loader

    library = ctypes.CDLL(espeakng_loader.get_library_path())
    rate = library.espeak_Initialize(SYNCHRONOUS, 0, espeakng_loader.get_data_path().encode(), 0)
    if rate != 22_050:
        raise SystemExit(f"eSpeak NG did not start (espeak_Initialize gave {rate})")
    library.espeak_ListVoices(None)  # read the voices' files once, not again for every voice
    return library


class Voice:
    """Speaks with the voice of an accent, in a child process for each clip."""

    def __init__(self, library: ctypes.CDLL, accent: str):
        self._library, self._pcm = library, bytearray()
        self._is_known = library.espeak_SetVoiceByName(accent.encode()) == 0
        self._is_writing = mmap.mmap(-1, 1)  # shared with children
        self._receive = RECEIVE(self._take)  # the library keeps no reference
        library.espeak_SetSynthCallback(self._receive)

    def _take(self, samples, count: int, _events) -> int:
        if samples and count > 0:
            self._pcm.extend(ctypes.string_at(samples, count * 2))
        return 0

    def answer(self, line: bytes) -> None:
        """Write a clip, or that there is none; this process stays as it is."""
        text, _, speed, pitch = json.loads(line)
        child = os.fork()
        if child == 0:
            code = 1
            try:
                if self._is_known and self._speak(text.encode(), speed, pitch):
                    self._is_writing[0] = 1
                    _write(len(self._pcm), self._pcm)
                    code = 0
            finally:
                os._exit(code)
        if os.waitpid(child, 0)[1] == 0:
            self._is_writing[0] = 0
        elif self._is_writing[0]:  # and was killed: nobody knows how much is written
            os._exit(1)
        else:
            _write(-1)

    def _speak(self, text: bytes, speed: int, pitch: int) -> bool:
        """Return whether the library speaks a text."""
        self._library.espeak_SetParameter(RATE, speed, 0)
        self._library.espeak_SetParameter(PITCH, pitch, 0)
        size = len(text) + 1
        return not self._library.espeak_Synth(text, size, 0, 0, 0, CHARS_UTF8, None, None)


def _write(size: int, pcm: bytes | bytearray = b"") -> None:
    sys.stdout.buffer.write(size.to_bytes(8, "little", signed=True))
    sys.stdout.buffer.write(pcm)
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    if sys.argv[1:]:
        from components.common import command_line  # which every fork would have to copy

        command_line.parser(__doc__).parse_args()
    serve()
