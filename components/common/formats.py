"""What a file is by its first bytes, for messages about files that cannot be used."""

import codecs
import re
from pathlib import Path

START = 512  # bytes that suffice
TO_SOUND = "convert it to WAV or FLAC, such as ffmpeg -i FILE NEW.wav"
TO_IMAGE = "convert it to JPEG or PNG"
DAMAGED = "download or save it again"
IMAGE, SOUND, PARQUET = "an image", "a sound", "Parquet"
CSV, TSV, JSON_LINES, JSON = "CSV", "TSV", "JSON Lines", "JSON"
ONE_PER_LINE = (
    "write one object per line: jq -c '.[]' FILE > NEW.jsonl writes those of a list, and jq -c . "
    "FILE > NEW.jsonl those that have several lines"
)
TABLES = {  # what text can be → the way out where the name of its file says another
    TSV: "let its name end in .tsv",
    CSV: "let its name end in .csv",
    JSON_LINES: "let its name end in .jsonl",
    JSON: ONE_PER_LINE,
}
JSON_START = re.compile(rb'\{\s*["}]|\{$|\[\s*[\[{]|\[$')  # of a line
KINDS = (  # what the first bytes are, its name, and the way out
    (rb"version https://git-lfs", "a pointer of Git LFS and not the file itself", "git lfs pull"),
    (rb"\x1f\x8b", "compressed by gzip", "unpack it with gunzip"),
    (rb"BZh[1-9]|\xfd7zXZ|\x28\xb5\x2f\xfd", "compressed", "unpack it"),
    (rb"PK\x03\x04", "a ZIP archive, as .xlsx is", "unpack it, or in Excel save it as CSV UTF-8"),
    (rb"\xd0\xcf\x11\xe0", "a file of older Microsoft Office", "in Excel save it as CSV UTF-8"),
    (rb"PAR1[\x00-\x1f]", PARQUET, "let its name end in .parquet"),
    (rb"SQLite format 3\0", "an SQLite database", "export the table as CSV"),
    (rb"\x93NUMPY", "an array of NumPy's", "save it as CSV or Parquet"),
    (rb"\x80[\x02-\x05]", "a pickle of Python's", "save it as CSV or Parquet"),
    (rb"(?i)\s*<(!doctype html|html)", "a web page, as failed downloads are", "download it again"),
    (rb"(?i)\s*(<\?xml[^>]*>\s*)?(<!doctype svg[^>]*>\s*)?<svg", "an SVG drawing", TO_IMAGE),
    (rb"%PDF-", "a PDF", "convert its pages to PNG"),
    (rb".{4}ftyp(hei|hev|mif1|msf1)", "an HEIC image", TO_IMAGE),
    (rb".{4}ftypavi", "an AVIF image", TO_IMAGE),
    (rb".{4}ftyp", "an MP4 or M4A file", TO_SOUND),
    (rb"\x1aE\xdf\xa3", "a WebM or Matroska file", TO_SOUND),
    (rb"#!AMR|\x30\x26\xb2\x75|\xff[\xf1\xf9]", "an AMR, WMA or AAC sound", TO_SOUND),
    (rb"\x89PNG|\xff\xd8\xff|GIF8[79]a|RIFF.{4}WEBP", IMAGE, "correct what names it"),
    (rb"RIFF.{4}WAVE|fLaC\0|OggS\0|ID3[\x02-\x04]", SOUND, "correct what names it"),
)


def read_start(path: Path) -> bytes:
    """Return the first bytes of a file."""
    with open(path, "rb") as file:
        return file.read(START)


def recognised(start: bytes, expected: str = "") -> str:
    """Return what a file is and the way out, as "it is …: …"; empty if it is none of `KINDS`.

    None of them is text that could be a table. Of a file of the kind that was expected, return
    `DAMAGED`, since it could not be read.
    """
    for pattern, name, way_out in KINDS:
        if re.match(pattern, start, re.DOTALL):
            if name == expected:
                return DAMAGED
            return f"it is {name}: {way_out}"
    return ""


def table_kind(start: bytes) -> str:
    """Return which of `TABLES` text is by its first bytes; empty if it is none of them."""
    lines = start.removeprefix(codecs.BOM_UTF8).strip().splitlines() or [b""]
    if JSON_START.match(lines[0]):
        is_whole = lines[0].endswith(b"}") or (len(lines) == 1 and len(start) == START)
        return JSON_LINES if lines[0].startswith(b"{") and is_whole else JSON
    if any(line.lstrip().startswith((b"{", b"[")) for line in lines):
        return ""  # JSON Lines, of which some are damaged
    return TSV if b"\t" in lines[0] else CSV if re.search(rb"[,;|]", lines[0]) else ""


def other_table(start: bytes, *expected: str) -> str:
    """Return which table text is and the way out, as "it looks like …: …".

    Return nothing if it is one of those expected, or none of `TABLES`.
    """
    kind = table_kind(start)
    return f"it looks like {kind}: {TABLES[kind]}" if kind and kind not in expected else ""
