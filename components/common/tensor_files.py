"""Files of tensors that stages leave."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from components.common.files import readable


@contextmanager
def readable_tensors(path: Path) -> Iterator[None]:
    """Raise `InputError` if the body, which reads a stage's output, finds no safetensors there."""
    with readable(path, "safetensors"):
        try:
            yield
        except SafetensorError as error:
            raise ValueError(error) from error
