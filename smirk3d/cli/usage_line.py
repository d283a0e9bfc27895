"""Wrong usage in one line: what is wrong on the command line, and the remedy.

tyro reports it in a panel of many lines, with the names of Python's types. Its text is all that its stable interface
offers, so the line is read from there.
"""

from __future__ import annotations

import difflib
import io
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress

PROGRAM = "smirk3d"
GROUPS = (("fer", "vae"), ("fer",), ("head",), ("data",))
"""Words that other commands follow, the longest first."""
_TYPES = {"INT": "a whole number", "int": "a whole number", "FLOAT": "a number", "float": "a number", "{None}": ""}
_FRAME = re.compile(r"\x1b\[[0-9;]*m|[╭╮╰╯│]|─{3,}")
_RULE = "─" * 3
_NO_COMMAND = "there is no command"


def wrong_usage(parse: Callable[[], object], arguments: Sequence[str]) -> str | None:
    """Return what is wrong with arguments that tyro refuses.

    Args:
        parse: Parses them, prints a panel and raises `SystemExit`.
        arguments: Arguments of the program.

    Returns:
        A line without the program's name; None for a panel of an unknown kind.
    """
    text = io.StringIO()
    utf8 = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")  # tyro draws frames in the encoding of stdout
    with redirect_stdout(utf8), redirect_stderr(text), _wide_terminal(), suppress(SystemExit):
        parse()
    return usage_line(text.getvalue(), arguments)


@contextmanager
def _wide_terminal() -> Iterator[None]:
    """Let no line be wrapped."""
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = "10000"
    try:
        yield
    finally:
        os.environ.pop("COLUMNS") if before is None else os.environ.update(COLUMNS=before)


def usage_line(panel: str, arguments: Sequence[str]) -> str | None:
    """Return a panel of tyro's as one line, without the program's name; None for one of an unknown kind.

    Args:
        panel: Text of the panel, whose lines are not wrapped.
        arguments: Arguments of the program.
    """
    *_, body = re.split(r"╭.*\n", panel, maxsplit=1)
    sections = [[_FRAME.sub("", line).rstrip() for line in part] for part in _sections(body)]
    text = "\n".join(line.removeprefix(" ") for line in sections[0])
    hints = [line for section in sections[1:] for line in section]
    for pattern, describe in _KINDS:
        if match := re.search(pattern, text, flags=re.DOTALL):
            fault = describe(match, hints)
            known = arguments[: arguments.index(match[1])] if fault.startswith(_NO_COMMAND) else arguments
            return f"{fault}; see {_help_of(known)}"
    return None


def empty_argument(arguments: Sequence[str]) -> str | None:
    """Return a line about an empty argument, as of an unset variable of the shell; None where there is none."""
    if "" not in arguments:
        return None
    place = arguments.index("")
    before = f"after {arguments[place - 1]} " if place else ""
    return f"argument {place + 1} {before}is empty; perhaps a variable of the shell is not set"


def _sections(body: str) -> list[list[str]]:
    """Return the lines between the rules of a panel."""
    sections: list[list[str]] = [[]]
    for line in body.splitlines():
        if _RULE in line:
            sections.append([])
        else:
            sections[-1].append(line)
    return sections


def _help_of(arguments: Sequence[str]) -> str:
    """Return the command that prints the help of the subcommand that the arguments name."""
    group = next((words for words in GROUPS if tuple(arguments[: len(words)]) == words), ())
    words = [word for word in arguments[: len(group) + 1] if re.fullmatch("[a-z]+", word)]
    return " ".join([PROGRAM, *words, "--help"])


def _alternatives(names: Iterable[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} or {last}" if first else last


def _type_name(union: str) -> str:
    """Return a union of tyro's, such as `{auto,orthographic}|FLOAT`, in words."""
    names: list[str] = []
    for part in union.split("|"):
        names += part[1:-1].split(",") if part.startswith("{") and part not in _TYPES else [_TYPES.get(part, part)]
    return _alternatives(name for name in names if name)


def _nearest(word: str, names: Iterable[str]) -> str:
    """Return a question about the nearest name in parentheses, or nothing."""
    near = difflib.get_close_matches(word, list(names), 1)
    return f" (did you mean {near[0]}?)" if near else ""


def _wrong_type(match: re.Match[str], hints: list[str]) -> str:
    return f"{match[1]} {match[3]}: must be {_type_name(match[2])}"


def _wrong_choice(match: re.Match[str], hints: list[str]) -> str:
    choices = re.findall(r"'([^']*)'", match[3])
    return f"{match[2]} {match[1]}: must be {_alternatives(choices)}"


def _missing_options(match: re.Match[str], hints: list[str]) -> str:
    names = [line.strip() for line in match[1].splitlines() if re.match(r" {4}\S", line)]
    return f"{' and '.join(names)} {'is' if len(names) == 1 else 'are'} missing"


def _unrecognized(match: re.Match[str], hints: list[str]) -> str:
    word, text = match[1], "\n".join(hints)
    if word.startswith("-") and os.path.lexists(word):
        return f"{word}: is no option but a file; write ./{word}"
    if word.startswith("-"):
        options = re.findall("--[a-z-]+", text)
        return f"there is no option {word}{' here' if word in options else _nearest(word, options)}"
    if commands := re.search(r"Available subcommands: (.*)", text):
        names = commands[1].strip().split(", ")
        return f"{_NO_COMMAND} {word}{_nearest(word, names) or f'; name {_alternatives(names)}'}"
    return f"{word}: is one argument too many"


_KINDS: tuple[tuple[str, Callable[[re.Match[str], list[str]], str]], ...] = (
    (r"Error parsing (\S+): no type matching (\S+) could be instantiated from \['(.*?)'\]", _wrong_type),
    (r"Error parsing (\S+): invalid literal for (int)\(\) with base 10: '(.*?)'", _wrong_type),
    (r"Error parsing (\S+): could not convert string to (float): '(.*?)'", _wrong_type),
    (r"Error parsing (\S+: .*)", lambda match, _: " ".join(match[1].split())),
    (r"invalid choice '(.*?)' for argument '(.*?)'. Expected one of \((.*?)\)", _wrong_choice),
    (r"Missing value for argument '(.*?)'", lambda match, _: f"{match[1]}: its value is missing"),
    (r"Missing from .*?:\n(.*)", _missing_options),
    (r"Expected one of \{(.*?)\}", lambda match, _: f"name a command: {_alternatives(match[1].split(', '))}"),
    (r"Unrecognized (?:or misplaced )?options:\s+(.*?)(?:, | \(applied to|\n|$)", _unrecognized),
)
"""Kinds of panels by a pattern of their text, and what describes them from its match and the other sections."""
