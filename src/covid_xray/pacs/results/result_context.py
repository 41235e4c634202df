"""Hold what all result objects of an image share: patient, study, manufacturer, times and reproducible UIDs."""

import functools
import json
import uuid
from dataclasses import dataclass
from typing import Any

from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from covid_xray import __version__
from covid_xray.inference.finding import CANNOT_SAY, Finding, site_in_words
from covid_xray.inference.lungs import Lungs
from covid_xray.pacs.results import probability
from covid_xray.pacs.results.codes import NORMAL, NOT_ANALYSED, SCHEME, describe_scope, finding_code
from covid_xray.pacs.source_object import Original, character_set, reference_dataset, study_moment

MANUFACTURER = "covid-xray"
_NAMESPACE = uuid.UUID("8c0f7a0e-6d0a-5a86-9f0e-2d4d7a3b1c55")  # arbitrary, never to be changed
_SERIES = {"sc": 9901, "sr": 9902, "seg": 9903, "gsps": 9904, "ko": 9905, "pdf": 9906}
_TITLES = {"sc": "heat map", "sr": "finding", "seg": "region", "gsps": "outline"}
_FIXED_TITLES = {"ko": "rejection note", "pdf": "report"}
LO_LENGTH = 64  # characters of the VR LO
DEFAULT_SHARE = 0.5  # of the heat map's maximum, for its region
# Dates and times that highdicom takes from the clock.
_DATES = ("InstanceCreationDate", "ContentDate", "PresentationCreationDate", "SeriesDate", "DateOfSecondaryCapture")
_TIMES = ("InstanceCreationTime", "ContentTime", "PresentationCreationTime", "SeriesTime", "TimeOfSecondaryCapture")


@dataclass(frozen=True)
class ResultSettings:
    """What the objects of an image depend on beside the image and its finding.

    Args:
        share: of the heat map's maximum above which it is part of the region, 0..1.
        kinds: of objects that are made, in their order.
        bundle: digest of the bundle, with its calibration.
        step: to which probabilities are rounded, 0..1.
    """

    share: float = DEFAULT_SHARE
    kinds: tuple[str, ...] = ()
    bundle: str = ""
    step: float = 0.01


