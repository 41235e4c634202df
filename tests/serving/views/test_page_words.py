"""The scripts ask for no message that the page does not carry, and the page carries none in vain."""

import re

from covid_xray.serving.views.page_words import WORDS
from support.pages import STATIC


def test_scripts_and_page_know_the_same_messages() -> None:
    scripts = "".join(path.read_text(encoding="utf-8") for path in sorted(STATIC.glob("*.js")))
    asked = set(re.findall(r'word\("([a-z-]+)"', scripts)) | {"millimetres", "pixels"}
    assert asked == set(WORDS)
