"""Whether a sound file can be used."""

import io

import numpy as np
import soundfile

from components.ingest.checks.problem import Facts, Problem


def inspect(content: bytes) -> Facts | Problem:
    """Decode a sound: `seconds` and `rate` in Hz, or what is wrong with it."""
    try:
        samples, rate = soundfile.read(io.BytesIO(content), dtype="float32")
    except (soundfile.LibsndfileError, RuntimeError) as error:
        return Problem("audio_undecodable", f"the sound cannot be decoded: {error}")
    if not len(samples):
        return Problem("audio_empty", "the sound has no samples")
    if not np.isfinite(samples).all():
        return Problem(
            "audio_not_finite", "the sound holds samples that are infinite or not a number"
        )
    return {"seconds": len(samples) / rate, "rate": rate}
