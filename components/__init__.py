"""What Synesthesia does, stage by stage; nothing in here knows DVC or Prefect."""

import gc
import os
import sys
from importlib.util import find_spec

if find_spec("pyarrow") is None:  # DVC runs stages with the first `python` of the PATH
    print(
        f"error: {sys.executable} lacks the packages of this project. Run make, or activate the "
        "environment that has them: source .venv/bin/activate",
        file=sys.stderr,
    )
    raise SystemExit(2)

# Libraries have code for each kind of processor, which rounds differently. These variables, read
# when torch or NumPy is imported, keep them to the code for AVX2, so that every x86-64 processor
# that has it gives the same bytes: docs/training.md.
SAME_CODE = {
    "ATEN_CPU_CAPABILITY": "avx2",  # torch
    "ONEDNN_MAX_CPU_ISA": "AVX2",  # its convolutions
    "MKL_CBWR": "COMPATIBLE",  # its matrix products; AVX2 is another code on AMD than on Intel
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",
    "OPENBLAS_CORETYPE": "Haswell",  # matrix products of NumPy, and of torch where it learns
}
os.environ.update(SAME_CODE)

# A thread of torch that waits for others gives its core away after microseconds. By default it
# spins for milliseconds, and stages that share cores take longer than one after the other.
os.environ.setdefault("GOMP_SPINCOUNT", "100")

# Imports and rows of tables make many objects and hardly any cycles: looking for those after every
# 700 objects takes an eighth of the time that importing torch does.
gc.set_threshold(10_000)
