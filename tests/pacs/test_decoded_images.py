"""Decoded images are kept for the worker, within a bound, and never instead of the file."""

from pathlib import Path

import numpy as np
import pytest

from covid_xray.images.radiograph import Radiograph
from covid_xray.inference.predictor import Predictor
from covid_xray.pacs.decoded_images import DecodedImages
from covid_xray.pacs.results import result_objects
from covid_xray.pacs.source_object import Original, read_tags
from support import services, studies
from support.chests import chest

PIXELS = chest(height=64, width=64, body=255, lung=85)


def image(side: int) -> Original:
    return Original(read_tags(studies.film(PIXELS)), Radiograph(np.zeros((side, side), np.uint8)))


def test_an_image_is_taken_once() -> None:
    kept, one = DecodedImages(), image(10)
    kept.put("a", one)
    assert kept.take("a") is one
    assert kept.take("a") is None


def test_the_oldest_make_room_and_what_is_too_large_is_not_kept() -> None:
    kept = DecodedImages(limit=250)
    for name in ("a", "b", "c"):
        kept.put(name, image(10))
    assert [name for name in ("a", "b", "c") if kept.take(name)] == ["b", "c"]
    kept.put("large", image(16))
    assert kept.take("large") is None
    kept.put("d", image(10))
    assert kept.take("d") is not None


def test_a_received_object_is_not_decoded_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = studies.make_lung_bundle(tmp_path / "bundle")

    def decodes(*_: object, **__: object) -> None:
        raise AssertionError

    with services.opened(tmp_path, Predictor(bundle)) as parts:
        parts.receiver.receive(services.incoming(parts, studies.film(PIXELS)), origin="MODALITY")
        monkeypatch.setattr(result_objects, "open_source", decodes)
        parts.classify_all()
        assert parts.queue.count_states() == {"arrivals answered": 1}
