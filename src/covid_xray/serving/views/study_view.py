"""A stored study in, what its page says of it in words out: bars, warnings, checks of the gate; advice for refusals."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from covid_xray.inference.finding import ModelIdentity
from covid_xray.inference.gate import FRONTAL
from covid_xray.inference.thresholds import POINTS
from covid_xray.serving.views.rendering import sentence
from covid_xray.store.records import Study

# Sources of children's radiographs, from which the public sets take most of "virus": docs/how-to/public-datasets.md.
PUBLIC = frozenset({"kermany", "ieee8023", "cxnet", "hannover", "darkcovidnet"})
ADULT = 18.0  # years
CHECKS = {
    "modality": "A plain radiograph, by its file",
    "view": "A frontal view, by its file",
    "contrast": "Not blank",
    "extremes": "No drawing, text or mask",
    "aspect": "The shape of a chest X-ray",
    "polarity": "Not inverted",
    "orientation": "Upright",
    "layout": "Laid out like a frontal chest",
    "likeness": "Like the training images",
    "part": "A whole chest, not a part of one",
}
_ANOTHER = "Send it as PNG, JPEG or DICOM; export it anew from where it came from."
ADVICE = {
    "not-an-image": ("This is no PNG, JPEG or DICOM file.", "Export the radiograph in one of these formats."),
    "empty": ("The file is empty.", "Export or copy it anew."),
    "truncated": ("The file breaks off before its end.", "Copy it anew; the transfer was probably cut off."),
    "damaged": ("The file is damaged.", "Export or copy it anew."),
    "checksum": ("The file is damaged: its checksum is wrong.", "Copy it anew."),
    "too-large": ("The file is too large.", "Send single images below the limit, or several archives."),
    "too-many-pixels": ("The picture has too many pixels.", "Export it smaller, 3,000 pixels a side are plenty."),
    "too-many": ("The archive holds too many files.", "Split it."),
    "too-complex": ("The file is built in a way that would take too long to read.", _ANOTHER),
    "several-frames": ("The file holds several frames.", "Export the one radiograph that is to be read."),
    "no-pixels": ("The DICOM file holds no picture.", "Choose the file of the image, not of a report or folder."),
    "bad-zip": ("The archive cannot be read.", "Pack it anew, as a plain zip without a password."),
    "no-images": ("The archive holds no image.", "Pack the image files themselves."),
    "decode-timeout": ("The file takes too long to read.", _ANOTHER),
    "decode-memory": ("The file needs too much memory to read.", _ANOTHER),
    "decoder-failed": ("The file cannot be decoded.", _ANOTHER),
    "decode-crashed": ("The file makes the decoder crash.", _ANOTHER),
    "missing-decoder": ("This kind of compressed DICOM cannot be read here.", "Export it uncompressed."),
    "unsupported-transfer-syntax": ("This kind of compressed DICOM is not supported.", "Export it uncompressed."),
    "unsupported-photometric": ("The colours of this DICOM file are not supported.", "Export it in shades of grey."),
    "unsupported-bits": ("The depth of the picture is not supported.", "Export it with 8 to 16 bits."),
    "unreadable-file": ("The file could not be read.", "Send it again."),
    "too-slow": ("The file did not arrive in time.", "Send it again, over a faster connection."),
    "cut-off": ("The file did not arrive whole.", "Send it again."),
    "too-often": ("Too many requests.", "Wait a minute, then send it again."),
    "queue-full": ("The server is busy.", "Wait a moment, then send it again."),
    "busy": ("The server is busy.", "Wait a moment, then send it again."),
    "stopping": ("The server is being stopped.", "Send it again when it is back."),
    "store-full": ("The store is full: nothing was kept.", "Delete studies, or ask for more room."),
    "not-logged-in": ("Your session has ended.", "Log in again."),
    "cross-site": ("The page is out of date.", "Load it anew, then send the file again."),
    "offline": ("The server does not answer.", "See whether it runs, then send the file again."),
    "failed": ("The server failed on this file.", "Send it again; if that does not help, its log says more."),
}


@dataclass(frozen=True)
class Mark:
    """One operating point of a class: its name, its threshold, and whether the probability reaches it."""

    name: str
    threshold: float
    reached: bool


@dataclass(frozen=True)
class Bar:
    """One class: its calibrated probability (`None` for no number), its operating points, and what else is known.

    Args:
        name: of the class.
        probability: 0..1.
        marks: in the order rule-out, balanced, rule-in.
        kept: whether conformal prediction keeps it; `None` without sets.
        leads: whether it is the most probable one.
    """

    name: str
    probability: float | None
    marks: tuple[Mark, ...]
    kept: bool | None
    leads: bool


@dataclass(frozen=True)
class Warning:
    """What a reader should know before believing the answer."""

    title: str
    words: str


@dataclass(frozen=True)
class Check:
    """One check of the gate; `words` where it objects."""

    name: str
    passed: bool
    words: str


def bars(study: Study) -> list[Bar]:
    """The classes in the order of the network."""
    thresholds, kept = study.finding.get("thresholds") or {}, study.finding["prediction_set"]
    reached = study.finding["operating_points"] or {}
    probabilities = study.probabilities
    top = max((value for value in probabilities.values() if value is not None), default=None)
    return [
        Bar(
            name=name,
            probability=value,
            marks=_marks(thresholds.get(name, {}), reached.get(name, {})),
            kept=None if kept is None else name in kept,
            leads=value is not None and value == top,
        )
        for name, value in probabilities.items()
    ]


def checks(study: Study) -> list[Check]:
    """What the gate looked at, objections first."""
    found = [
        Check(CHECKS.get(name, name), bool(verdict["ok"]), str(verdict["words"]))
        for name, verdict in (study.finding["gate"] or {}).items()
    ]
    return sorted(found, key=lambda check: check.passed)


def warnings(study: Study, *, facts: Mapping[str, Any], now: ModelIdentity) -> list[Warning]:
    """What is to be said beside the answer.

    Args:
        study: as stored.
        facts: of the bundle that is loaded now.
        now: the network that is loaded now.
    """
    found = [_lateral(study), _children(study, facts), _lungs(study), _unchecked(study), _uncalibrated(study)]
    if study.model.sha256 != now.sha256:
        words = f"The network that is loaded now is {now.name} {now.version}; send the image again for its answer."
        found.append(Warning("Answered by another network", words))
    return [warning for warning in found if warning]


def _marks(thresholds: Mapping[str, float], reached: Mapping[str, bool]) -> tuple[Mark, ...]:
    known = sorted(thresholds, key=lambda name: (POINTS.index(name) if name in POINTS else len(POINTS), name))
    return tuple(Mark(name, thresholds[name], reached[name]) for name in known if name in reached)


def _lateral(study: Study) -> Warning | None:
    if study.view is None or study.view in FRONTAL or "view" in (study.finding["gate"] or {}):
        return None
    return Warning("Not a frontal view", f"The file says {study.view}. The network knows frontal views (PA, AP) only.")


def _children(study: Study, facts: Mapping[str, Any]) -> Warning | None:
    """Nearly every viral pneumonia of the public sets is a small child's."""
    sources = set((facts.get("training_data") or {}).get("source") or {})
    named = {study.label, *(study.finding["prediction_set"] or ())}
    if "virus" not in named or (sources and not sources & PUBLIC):
        return None
    words = (
        "There is no adult viral class to speak of in the training data: nearly all its viral images are of small "
        "children. Of an adult, “viral pneumonia” means little here."
    )
    age = ((study.finding.get("joint") or {}).get("known") or {}).get("age")
    if age is not None and age < ADULT:
        return None
    return Warning("Is this a child?" if age is None else f"The patient is {age:g} years old", words)


def _lungs(study: Study) -> Warning | None:
    lungs = study.finding.get("lungs")
    if not lungs or not lungs["words"]:
        return None
    return Warning("Lungs" if lungs["plausible"] else "Lungs not found", sentence(lungs["words"]))


def _unchecked(study: Study) -> Warning | None:
    if study.finding["gate"] is not None:
        return None
    words = "This network does not check its input: it answers for any picture, even one that is no chest X-ray."
    return Warning("Input not checked", words)


def _uncalibrated(study: Study) -> Warning | None:
    if study.finding["prediction_set"] is not None or study.finding["operating_points"]:
        return None
    return Warning("Not calibrated", "The probabilities were not fitted to held-out images; take them as scores.")
