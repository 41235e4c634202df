"""Hold what all result objects of an image share: patient, study, manufacturer and reproducible UIDs."""

import functools
import uuid
from dataclasses import dataclass
from typing import Any

from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from covid_xray import __version__
from covid_xray.inference.finding import CANNOT_SAY, Finding, site_in_words
from covid_xray.inference.lungs import Lungs
from covid_xray.pacs.results.codes import NORMAL, SCHEME, describe_scope, finding_code
from covid_xray.pacs.source_object import Original, character_set, reference_dataset

MANUFACTURER = "covid-xray"
_NAMESPACE = uuid.UUID("8c0f7a0e-6d0a-5a86-9f0e-2d4d7a3b1c55")  # arbitrary, never to be changed
_SERIES = {"sc": 9901, "sr": 9902, "seg": 9903, "gsps": 9904}
_TITLES = {"sc": "heat map", "sr": "finding", "seg": "region", "gsps": "outline"}
LO_LENGTH = 64  # characters of the VR LO
DEFAULT_SHARE = 0.5  # of the heat map's maximum, for its region


@dataclass(frozen=True, eq=False)
class ResultContext:
    """One radiograph with its finding."""

    original: Original
    finding: Finding  # with class maps
    lungs: Lungs | None  # None when the bundle has no lung network
    share: float  # of the heat map's maximum above which it is part of the region, 0..1
    shown: str  # the class whose map is shown

    @property
    def model(self) -> str:
        """Return name and version of the network."""
        return f"{self.finding.model.name} {self.finding.model.version}"

    @property
    def has_answer(self) -> bool:
        """Return whether the finding names a class. "Cannot say" shows no probability, map or most probable class."""
        return self.finding.label != CANNOT_SAY

    @property
    def may_have_region(self) -> bool:
        """Return whether the finding names a class whose map is a sign of it."""
        return self.finding.label not in (CANNOT_SAY, NORMAL)

    @property
    def statement(self) -> str:
        """Return the finding in words: a class with its probability, or "cannot say" with the reasons."""
        if not self.has_answer:
            return f"{CANNOT_SAY}: {'; '.join(self.finding.reasons)}"
        return f"{self.label}: {self.finding.probabilities[self.shown]:.1%}"

    @property
    def label(self) -> str:
        """Return the name of the shown class; for "normal" what was not found."""
        return self.code(NORMAL).meaning if self.shown == NORMAL else self.shown

    @property
    def scope(self) -> str:
        """Return what the network looks for."""
        return describe_scope(self.finding.probabilities)

    @property
    def site(self) -> str:
        """Return in words whether the network was checked at this hospital."""
        return site_in_words(self.finding.site)

    def code(self, label: str) -> Code:
        """Return the concept of a class or of `cannot say`."""
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
        """Derive a UID from the object, the network, the settings and `parts`."""
        tags, network = self.original.tags, self.finding.model.sha256
        site = [self.finding.site.sha256] if self.finding.site else []
        return derived_uid(tags.sop_uid, tags.sha256, network, __version__, f"{self.share}", self.shown, *site, *parts)

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
            "series_description": f"covid-xray {_TITLES[kind] if self.has_answer else CANNOT_SAY}: {self.model}"[
                :LO_LENGTH
            ],
            "sop_instance_uid": self.uid(kind),
            "instance_number": 1,
            "manufacturer": MANUFACTURER,
            "manufacturer_model_name": self.finding.model.name[:LO_LENGTH],
            "software_versions": [f"covid-xray {__version__}", f"model {self.finding.model.version}"[:LO_LENGTH]],
            "device_serial_number": self.finding.model.sha256,
            "coding_schemes": [scheme],
            "specific_character_set": character_set(self.reference),
        }


def derived_uid(*parts: str) -> str:
    """Make a UID under 2.25 (PS3.5 B.2) from a UUID of version 5 (RFC 9562) of the parts."""
    return f"2.25.{uuid.uuid5(_NAMESPACE, '|'.join(parts)).int}"


def algorithm_parameters(result: ResultContext) -> list[str]:
    """Describe the network and its settings, one text each."""
    texts = [f"model.onnx SHA-256 {result.finding.model.sha256}", f"covid-xray {__version__}"]
    if result.may_have_region:
        texts.append(f"region: heat map of {result.shown} at or above {result.share:g} of its maximum")
    return texts
