"""Bring the catalogues of the pages up to date with their messages: python scripts/write_catalogues.py

New messages are added without a translation, old ones are dropped; a test refuses both until they are translated.
"""

import io
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract
from babel.messages.pofile import read_po, write_po
from jinja2.ext import babel_extract

ROOT = Path(__file__).parents[1]
SERVING = ROOT / "src" / "covid_xray" / "serving"
LOCALES = SERVING / "locales"
WRITTEN = datetime(2026, 11, 30, tzinfo=UTC)  # a fixed date: the same messages give the same file


def messages() -> dict[str, list[str]]:
    """Return the messages of templates and modules, each with the files that show it."""
    found: dict[str, list[str]] = {}
    for path in sorted([*SERVING.rglob("*.html"), *SERVING.rglob("*.py")]):
        for message in _messages_of(path):
            found.setdefault(message, []).append(path.name)
    return found


def _messages_of(path: Path) -> Iterator[str]:
    with path.open("rb") as source:
        if path.suffix == ".html":
            for _, _, message, _ in babel_extract(source, ["_"], [], {}):
                yield from [message] if isinstance(message, str) else [text for text in message or () if text]
        else:
            text = io.BytesIO(b"\n".join(line.replace(b'f"', b'"') for line in source.read().split(b"\n")))
            for _, message, _, _ in extract("python", text, keywords={"gettext": None, "mark": None}):
                yield str(message)


def main() -> int:
    known, missing = messages(), 0
    for path in sorted(LOCALES.glob("*/LC_MESSAGES/messages.po")):
        with path.open("rb") as source:
            old = read_po(source)
        new = Catalog(locale=path.parts[-3], project="covid-xray", charset="utf-8", creation_date=WRITTEN)
        new.header_comment, new.revision_date = old.header_comment, WRITTEN
        new.last_translator, new.language_team = old.last_translator, old.language_team
        for message, files in known.items():
            entry = old.get(message)
            text = entry.string if entry else ""
            missing += not text
            new.add(message, text, locations=[(name, None) for name in sorted(set(files))])
        with path.open("wb") as target:
            write_po(target, new, width=120)
    print(f"{len(known)} messages, {missing} without a translation")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
