"""Two data sets that packages carry, as tables of files: emoji with names, stamps with speech.

`emoji`: the pictures of Noto Color Emoji (Debian's fonts-noto-color-emoji, OFL-1.1), their names in
six languages (the package emoji on PyPI, BSD-3-Clause) and their groups (Debian's unicode-data,
Unicode licence). `stamps`: pictures of Tux Paint, what they show spoken in six languages, and the
folders they lie in (Debian's tuxpaint-stamps-default, GPL-2). Nothing of them is kept in this
repository: packages are downloaded into a folder, and checked.
"""

import json
import random
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import soundfile
from PIL import Image, ImageDraw, ImageFont
from scipy.signal import resample_poly

from components.common.hashing import content_id

SIDE = 32  # pixels of a picture
RATE = 16_000  # Hz
LANGUAGES_PER_THING = 3  # of six, at random: as many rows
LABEL, THING = "label", "thing"  # columns: what is to be learnt, and what may be in one split only


@dataclass(frozen=True)
class Package:
    """A package of Debian, or of PyPI if `is_wheel`, and the SHA-256 of its file."""

    name: str
    version: str
    sha256: str
    is_wheel: bool = False

    def unpacked(self, cache: Path) -> Path:
        """Return the folder with its content; download it if it is not there.

        Raises:
            ValueError: the file is not the one that is expected.
        """
        folder = cache / f"{self.name}-{self.version}"
        if not folder.exists():
            with TemporaryDirectory(dir=cache) as name:
                made = Path(name) / "content"
                self._unpack(self._download(Path(name)), made)
                made.rename(folder)
        return folder

    def _download(self, folder: Path) -> Path:
        if self.is_wheel:
            words = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
            words.append(f"{self.name}=={self.version}")
        else:
            words = ["apt-get", "download", "--quiet", f"{self.name}={self.version}"]
        subprocess.run(words, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        (file,) = folder.glob(f"{self.name}*")
        if (found := content_id(file.read_bytes())) != self.sha256:
            raise ValueError(f"{file.name}: the SHA-256 is {found}, expected {self.sha256}")
        return file

    def _unpack(self, file: Path, folder: Path) -> None:
        if self.is_wheel:
            zipfile.ZipFile(file).extractall(folder)
        else:
            subprocess.run(["dpkg-deb", "--extract", file, folder], check=True)


FONT = Package(
    "fonts-noto-color-emoji",
    "2.042-0+deb12u1",
    "a5ab0f69c7938423862320d9aca5dd187b3fd879d6a9a57dd52e17c3fa8d2751",
)
UNICODE = Package(
    "unicode-data",
    "15.0.0-1",
    "5efef23bbb1c6a133ecbdd63a2cfa07159ccacf5466a49e2426101c5ecd691fc",
)
NAMES = Package(
    "emoji",
    "2.16.0",
    "c4230d80640def9071599ff56b1b5950fe13a2a94c0da98c5deab12431b24330",
    is_wheel=True,
)
STAMPS = Package(
    "tuxpaint-stamps-default",
    "2022.06.04-1",
    "6db6c1bfc870a47f1499d6203b083522eacb57c5f9c87d468f2e92eb6d9d5f34",
)

FONT_SIZE = 109  # the only one of the font's bitmaps
EMOJI_LANGUAGES = ("de", "es", "fr", "it", "pt", "id")
STAMP_LANGUAGES = ("fr", "es", "ca", "ro", "ru", "bg")
FEWEST_STAMPS = 30  # of a class


def write_emoji(folder: Path, cache: Path) -> pd.DataFrame:
    """Draw emoji; return rows of a picture, a name in one of six languages, and a group."""
    font_file = FONT.unpacked(cache) / "usr/share/fonts/truetype/noto/NotoColorEmoji.ttf"
    font = ImageFont.truetype(font_file, FONT_SIZE)
    codes = NAMES.unpacked(cache) / "emoji/unicode_codes"
    names = {
        language: json.loads((codes / f"emoji_{language}.json").read_text())
        for language in EMOJI_LANGUAGES
    }
    rows = []
    for sign, group in _groups(UNICODE.unpacked(cache) / "usr/share/unicode/emoji/emoji-test.txt"):
        known = [language for language in EMOJI_LANGUAGES if sign in names[language]]
        if len(known) < LANGUAGES_PER_THING:
            continue
        path = folder / f"{ord(sign[0]):x}.png"
        _draw(sign, font).save(path)
        for language in random.Random(sign).sample(known, LANGUAGES_PER_THING):
            name = names[language][sign].strip(":").replace("_", " ")
            rows.append({"picture": path.name, "name": name, LABEL: group, THING: path.stem})
    return _without_copies(pd.DataFrame(rows), folder, "picture")


def _groups(file: Path) -> Iterator[tuple[str, str]]:
    """Yield emoji of one character with their group; flags have several, and components no use."""
    group = ""
    for line in file.read_text().splitlines():
        if line.startswith("# group: "):
            group = line.removeprefix("# group: ")
        found = re.match(r"([0-9A-F]+)( FE0F)?\s+; fully-qualified", line)
        if found and group not in ("Component", "Flags"):
            yield "".join(chr(int(code, 16)) for code in found[0].split(";")[0].split()), group


def _draw(sign: str, font: ImageFont.FreeTypeFont) -> Image.Image:
    left, top, right, bottom = map(round, font.getbbox(sign))
    image = Image.new("RGB", (max(right, 1), max(bottom, 1)), "white")
    ImageDraw.Draw(image).text((0, 0), sign, font=font, embedded_color=True)
    return _square(image.crop((left, top, right, bottom)))


def write_stamps(folder: Path, cache: Path) -> pd.DataFrame:
    """Copy stamps; return rows of a picture, its name spoken in one of six languages, and a folder.

    Pictures become small, and sound mono of `RATE`.
    """
    stamps = STAMPS.unpacked(cache) / "usr/share/tuxpaint/stamps"
    rows = []
    for path in sorted(stamps.rglob("*.png")):
        place = path.relative_to(stamps)
        said = {x: path.with_name(f"{path.stem}_desc_{x}.ogg") for x in STAMP_LANGUAGES}
        known = [language for language, file in said.items() if file.exists()]
        if len(known) < LANGUAGES_PER_THING:
            continue
        thing = "-".join(place.with_suffix("").parts)
        _square(_over_white(path)).save(folder / f"{thing}.png")
        for language in random.Random(thing).sample(known, LANGUAGES_PER_THING):
            sound = f"{thing}-{language}.wav"
            soundfile.write(folder / sound, _mono(said[language]), RATE)
            rows.append(
                {"picture": f"{thing}.png", "sound": sound, LABEL: place.parts[0], THING: thing}
            )
    table = pd.DataFrame(rows)
    things = table.groupby(LABEL)[THING].transform("nunique")
    table = table[things >= FEWEST_STAMPS]
    return _without_copies(_without_copies(table, folder, "picture"), folder, "sound")


def _over_white(path: Path) -> Image.Image:
    image = Image.open(path).convert("RGBA")
    paper = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(paper, image).convert("RGB")


def _square(image: Image.Image) -> Image.Image:
    """Return the whole image on a white square, `SIDE` pixels wide."""
    image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    paper = Image.new("RGB", (SIDE, SIDE), "white")
    paper.paste(image, ((SIDE - image.width) // 2, (SIDE - image.height) // 2))
    return paper


def _mono(path: Path) -> np.ndarray:
    wave, rate = soundfile.read(path, always_2d=True)
    return resample_poly(wave.mean(1), RATE, rate)


def _without_copies(table: pd.DataFrame, folder: Path, column: str) -> pd.DataFrame:
    """Return the rows whose file is not also that of an earlier thing."""
    files = table[column].unique()
    content = dict(zip(files, (content_id((folder / f).read_bytes()) for f in files), strict=True))
    first = table.groupby(table[column].map(content))[THING].transform("first")
    return table[table[THING] == first]


PUBLIC: dict[str, Callable[[Path, Path], pd.DataFrame]] = {
    "emoji": write_emoji,
    "stamps": write_stamps,
}
