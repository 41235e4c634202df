"""Define the content of audit.json and the other facts of a run folder."""

from typing import Literal

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

AUDIT_FORMAT = 1


class LeftOut(Facts):
    """Images that are in no figure of the audit."""

    images: int
    labels: Counts
    reasons: Counts


class Dice(Facts):
    """Agreement with mask files."""

    median: float
    lowest: float
    images: int


class Masks(Facts):
    """The lung masks of the audit; `area` is their share of the input."""

    kind: Literal["files", "network", "box"]
    says: str
    images: int
    area: float
    dice_with_files: Dice | None


class Survival(Figure):
    """Share of the score above chance that survives, and the intervention it comes from."""

    condition: str


class Verdict(Facts):
    """The verdict of the audit; `needs_lungs` is the largest share of the score that can depend on the lungs."""

    kind: Literal["chance", "shortcut", "either", "lungs", "neither"]
    certain: bool  # no interval includes one half
    line: str
    means: str
    scores: dict[str, dict[str, Survival]]
    only: Survival | None = None
    without: Survival | None = None
    needs_lungs: float | None = None


class SourceAccuracy(Facts):
    """Accuracy on one source; null where too few."""

    n_images: int
    accuracy: Figure | None


class Condition(Facts):
    """The scores under one intervention; `answers` are the shares of predicted classes."""

    name: str
    shows: str
    lungs: Literal["seen", "only", "hidden", "outline", "edge"]
    figures: Figures
    retained: dict[str, Survival]
    answers: Shares
    by_source: dict[str, SourceAccuracy]
    worst_source: WorstSource | None


class ProbedClass(Facts):
    """How well the source is predicted within one class."""

    sources: Counts
    images: int
    chance: float
    balanced_accuracy: Figure


class SourceProbe(Facts):
    """The source predicted from the embedding; classes that could not be measured, with the reason."""

    classes: dict[str, ProbedClass]
    skipped: dict[str, str]


class LeftOutSource(Facts):
    """Accuracy on a source left out of training."""

    source: str
    images: int
    accuracy: Figure | None


class SourcesLeftOut(Facts):
    """The content of crossval.json with each source left out in turn."""

    images: int
    figures: Figures
    rows: list[LeftOutSource]


class Agreement(Facts):
    """Similarity of heat maps."""

    spearman: Figure
    ssim: Figure


class Step(Agreement):
    """Similarity to the trained network's map once this and all later layers are random."""

    layer: str


class Cascade(Facts):
    """The cascading randomisation; `unrelated` compares two different images."""

    steps: list[Step]
    unrelated: Agreement
    changes: bool
    line: str


class MapMethod(Facts):
    """One kind of heat map; gains are over a random map."""

    name: str
    shows: str
    lung_share: Figure
    lung_ratio: Figure
    insertion: Figure
    deletion: Figure
    insertion_gain: Figure
    deletion_gain: Figure
    curves: dict[str, list[float]]


class Seeds(Agreement):
    """Agreement of several networks."""

    networks: int


class Heatmaps(Facts):
    """The tests of the heat maps."""

    images: int
    without_evidence: int
    cascade: Cascade
    methods: list[MapMethod]
    faithful: str
    seeds: Seeds | None


class AuditSettings(Facts):
    """Settings of the audit."""

    rounds: int
    seed: int
    level: float
    images: int
    heatmaps: int


class Audit(Facts):
    """The content of audit.json."""

    format: Literal[1]
    covid_xray: str
    model: Model
    part: str
    classes: list[str]
    images: int
    patients: int | None
    labels: Counts
    chance: dict[str, float]
    sampled_from: int
    left_out: LeftOut
    masks: Masks
    verdict: Verdict
    conditions: list[Condition]
    source_from_embedding: SourceProbe
    baselines: Baselines | None
    sources_left_out: SourcesLeftOut | None
    heatmaps: Heatmaps | None
    settings: AuditSettings
    trained_images: TrainedImages | None = None
    notes: list[str]


class Ages(Facts):
    """Ages in years."""

    stated: int
    median: float
    quartile_1: float
    quartile_3: float


class Part(Facts):
    """One part of the split; counts below 20 are null."""

    images: int
    patients: int | None
    unnamed: int
    labels: Counts
    sources: Counts
    sex: dict[str, int | None]
    age: Ages | None


class Machine(Facts):
    """The machine that trained."""

    system: str
    processor: str
    cores: int | None


class Made(Facts):
    """What metrics.json keeps of manifest.json; null where the manifest does not say it."""

    packages: dict[str, str] | None = None
    machine: Machine | None = None
    precision: str | None = None
    seconds: float | None = None
    ended: str | None = None
    parity: dict[str, float] | None = None
    python: str | None = None
    keras_backend: str | None = None


class RunManifest(Facts):
    """The content of manifest.json: how a training run came about."""

    bundle: dict[str, object]  # bundle.json as it was exported, before anything was fitted
    parity: dict[str, float]  # largest difference of each output between Keras and ONNX Runtime
    ended: str
    calibrated: str
    seconds: float
    precision: str
    command: list[str]
    packages: dict[str, str]
    keras_backend: str
    machine: Machine
    python: str


class Run(Facts):
    """The files of the run beside the bundle; null where unknown."""

    parts: dict[str, Part] | None
    overlaps: list[str] | None
    made: Made | None
    audit: Audit | None
