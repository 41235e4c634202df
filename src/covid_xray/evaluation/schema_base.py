"""Define what all facts share: no unknown key, and a figure that always carries its interval and n."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from covid_xray.errors import CovidXrayError

Counts = dict[str, int]
Shares = dict[str, float]


class Facts(BaseModel):
    """Facts that accept no unknown key and never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Figure(Facts):
    """A value with its 95 % interval; the ends are null where too few rounds define it."""

    value: float
    ci_low: float | None
    ci_high: float | None
    n: int  # resampled units
    unit: Literal["patients", "images"] | None = None
    method: Literal["bootstrap", "exact", "ends"] | None = None


Figures = dict[str, Figure]


class Model(Facts):
    """The network that was evaluated."""

    name: str
    version: str
    sha256: str


class WorstSource(Figure):
    """The source with the lowest figure, and the mean over the sources."""

    name: str
    figure: str
    mean: float
    groups: int


class TrainedImages(Facts):
    """Images that made the network, recognised by content among those to be scored; counts by part."""

    listed: Counts | None  # images that the bundle lists; null where it has no list, so that nothing can be recognised
    recognised: Counts
    by: Counts  # file, pixels, near (resized or saved again), or name (by split.csv alone)
    kept: Counts  # of the recognised ones those that are still in the figures


class Baseline(Facts):
    """A plain model, mostly without lungs."""

    name: str
    sees: str
    without_lungs: bool
    figures: Figures


class Baselines(Facts):
    """The content of baselines.json; `best` is the best model without lungs."""

    rows: list[Baseline]
    best: Baseline
    images: int
    fingerprint: str


def require_schema(facts: Mapping[str, Any], model: type[Facts]) -> dict[str, Any]:
    """Return the facts unchanged; raise `CovidXrayError` (code `wrong-facts`) where they do not fit the model."""
    try:
        model.model_validate(facts)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise CovidXrayError(
            f"Wrong facts for {model.__name__.lower()}.json: {place}: {first['msg']}. This is a fault of covid-xray; "
            "please report it.",
            code="wrong-facts",
        ) from None
    return dict(facts)
