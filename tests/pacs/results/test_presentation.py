"""The presentation state: outlines over the untouched original, looked at as the original is."""

import io
from pathlib import Path

import numpy as np
import pydicom
import pytest

from covid_xray.inference.predictor import Predictor
from covid_xray.pacs.results.presentation import trace_outlines
from covid_xray.pacs.results.result_objects import ResultBuilder
from support import studies
from support.chests import chest

PIXELS = chest(height=160, width=140, body=255, lung=85)


def test_outlines_go_around_the_mask() -> None:
    mask = np.zeros((40, 60), bool)
    mask[10:20, 5:30] = True
    mask[12:15, 8:12] = False  # a hole has an outline of its own
    outer, hole = sorted(trace_outlines(mask), key=lambda loop: -np.ptp(loop))
    assert (outer.min(axis=0).tolist(), outer.max(axis=0).tolist()) == ([5, 10], [30, 20])
    assert (hole.min(axis=0).tolist(), hole.max(axis=0).tolist()) == ([8, 12], [12, 15])
    assert len(outer) == 5
    assert np.array_equal(outer[0], outer[-1])
    assert trace_outlines(np.zeros((4, 4), bool)) == []


def test_parts_that_touch_at_a_corner_are_closed_all_the_same() -> None:
    loops = trace_outlines(np.eye(5, dtype=bool))
    assert all(np.array_equal(loop[0], loop[-1]) for loop in loops)
    assert sum(len(loop) - 1 for loop in loops) == 20


def test_a_large_mask_is_outlined_within_a_cell() -> None:
    mask = np.zeros((3000, 2000), bool)
    mask[500:1500, 300:900] = True
    (loop,) = trace_outlines(mask)
    assert np.allclose([loop.min(axis=0), loop.max(axis=0)], [[300, 500], [900, 1500]], atol=3000 / 256)


@pytest.mark.parametrize(("inverted", "shape"), [(False, "IDENTITY"), (True, "INVERSE")])
def test_it_shows_the_original_with_its_window_and_the_lines_where_the_region_is(
    inverted: bool, shape: str, tmp_path: Path
) -> None:
    builder = ResultBuilder(Predictor(studies.make_lung_bundle(tmp_path / "bundle")), kinds=["seg", "gsps"], share=0.25)
    data = studies.film(PIXELS, inverted=inverted, WindowCenter=128, WindowWidth=256)
    made = {kind: pydicom.dcmread(io.BytesIO(one)) for kind, one in builder.build(data).objects.items()}
    state, mask = made["gsps"], made["seg"].pixel_array > 0
    assert state.PresentationLUTShape == shape
    assert (state.SoftcopyVOILUTSequence[0].WindowCenter, state.SoftcopyVOILUTSequence[0].WindowWidth) == (128, 256)
    annotation = state.GraphicAnnotationSequence[0]
    points = np.concatenate([np.reshape(line.GraphicData, (-1, 2)) for line in annotation.GraphicObjectSequence])
    rows, columns = np.nonzero(mask)
    assert points.min(axis=0).tolist() == [columns.min(), rows.min()]
    assert points.max(axis=0).tolist() == [columns.max() + 1, rows.max() + 1]
    assert "not for diagnosis" in annotation.TextObjectSequence[0].UnformattedTextValue
