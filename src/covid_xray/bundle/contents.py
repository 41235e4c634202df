"""Define the content of `bundle.json` as types, and read it into them.

Plain dataclasses, because `covid-xray predict` starts without pydantic. A key that is not defined here is ignored when
a bundle is read. `docs/reference/bundle.schema.json` is made from `Contents` by `scripts/write_schemas.py`.
"""

import dataclasses
from collections.abc import Mapping
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from covid_xray.errors import BadBundle

Counts = dict[str, int]


@dataclasses.dataclass(frozen=True)
class Figure:
    """A value (`None` where undefined) with its 95 % interval and the number of resampled units.

    Bundles of earlier versions may leave out the interval and `n`, which is 0 then.
    """

    value: float | None
    ci_low: float | None = None
    ci_high: float | None = None
    n: int = 0
    unit: Literal["patients", "images"] | None = None
    method: Literal["bootstrap", "exact", "ends"] | None = None


@dataclasses.dataclass(frozen=True)
class Input:
    """The network's input: grey, `height` x `width`; `crop` says what is cut out of the radiograph before."""

    height: int
    width: int
    pixels_version: int
    crop: Literal["none", "lungs", "lungs-only"] = "none"
    resize: str = ""
    channels: int = 1
    range: tuple[int, ...] = (0, 255)


@dataclasses.dataclass(frozen=True)
class NetworkFile:
    """An ONNX file of the bundle."""

    sha256: str
    file: str = ""
    bytes: int = 0
    reference: dict[str, object] | None = None  # of `model_int8.onnx`: its own answers to the reference images


@dataclasses.dataclass(frozen=True)
class Point:
    """One operating point as it was chosen; without a threshold `reason` says why."""

    threshold: float | None
    target: dict[str, float | str] = dataclasses.field(default_factory=dict)
    basis: str = ""
    reason: str = ""
    all_images: dict[str, float] | None = None
    sources: dict[str, dict[str, float | None]] = dataclasses.field(default_factory=dict)
    sensitivity: Figure | None = None
    specificity: Figure | None = None


@dataclasses.dataclass(frozen=True)
class OperatingPoints:
    """The operating points of one class, chosen on the network with this SHA-256."""

    sha256: str
    points: dict[str, Point]
    temperature: float = 1.0
    part: str = ""
    images: int = 0
    positives: int = 0
    negatives: int = 0
    patients: int | None = None


@dataclasses.dataclass(frozen=True)
class Conformal:
    """Quantiles of the prediction sets: method to coverage to quantile, and the pair that is in use."""

    method: str
    coverage: float
    quantiles: dict[str, dict[str, float]]
    images: int = 0
    part: str = ""

    @property
    def quantile(self) -> float:
        """The quantile in use."""
        return self.quantiles[self.method][f"{self.coverage:g}"]


@dataclasses.dataclass(frozen=True)
class Calibration:
    """How the temperature was fitted; measures (nll, brier, ece ...) before and after."""

    labels: Counts = dataclasses.field(default_factory=dict)
    part: str = ""
    images: int = 0
    failed: int = 0
    temperature: float = 1.0
    before: dict[str, float] = dataclasses.field(default_factory=dict)
    after: dict[str, float] = dataclasses.field(default_factory=dict)
    note: str = ""


@dataclasses.dataclass(frozen=True)
class TrainingData:
    """The images trained on: fingerprint, images by part and class, and of the training part by source and licence."""

    fingerprint: str = ""
    images: dict[str, Counts] = dataclasses.field(default_factory=dict)
    source: Counts = dataclasses.field(default_factory=dict)
    license: Counts = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class ClinicalField:
    """One field of the clinical input; `used` says whether it can change an answer, `reason` why not."""

    name: str
    used: bool
    reason: str
    unit: str = ""
    low: float = 0.0
    high: float = 0.0
    title: str = ""
    patients: Counts = dataclasses.field(default_factory=dict)
    classes: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class FusionFacts:
    """The network that joins clinical values; trained on the network with `model_sha256`."""

    version: int
    model_sha256: str
    fields: tuple[ClinicalField, ...]
    sha256: str = ""
    file: str = ""
    bytes: int = 0
    temperature: float = 1.0
    conformal: Conformal | None = None
    parity: dict[str, float] = dataclasses.field(default_factory=dict)
    recipe: dict[str, object] = dataclasses.field(default_factory=dict)
    trained_on: dict[str, object] = dataclasses.field(default_factory=dict)
    worth: dict[str, object] | None = None


