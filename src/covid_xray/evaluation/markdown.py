"""Any text in, text that stays text in Markdown out."""

import re


def shown(text: object) -> str:
    """Text that can be written as UTF-8: file names may hold bytes that are no character."""
    return str(text).encode("utf-8", errors="backslashreplace").decode("utf-8")


def markdown(value: object) -> str:
    """One line, its signs of markup escaped."""
    line = " ".join(shown(value).split())
    return re.sub(r"([\\`*_{}\[\]<>#|~!])", r"\\\1", line)
