"""Hold docstrings, messages and names to plain technical English (docs: STYLE.md, HOUSE.md)."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "src" / "covid_xray"
ROOMS = sorted(path.name for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file())
IN_AND_OUT = re.compile(r"\bin\b[,;] .*\bout\b|\b(comes in|goes out)\b", re.IGNORECASE | re.DOTALL)
BANNED = {  # words and openings: what to write instead
    r"^(who|whoever|nobody|somebody|whatever)\b": "the subject's name, such as a caller or a user",
    r"\bwho (asks|knows|sees|sends|looks)\b": "the caller, the reader",
    r"(?<!\^)(?<!treating )\b(nobody|somebody|whoever)\b": "the subject's name, or the passive",
    r"^what .{1,60}\b(may|can|must|wants?|says?)\b": "a noun: inputs, limits, contents",
    r"\b(is|are|was|were|be|as|cannot be) told\b": "stated, known, predicted, described",
    r"\btells? (apart|the class)\b": "distinguishes, predicts the class",
    r"\bdrawn over (films|images|patients)\b": "resampled",
    r"\ball the same\b": "still, anyway",
    r"(?<!there )\b(is|are) none\b": "no, not a",
    r"\blies? (on|in) two (sides|places)\b|\bon two sides\b": "in two parts",
    r"\bhands? (it|them|over)\b": "passes",
    r"\bmay cost\b": "limits",
    r"\bturned away\b|\bsent away\b": "refused",
}
VAGUE = {"told", "taken", "stated", "wanted", "moved", "seen", "of", "draw", "judged", "shown", "asked"}
ALLOWED_NAMES = {  # names that users have, or that are the plain verb
    "draw": "it draws a phantom, or patients for a bootstrap",
    "shown": "clinical, files and doctor_page: renamed with the rooms that import them",
}


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def modules(*rooms: str) -> list[Path]:
    found = [PACKAGE / room for room in rooms]
    return sorted(file for path in found for file in ([path] if path.suffix else path.rglob("*.py")))


def docstrings(path: Path) -> Iterator[str]:
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield ast.get_docstring(node) or ""


def strings(path: Path) -> Iterator[str]:
    """Every literal and f-string, its values as {}."""
    inside: set[int] = set()
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.JoinedStr):
            inside |= {id(part) for part in node.values}
            yield "".join(part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside:
            yield node.value


def comments(path: Path) -> Iterator[str]:
    for token in tokenize.generate_tokens(io.StringIO(path.read_text(encoding="utf-8")).readline):
        if token.type == tokenize.COMMENT:
            yield token.string.lstrip("# ")


def functions(path: Path) -> Iterator[str]:
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name
        if isinstance(node, ast.ClassDef):
            methods = [part.name for part in node.body if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef)]
            yield from (f"{node.name}.{name}" for name in methods)


@pytest.mark.parametrize("room", ROOMS)
def test_errors_lead_with_the_problem(room: str) -> None:
    """No message of the form "expected X. Received: Y", which makes the reader look for the problem."""
    assert not [text for path in modules(room) for text in strings(path) if "Received:" in text]


@pytest.mark.parametrize("room", ROOMS)
def test_docstrings_say_what_a_thing_does(room: str) -> None:
    found = [text.splitlines()[0] for path in modules(room) for text in docstrings(path) if IN_AND_OUT.search(text)]
    assert not found


@pytest.mark.parametrize("room", ROOMS)
def test_sentences_are_plain(room: str) -> None:
    found = []
    for path in modules(room):
        for text in (*strings(path), *comments(path)):
            for pattern, instead in BANNED.items():
                if " " in text and re.search(pattern, text, re.IGNORECASE):
                    found.append(f"{path.relative_to(PACKAGE)}: {text[:150]!r}: write {instead}")
    assert not found


@pytest.mark.parametrize("room", ROOMS)
def test_functions_are_named_for_what_they_do(room: str) -> None:
    vague = {name for path in modules(room) for name in functions(path) if name.split(".")[-1].lstrip("_") in VAGUE}
    assert not {name for name in vague if name.split(".")[-1] not in ALLOWED_NAMES}


def test_the_rules_find_what_they_forbid() -> None:
    """A pattern that matches nothing would hold nothing."""
    examples = (
        *("Who sends too slowly is sent away", "Nobody known asks.", "What the checks may look at."),
        *(
            "the class is told",
            "drawn over films",
            "they compare all the same",
            "a vessel that is none",
            "What a file may cost.",
        ),
    )
    for example in examples:
        assert any(re.search(pattern, example, re.IGNORECASE) for pattern in BANNED), example
    assert IN_AND_OUT.search("Bundle in, finding out.")
    assert IN_AND_OUT.search("A partition in, its answers out.")
    assert not IN_AND_OUT.search("Classify one image.")