@dataclass(frozen=True, eq=False)
class ResultContext:
    """One radiograph with its finding."""

    original: Original
    finding: Finding  # with class maps
    lungs: Lungs | None  # None when the bundle has no lung network
    settings: ResultSettings
    shown: str  # the class whose map is shown
    refusal: str = ""  # why the picture was not analysed; empty when it was

    @property
    def model(self) -> str:
        """Return name and version of the network."""
        return f"{self.finding.model.name} {self.finding.model.version}"

    @property
    def has_answer(self) -> bool:
        """Return whether the finding names a class. Without an answer no probability, map or class is shown."""
        return not self.refusal and self.finding.label != CANNOT_SAY

    @property
    def reasons(self) -> tuple[str, ...]:
        """Return why there is no answer; empty when there is one."""
        return (self.refusal,) if self.refusal else self.finding.reasons

    @property
    def may_have_region(self) -> bool:
        """Return whether the finding names a class whose map is a sign of it."""
        return self.has_answer and self.finding.label != NORMAL

    @property
    def statement(self) -> str:
        """Return the finding in words: a class with its rounded probability, or the reasons why there is none."""
        if not self.has_answer:
            return f"{self.label}: {'; '.join(self.reasons)}"
        return f"{self.label}: {self.probability}"

    @property
    def label(self) -> str:
        """Return the answer without a number: the class, for "normal" what was not found, or that there is none."""
        if not self.has_answer:
            return NOT_ANALYSED if self.refusal else CANNOT_SAY
        return self.code(self.shown).meaning

    @property
    def probability(self) -> str:
        """Return the probability of the shown class in words, rounded to what the calibration supports."""
        return probability.in_words(self.finding.probabilities[self.shown], step=self.settings.step)

    @property
    def probabilities(self) -> dict[str, float]:
        """Return the rounded probabilities by class; none without an answer."""
        found = self.finding.probabilities.items() if self.has_answer else ()
        return {name: probability.round_to(value, step=self.settings.step) for name, value in found}

    @property
    def prediction_set(self) -> tuple[str, ...]:
        """Return the classes of the prediction set; none without an answer."""
        return (self.finding.prediction_set or ()) if self.has_answer else ()

    @property
    def scope(self) -> str:
        """Return what the network looks for."""
        return describe_scope(self.finding.probabilities)

    @property
    def site(self) -> str:
        """Return in words whether the network was checked at this hospital."""
        return site_in_words(self.finding.site)

    def code(self, label: str) -> Code:
        """Return the concept of a class, of `cannot say` or of `not analysed`."""
        return finding_code(label, classes=self.finding.probabilities)

    @property
    def class_map(self) -> Any:
        """Return the map of the shown class over the whole radiograph, h x w float32."""
        assert self.finding.class_maps is not None
        return self.finding.class_maps[list(self.finding.probabilities).index(self.shown)]

    @property
    def size(self) -> tuple[int, int]:
        """Return rows and columns of the radiograph."""
        rows, columns = self.original.radiograph.pixels.shape
        return rows, columns

    def uid(self, *parts: str) -> str:
        """Derive a UID from the original, the bundle, the site file, the settings, the finding and `parts`."""
        return derived_uid(self.digest, *parts)

    def tracking_uid(self, name: str) -> str:
        """Derive the UID of what is tracked: the same for every version of the software, network and settings."""
        return derived_uid("tracking", self.original.tags.sop_uid, name)

    @functools.cached_property
    def digest(self) -> str:
        """Return all that the objects depend on, as one text."""
        finding, settings = self.finding, self.settings
        site = finding.site.as_dict() if finding.site else None
        words = (self.statement, self.scope, self.site, finding.lungs.words if finding.lungs else "")
        facts = (self.probabilities, self.prediction_set, finding.region, finding.model.sha256)
        source = (self.original.tags.sop_uid, self.original.sha256)
        used = (__version__, settings.bundle, settings.share, settings.kinds, settings.step)
        return json.dumps([*source, *used, site, *words, *facts], sort_keys=True)

    def stamp(self, made: Dataset) -> None:
        """Replace what highdicom takes from the clock and by chance, so that the same input gives the same bytes."""
        date, time = study_moment(self.original.tags)
        values = dict.fromkeys(_DATES, date) | dict.fromkeys(_TIMES, time) | {"ContributionDateTime": date + time}
        values["DimensionOrganizationUID"] = self.uid("dimensions")
        for element in made.iterall():
            if element.keyword in values:
                element.value = values[element.keyword]

    @functools.cached_property
    def reference(self) -> Dataset:
        """Return the original's tags as highdicom needs them; not to be changed."""
        return reference_dataset(self.original.tags)

    def common(self, kind: str) -> dict[str, Any]:
        """Return the arguments that every class of highdicom takes; `kind` is sc, sr, seg or gsps."""
        from highdicom.coding_schemes import CodingSchemeIdentificationItem

        scheme = CodingSchemeIdentificationItem(
            SCHEME, name="covid-xray", version=__version__, responsible_organization=MANUFACTURER
        )
        return {
            "series_instance_uid": self.uid(kind, "series"),
            "series_number": _SERIES[kind],
            "series_description": f"covid-xray {self._title(kind)}: {self.model}"[:LO_LENGTH],
            "sop_instance_uid": self.uid(kind),
            "instance_number": 1,
            **self._device,
            "contributing_equipment": [self._equipment()],
            "coding_schemes": [scheme],
            "specific_character_set": character_set(self.reference, self.statement, self.site, self.model),
        }

    def _title(self, kind: str) -> str:
        if kind in _FIXED_TITLES:
            return _FIXED_TITLES[kind]
        if not self.has_answer:
            return self.label
        return _TITLES[kind] if self.may_have_region or kind == "sr" else "no sign found"

    @property
    def _device(self) -> dict[str, Any]:
        model = self.finding.model
        return {
            "manufacturer": MANUFACTURER,
            "manufacturer_model_name": model.name[:LO_LENGTH],
            "software_versions": [f"covid-xray {__version__}", f"model {model.version}"[:LO_LENGTH]],
            "device_serial_number": model.sha256,
        }

    def _equipment(self) -> Dataset:
        """Make the item that identifies the algorithm (IHE AI Results)."""
        from highdicom import ContributingEquipment
        from pydicom.sr.codedict import codes

        made = ContributingEquipment(
            purpose_of_reference=codes.DCM.ProcessingEquipment,
            contribution_datetime="19000101",  # replaced by `stamp`
            contribution_description="Algorithm that made this result",
            **self._device,
        )
        made.DeviceUID = device_uid(self.finding.model.sha256)
        return made


def derived_uid(*parts: str) -> str:
    """Make a UID under 2.25 (PS3.5 B.2) from a UUID of version 5 (RFC 9562) of the parts."""
    return f"2.25.{uuid.uuid5(_NAMESPACE, '|'.join(parts)).int}"


def device_uid(network: str) -> str:
    """Derive the UID of the device from the SHA-256 of its network."""
    return derived_uid("device", network)


def algorithm_parameters(result: ResultContext) -> list[str]:
    """Describe the network and its settings, one text each."""
    texts = [f"model.onnx SHA-256 {result.finding.model.sha256}", f"covid-xray {__version__}"]
    if result.may_have_region:
        texts.append(f"region: heat map of {result.shown} at or above {result.settings.share:g} of its maximum")
    return texts
