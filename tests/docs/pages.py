"""The code blocks of README, CONTRIBUTING and docs/, and what the comments above them say to the tests.

<!-- test: trainer.max_steps=2 toy_rows=400 -->   run with these overrides added to every arena.train
<!-- test: exit=65 -->                            the last command of the block ends with this code
<!-- test: compose -->                            only checked: needs a GPU, a hub model or a data set of one's own
<!-- test: python -->                             Python that is run, in the folder of its page
<!-- test: skip REASON -->                        neither: make, pip and docker, which CI runs by itself
<!-- file: mine.py -->                            the block is the text of this file
"""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
ARENA = re.compile(r"(?:^|\s)(?:python -m arena\.|arena )(\w+)(?=\s|$)")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page: its language, its text, and the comment above it."""

    page: Path
    language: str
    text: str
    kind: str
    said: str

    @property
    def name(self) -> str:
        """Page and first line, for messages."""
        return f"{self.page.relative_to(ROOT)}: {self.text.splitlines()[0]}"

    @property
    def mode(self) -> str:
        """`run`, `compose`, `python` or `skip`."""
        word = self.said.partition(" ")[0]
        return word if word in ("compose", "python", "skip") else "run"

    @property
    def commands(self) -> list[str]:
        """The lines of a shell block, comments at their ends taken away, continued lines joined."""
        if self.language not in ("sh", "bash"):
            return []
        lines = self.text.replace("\\\n", " ").splitlines()
        return [bare for line in lines if (bare := re.sub(r"(^|\s+)#\s.*", "", line).strip())]

    @property
    def overrides(self) -> list[str]:
        """What is added to every training."""
        return [word for word in self.said.split() if "=" in word and not word.startswith("exit=")]

    @property
    def code(self) -> int:
        """The exit code of the last command."""
        found = re.search(r"\bexit=(\d+)", self.said)
        return int(found[1]) if found else 0


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    found: list[Block] = []
    comment = ("", "")
    lines = iter(page.read_text().splitlines())
    for line in lines:
        if match := re.fullmatch(r"<!-- (test|file): (.*) -->", line.strip()):
            comment = match[1], match[2]
        elif line.startswith("```"):
            text = []
            for inside in lines:
                if inside.startswith("```"):
                    break
                text.append(inside)
            found.append(Block(page, line.removeprefix("```").strip(), "\n".join(text), *comment))
            comment = ("", "")
        elif line.strip():
            comment = ("", "")
    return found


def all_blocks() -> list[Block]:
    """The blocks of all pages."""
    return [block for page in PAGES if page.exists() for block in blocks(page)]


def arena_commands() -> list[tuple[str, str]]:
    """Command and line of everything that the pages type, but for what is skipped or shows a refused one."""
    lines = [line for block in all_blocks() if block.mode != "skip" and block.code != 2 for line in block.commands]
    return [(found[1], line) for line in lines if (found := ARENA.search(line))]


def arguments(line: str) -> list[str]:
    """The words behind the command."""
    start = ARENA.search(line)
    assert start, line
    return shlex.split(line[start.end() :], comments=True)


def words(line: str) -> list[str]:
    """The `key=value` words behind the command."""
    return [word for word in arguments(line) if "=" in word]
