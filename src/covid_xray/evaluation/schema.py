"""Define the content of metrics.json; a wrong, missing or mistyped key is an error.

`docs/reference/*.schema.json` are made from these models by `scripts/write_schemas.py`.
"""

from covid_xray.evaluation.run_schema import Audit, Run, RunManifest
from covid_xray.evaluation.schema_base import (
    Baselines,
    Counts,
    Facts,
    Figure,
    Figures,
    Model,
    Shares,
    TrainedImages,
    WorstSource,
)


class LabelCount(Facts):
    """Images and patients of one class."""

    images: int
    patients: int | None


class Guessing(Facts):
    """The most frequent class, its share of the images, and a sentence where the accuracy is no better than that."""

    label: str
    rate: float
    better: bool
    says: str


class CalibrationMeasures(Facts):
    """Calibration measures of one set of probabilities."""

    nll: float
    brier: float
    ece: float
    ece_adaptive: float


class Calibration(Facts):
    """The temperature, and the measures without and with it."""

    temperature: float
    before: CalibrationMeasures
    after: CalibrationMeasures


class Coverage(Facts):
    """Coverage and size of prediction sets on some images."""

    images: int
    covered: float
    mean_size: float
    single: float  # share of sets of one class
    band: tuple[float, float]  # where 95 of 100 exchangeable samples lie
    inside: bool


class CoverageRow(Facts):
    """Coverage of one method at one level."""

    method: str
    coverage: float
    overall: Coverage
    by_class: dict[str, Coverage]
    by_source: dict[str, Coverage]


class Conformal(Facts):
    """The prediction sets in use, and the coverage of every method."""

    method: str
    coverage: float
    images: int
    part: str
    rows: list[CoverageRow]


class PredictiveValues(Facts):
    """PPV and NPV at one prevalence."""

    prevalence: float
    ppv: Figure | None
    npv: Figure | None


class SourceRates(Facts):
    """Sensitivity and specificity on one source, where 20 images stand behind them."""

    positives: int
    negatives: int
    sensitivity: Figure | None = None
    specificity: Figure | None = None


class Point(Facts):
    """One operating point on the test images; `chosen` are the rates where it was chosen."""

    threshold: float | None
    target: dict[str, float | str]
    reason: str
    chosen: dict[str, Figure | None]
    called: int | None = None
    sensitivity: Figure | None = None
    specificity: Figure | None = None
    ppv: Figure | None = None
    npv: Figure | None = None
    by_source: dict[str, SourceRates] | None = None
    by_prevalence: list[PredictiveValues] | None = None


class ChosenOn(Facts):
    """The images that the operating points were chosen on."""

    part: str
    images: int
    positives: int
    negatives: int


class OperatingPoints(Facts):
    """The operating points of one class on the test images."""

    images: int
    positives: int
    negatives: int
    chosen_on: ChosenOn
    points: dict[str, Point]


class StatedPopulation(Facts):
    """Metrics in a population with stated class shares."""

    stated: Shares
    calibrated_for: Shares
    tested: Shares
    calibrated_for_means: str
    figures: Figures
    as_they_are: dict[str, float]


class Curve(Facts):
    """Net benefit at each threshold, with pointwise bands."""

    value: list[float]
    ci_low: list[float | None] | None = None
    ci_high: list[float | None] | None = None
    n: int | None = None


class DecisionCurve(Facts):
    """Net benefit of the network and of treating all; `gain` is over the better of all and none."""

    prevalence: float
    thresholds: list[float]
    model: Curve
    treat_all: Curve
    treat_none: float
    gain: Curve
    useful: list[tuple[float, float]]  # thresholds where the whole interval of the gain is above 0
    stated: "DecisionCurve | None" = None


class Confusion(Facts):
    """Counts, true class by predicted class."""

    rows: str
    columns: str
    counts: list[list[int]]


class Group(Facts):
    """The images of one source; without figures below 20 images."""

    n_images: int
    n_patients: int | None
    labels: Counts
    figures: Figures | None
    note: str


class Subgroup(Facts):
    """One group of an attribute; below 20 images only `hidden`."""

    hidden: str | None = None
    n_images: int | None = None
    n_patients: int | None = None
    labels: Counts | None = None
    figures: Figures | None = None


class GapEnd(Facts):
    """The group with the lowest or highest value."""

    group: str
    value: float


class Gap(Figure):
    """The largest difference between two groups of an attribute."""

    figure: str
    lowest: GapEnd
    highest: GapEnd
    figures: dict[str, float]


class Attribute(Facts):
    """The groups of one attribute and their largest gap."""

    title: str
    not_stated: int
    groups: dict[str, Subgroup]
    gap: Gap | None


class Subgroups(Facts):
    """Figures by sex, age, view, source, vendor and image size."""

    smallest: int
    age_bands: list[str]
    attributes: dict[str, Attribute]


class Confounding(Facts):
    """Association of class and source."""

    cramers_v: float | None


class Abstention(Facts):
    """Images that would be answered "cannot say"."""

    withheld: int
    reasons: Counts
    accuracy: Figures
    rates: dict[str, Figures]


class Failure(Facts):
    """An image without a score."""

    image: str
    label: str
    code: str
    message: str


class Settings(Facts):
    """Settings of the bootstrap."""

    rounds: int
    seed: int
    level: float
    ece_bins: int


class Metrics(Facts):
    """The content of metrics.json."""

    title: str
    banner: str | None
    part: str
    model: Model
    classes: list[str]
    n_images: int
    n_patients: int | None
    labels: dict[str, LabelCount]
    trained_sources: list[str]
    figures: Figures
    guessing: Guessing | None = None
    calibration: Calibration
    conformal: Conformal | None
    operating_points: dict[str, OperatingPoints]
    prevalence: StatedPopulation | None
    decision_curve: dict[str, DecisionCurve]
    confusion_matrix: Confusion
    by_source: dict[str, Group]
    worst_source: WorstSource | None
    subgroups: Subgroups
    confounding: Confounding
    cannot_say: int
    abstention: Abstention
    failures: list[Failure]
    quarantined: list[dict[str, str]]
    settings: Settings
    confounded: str
    warnings: list[str]
    baselines: Baselines | None
    trained_images: TrainedImages | None = None
    run: Run | None


SCHEMAS: dict[str, type[Facts]] = {"metrics": Metrics, "audit": Audit, "run": RunManifest}
