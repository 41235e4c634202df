"""What findings say in English is known to the catalogues, sentence by sentence."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import covid_xray
from covid_xray.inference.finding import SiteCheck
from covid_xray.inference.lung_facts import NOT_FOUND
from covid_xray.inference.prediction_sets import undecided
from covid_xray.inference.site.close_call import close_calls
from covid_xray.inference.site.decision import site_reasons
from covid_xray.inference.two_step import LUNGS_NOT_FOUND, two_step_reasons
from covid_xray.serving.views import phrases
from covid_xray.serving.views.phrases import display_name, opacity_words, site_words, words
from support.contents import contents

SITE = SiteCheck("St. Elsewhere", "not-fit", "d" * 64)

ERRORS = ("InputRefused", "NotFound", "NotAllowed", "NotLoggedIn", "TooOften")


def is_known(text: str) -> bool:
    return text in phrases._FIXED or any(pattern.fullmatch(text) for pattern, _ in phrases._PATTERNS)


@pytest.mark.parametrize(
    "text",
    [
        *undecided(("covid", "virus"), finite=True),
        *undecided(None, finite=False),
        *close_calls("covid", kept=[], points={"covid": {"rule-in": False}}),
        *close_calls("normal", kept=["normal"], points={"covid": {"rule-out": True}}),
        *site_reasons(SITE, required=False),
        *site_reasons(None, required=True),
        *site_reasons(SiteCheck("St. Elsewhere", "fit", "d" * 64, "2026-01-01"), required=True),
        *two_step_reasons({"covid": 0.9, "normal": 0.1}, 0.0, contents(well="normal"), lungs=None),
        LUNGS_NOT_FOUND,
        NOT_FOUND,
    ],
)
def test_every_reason_is_known(text: str) -> None:
    assert is_known(text), text


def test_every_sentence_of_the_checks_is_known() -> None:
    source = (Path(covid_xray.__file__).parent / "inference" / "gate.py").read_text(encoding="utf-8")
    found = re.findall(r'"((?:looks|does not look|unlike|has an odd)[^"{]*)"', source)
    assert len(found) >= 6
    assert not [text for text in found if not is_known(text)]
    assert is_known("the file says that it is CT, not a plain radiograph")
    assert is_known("the file says that the view is LL, not frontal (PA or AP)")
    assert is_known("has an odd shape for a chest X-ray: much too wide")
    assert is_known("looks turned by 90 degrees")


def test_refusals_that_pages_show_are_known() -> None:
    """Every sentence with which accounts, log-in and store refuse something, whatever its parts are."""
    folder = Path(covid_xray.__file__).parent
    files = ("store/accounts.py", "store/passwords.py", "store/lockouts.py", "store/trash.py", "store/refusals.py")
    files += ("serving/http/login.py", "serving/pages/user_pages.py", "serving/pages/pages.py", "serving/rates.py")
    raised = [text for file in files for text in _raised((folder / file).read_text(encoding="utf-8"))]
    assert len(raised) > 15
    assert not [text for text in raised if not is_known(text)]


def _raised(source: str) -> Iterator[str]:
    """Yield the messages of the errors that a module makes; a part that changes becomes 7."""
    names = {}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            names[node.targets[0].id] = node.value
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ERRORS and node.args:
            text = names.get(node.args[0].id) if isinstance(node.args[0], ast.Name) else node.args[0]
            parts = text.values if isinstance(text, ast.JoinedStr) else [text]
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "7" for part in parts)


def test_classes_in_a_reason_have_the_names_that_readers_know() -> None:
    [text] = undecided(("covid", "virus", "normal"), finite=True)
    assert words(text) == "the probabilities do not tell these apart: COVID-19, Viral pneumonia and Normal"
    assert words("something new") == "something new"
    assert display_name("pneumothorax") == "pneumothorax"


def test_site_and_opacity() -> None:
    assert site_words(None) == "not checked at this hospital"
    ended = SITE.as_dict() | {"ended": "2026-01-01"}
    assert site_words(ended) == "checked at St. Elsewhere: not fit; that check ended on 2026-01-01"
    assert opacity_words(0.01).startswith("under 5 % of the lungs")
    assert opacity_words(0.31).startswith("about 30 % of the lungs")
    assert opacity_words(None) == ""
