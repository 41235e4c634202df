"""Results of a drawn film in the formats of clinical systems: with an answer, "cannot say", and refused by the gate."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from covid_xray.inference.predictor import Predictor
from covid_xray.pacs.results.result_objects import ResultBuilder
from support import studies
from support.chests import chest

PIXELS = chest(height=64, width=64, body=255, lung=85)
KINDS = ("fhir4", "fhir5", "hl7")
CASES = ("answer", "cannot say", "refused")
REFUSED = {"layout": {"ok": False, "words": "looks like several pictures"}}


class Reporter:
    """The builder of a small network, with the given settings of the predictor."""

    def __init__(self, folder: Path) -> None:
        self._bundle = studies.make_lung_bundle(folder)

    def results(self, case: str, **tags: Any) -> dict[str, bytes]:
        """The reports of one film by kind."""
        predictor = Predictor(self._bundle, require_site=case == "cannot say")
        builder = ResultBuilder(predictor, kinds=KINDS, share=0.3)
        image = builder.load(studies.film(PIXELS, **tags))
        finding = predictor.answers([""], [image.view], class_maps=True)[0]
        finding = replace(finding, gate=REFUSED) if case == "refused" else finding
        return dict(builder.build_objects(image, finding).objects)
