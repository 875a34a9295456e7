"""What Synesthesia does, stage by stage; nothing in here knows DVC or Prefect."""

import sys
from importlib.util import find_spec

if find_spec("pyarrow") is None:  # DVC runs stages with the first `python` of the PATH
    print(
        f"error: {sys.executable} lacks the packages of this project. Run make, or activate the "
        "environment that has them: source .venv/bin/activate",
        file=sys.stderr,
    )
    raise SystemExit(2)