@dataclasses.dataclass(frozen=True)
class LungFacts:
    """The lung network: its input size, the margin of the crop, and how it was made and tested."""

    sha256: str
    image_size: int
    margin: float
    version: int
    file: str = ""
    bytes: int = 0
    settings: dict[str, object] = dataclasses.field(default_factory=dict)
    images: Counts = dataclasses.field(default_factory=dict)
    training_data: TrainingData = TrainingData()
    test: dict[str, float] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Contents:
    """The content of `bundle.json`; optional parts are `None` where the bundle does not have them."""

    name: str
    version: str
    classes: tuple[str, ...]
    input: Input
    outputs: tuple[str, ...]
    model: NetworkFile
    temperature: float
    format: int = 1
    checksum: str = ""
    int8: NetworkFile | None = None
    lungs: LungFacts | None = None
    fusion: FusionFacts | None = None
    operating_points: dict[str, OperatingPoints] | None = None
    conformal: Conformal | None = None
    calibration: Calibration | None = None
    gate: dict[str, object] | None = None  # packed statistics of `inference.gate`
    reference: dict[str, object] | None = None  # answers to the drawn images of `covid-xray selftest`
    training_data: TrainingData | None = None
    training: dict[str, object] | None = None  # settings and best epoch of the run
    metrics: dict[str, object] | None = None  # of the test part: figures, and what they were measured on
    parity: dict[str, float] = dataclasses.field(default_factory=dict)
    storage: dict[str, object] | None = None
    site: dict[str, object] | None = None  # what `covid-xray commission` compares a hospital with
    well: str | None = None  # the healthy class of a network that answers in two steps
    trained: dict[str, object] | None = None  # identity of `trained.bin`, and number of images in it by part
    unanswered: tuple[str, ...] = ()  # classes that it was trained on and does not answer
    tta: int = 1  # copies of every input that it was calibrated with, and answers with
    least_known: float | None = None  # share of P(ill) that must be an illness which is answered


def read_contents(facts: Mapping[str, object]) -> Contents:
    """Read the content of `bundle.json`. Raises `BadBundle` (code `format`) that names the place of a wrong value."""
    found = read_as(Contents, facts, "bundle.json")
    assert isinstance(found, Contents)
    return found


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def read_as(kind: Any, value: Any, place: str) -> Any:
    """Read a JSON value as `kind`: a dataclass, a union, a mapping, a tuple, a literal or a plain type."""
    options = [one for one in get_args(kind) if one is not NoneType]
    origin, found = get_origin(kind), None
    if kind is object:
        return value
    if origin in (Union, UnionType):
        kinds = [one for one in options if one is str or not isinstance(value, str)] or options
        return None if value is None and NoneType in get_args(kind) else read_as(kinds[0], value, place)
    if dataclasses.is_dataclass(kind) and isinstance(value, Mapping):
        found = _read_fields(kind, value, place)
    elif origin is dict and isinstance(value, Mapping):
        found = {str(key): read_as(options[-1], item, f"{place}.{key}") for key, item in value.items()}
    elif origin is tuple and isinstance(value, list | tuple):
        found = tuple(read_as(options[0], item, f"{place}.{number}") for number, item in enumerate(value))
    elif (origin is Literal and value in options) or (origin is None and _is_a(kind, value)):
        found = float(value) if kind is float else value
    if found is None:
        problem = f"Invalid value of {place}: {value!r:.80}. Make the bundle anew with this version."
        raise BadBundle(problem, code="format")
    return found


def _is_a(kind: type, value: object) -> bool:
    """Say whether a JSON value has a plain type; true is no number, and a whole number may stand for a float."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    return whole if kind is int else isinstance(value, kind) or (kind is float and whole)


def _read_fields(kind: Any, value: Mapping[str, Any], place: str) -> Any:
    hints, found = _hints(kind), {}
    for field in dataclasses.fields(kind):
        if field.name in value:
            found[field.name] = read_as(hints[field.name], value[field.name], f"{place}.{field.name}")
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise BadBundle(f"No {field.name} in {place}. Make the bundle anew with this version.", code="format")
    return kind(**found)
