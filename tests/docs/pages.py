"""README and docs as tests read them: links, code, commands, tables."""

import re
import shlex
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.params import ROOT

FENCED = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.M | re.S)
CODE = re.compile(r"`([^`]+)`")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.M)
COMMAND = re.compile(r"-m ((?:components|flows|benchmarks)(?:\.\w+)+)(.*)")


@dataclass(frozen=True)
class Block:
    """A fenced block of code.

    Attributes:
        language: after the fence; empty if there is none.
        text: without indentation.
    """

    language: str
    text: str


@dataclass(frozen=True)
class Command:
    """A module that a page runs.

    Attributes:
        module: dotted.
        words: its arguments.
    """

    module: str
    words: tuple[str, ...]

    def __str__(self) -> str:
        return " ".join([self.module, *self.words])


@dataclass(frozen=True)
class Page:
    """A page of Markdown.

    Attributes:
        path: of its file.
    """

    path: Path

    def __str__(self) -> str:
        return self.path.relative_to(ROOT).as_posix()

    @property
    def text(self) -> str:
        """The whole page."""
        return self.path.read_text(encoding="utf-8")

    @property
    def prose(self) -> str:
        """The page without fenced blocks."""
        return FENCED.sub("", self.text)

    @property
    def blocks(self) -> list[Block]:
        """The fenced blocks."""
        found = FENCED.findall(self.text)
        return [Block(language, textwrap.dedent(text)) for _, language, text in found]

    @property
    def code(self) -> list[str]:
        """Inline code, each on one line."""
        spans = []
        for paragraph in self.prose.split("\n\n"):
            assert paragraph.count("`") % 2 == 0, f"{self}: unmatched backtick in {paragraph!r}"
            spans += [" ".join(span.split()) for span in CODE.findall(paragraph)]
        return spans

    @property
    def links(self) -> list[str]:
        """Targets of links and images."""
        return LINK.findall(CODE.sub("", self.prose))

    @property
    def anchors(self) -> set[str]:
        """Anchors of the headings, as GitHub makes them."""
        found: dict[str, int] = {}
        for heading in HEADING.findall(self.prose):
            slug = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
            found[slug] = found.get(slug, -1) + 1
        repeated = {f"{slug}-{n}" for slug, last in found.items() for n in range(1, last + 1)}
        return repeated | found.keys()

    @property
    def shell(self) -> list[str]:
        """Lines that a shell may run: of inline code and of blocks, continued lines joined."""
        joined = (re.sub(r"\\\n\s*", "", block.text) for block in self.blocks)
        return [*self.code, *(line for text in joined for line in text.splitlines())]

    @property
    def commands(self) -> list[Command]:
        """Every `-m MODULE …` of this project."""
        found = (match for line in self.shell if (match := COMMAND.search(line)))
        return [Command(m[1], tuple(shlex.split(m[2], comments=True))) for m in found]

    def column(self, *names: str) -> Iterator[str]:
        """Yield the cells of the columns of tables that have one of these names."""
        place = None
        for line in self.prose.splitlines():
            cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            if not cells:
                place = None
            elif place is None:
                place = next((n for n, cell in enumerate(cells) if cell in names), len(cells))
            elif place < len(cells):
                yield cells[place]


PAGES = [Page(path) for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))]
