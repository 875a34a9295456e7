"""Convert pretrained encoders of Python packages to safetensors, once.

Prints the settings that name them.
"""

from pathlib import Path

import yaml

from components.common import command_line
from components.common.errors import InputError, nearest
from components.modalities.import_pretrained.packages import PACKAGED, import_model
from components.stage.stage import exit_codes


def main() -> None:
    """Import the models that are named, or all; exit code 2 if one cannot be."""
    parser = command_line.parser(__doc__)
    known = ", ".join(PACKAGED)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {known}; none: all of them")
    parser.add_argument("--pretrained", type=Path, default=Path("pretrained"), help="folder")
    arguments = parser.parse_args()
    with exit_codes():
        for name in arguments.names:
            if name not in PACKAGED:
                raise InputError(f"{name!r} is no model to import. {nearest(name, [*PACKAGED])}")
        features = {}
        for name in arguments.names or PACKAGED:
            import_model(name, arguments.pretrained)
            features[PACKAGED[name].modality] = {"encoder": name}
        print(yaml.safe_dump({"features": features}), end="")


if __name__ == "__main__":
    main()
