"""The fenced blocks of a Markdown page, and the `ehr` commands in them.

A block marked `bash` is run by a test. One marked `console` is not; an HTML comment `<!-- not run: why -->` before it
says why.
"""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

_BLOCK = re.compile(r"(?:^<!-- not run: (?P<reason>[^\n]+) -->\n)?^```(?P<kind>\w*)\n(?P<text>.*?)^```$", re.M | re.S)


@dataclass(frozen=True)
class Block:
    """A fenced block: its marker, its text, the line of the page that it begins in, why it is not run."""

    kind: str
    text: str
    line: int
    reason: str | None


def blocks(page: Path) -> list[Block]:
    """All fenced blocks of a page, in order."""
    text = page.read_text()
    return [
        Block(found["kind"], found["text"], text.count("\n", 0, found.start("text")), found["reason"])
        for found in _BLOCK.finditer(text)
    ]


def ehr_commands(script: str) -> list[list[str]]:
    """The words after `ehr` of each such command in a script, also in pipes and substitutions; no comments."""
    commands: list[list[str]] = []
    for statement in _statements(script):
        words: list[str] | None = []  # those of the command so far; None once it is one of ehr
        for word in _words(statement):
            if re.fullmatch(r"[();|&<>]+", word):
                words = []
            elif words is None:
                commands[-1].append(word)
            elif Path(word).name == "ehr" and all("=" in before for before in words):
                words = None
                commands.append([])
            else:
                words.append(word)
    return commands


def _statements(script: str) -> list[str]:
    """Lines, joined where a quotation, a pipe or a backslash goes on in the next one."""
    statements, waiting = [], ""
    for line in script.splitlines():
        waiting += line.removesuffix("\\") + "\n"
        try:
            shlex.split(waiting, comments=True)
        except ValueError:  # a quotation is open
            continue
        if not line.rstrip().endswith(("\\", "|")):
            statements.append(waiting)
            waiting = ""
    return [*statements, waiting] if waiting.strip() else statements


def _words(statement: str) -> list[str]:
    lexer = shlex.shlex(statement, posix=True, punctuation_chars="();|&<>")
    lexer.whitespace_split, lexer.commenters = True, "#"
    return list(lexer)
