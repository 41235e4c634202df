"""bundle.json is read into types: a wrong value is named, and the shipped bundle has no key that is not defined."""

import dataclasses
import json
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import pytest
from pydantic import TypeAdapter

from covid_xray.bundle.bundle import DEFAULT, load_bundle
from covid_xray.bundle.contents import Contents, Figure, read_as, read_contents
from covid_xray.errors import BadBundle
from support.contents import SMALL, contents

REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "bundle.schema.json"


def unknown_keys(kind: Any, value: Any, place: str = "") -> list[str]:
    """List the keys of a JSON value that its type does not define."""
    if get_origin(kind) in (dict, tuple):
        values: Any = value.items() if isinstance(value, dict) else enumerate(value)
        return [found for key, item in values for found in unknown_keys(get_args(kind)[-1], item, f"{place}.{key}")]
    if get_args(kind):  # a union
        return [found for one in get_args(kind) if value is not None for found in unknown_keys(one, value, place)]
    if not dataclasses.is_dataclass(kind) or not isinstance(value, dict):
        return []
    hints = get_type_hints(kind)
    found = [f"{place}.{key}" for key in value if key not in hints]
    return found + [
        it for key in value if key in hints for it in unknown_keys(hints[key], value[key], f"{place}.{key}")
    ]


def test_the_shipped_bundle_holds_nothing_that_is_not_defined() -> None:
    facts = json.loads((DEFAULT / "bundle.json").read_text(encoding="utf-8"))
    assert unknown_keys(Contents, facts) == []
    assert unknown_keys(Contents, {**facts, "conformal": {"news": 1}}) == [".conformal.news"]
    TypeAdapter(Contents).validate_python(facts)


def test_a_loaded_bundle_gives_typed_facts() -> None:
    bundle = load_bundle()
    point = bundle.contents.operating_points["covid"].points["rule-out"]
    assert point.threshold == bundle.facts["operating_points"]["covid"]["points"]["rule-out"]["threshold"]
    assert point.sensitivity.n > 0
    assert 0 < bundle.contents.conformal.quantile < 1
    assert bundle.contents.input.crop == bundle.crop


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": True}, "temperature"),
        ({"input": {"height": 8.5, "width": 8, "pixels_version": 1}}, "input.height"),
        ({"input": {**SMALL["input"], "crop": "heart"}}, "input.crop"),
        ({"classes": {"covid": 1}}, "classes"),
        ({"conformal": {"method": "lac", "coverage": 0.9, "quantiles": {"lac": {"0.9": "x"}}}}, "quantiles.lac.0.9"),
        ({"operating_points": {"covid": {"points": {}}}}, "operating_points.covid"),
        ({"model": None}, "model"),
    ],
)
def test_a_wrong_value_is_refused_by_its_place(change: dict[str, Any], place: str) -> None:
    with pytest.raises(BadBundle, match=place) as caught:
        contents(**change)
    assert caught.value.code == "format"


def test_what_is_absent_has_its_default_and_news_are_ignored() -> None:
    found = read_contents({**SMALL, "temperature": 1, "news": 1, "conformal": None})
    assert (found.temperature, found.conformal, found.unanswered) == (1.0, None, ())
    figure = {"value": 1, "ci_low": None, "ci_high": 0.5, "n": 3}
    assert read_as(Figure, figure, "figure") == Figure(1.0, None, 0.5, 3)


def test_the_published_schema_is_that_of_the_types() -> None:
    assert json.loads(REFERENCE.read_text(encoding="utf-8")) == TypeAdapter(Contents).json_schema()
