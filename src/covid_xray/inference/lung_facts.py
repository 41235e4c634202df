"""Summarise the lungs of one radiograph and the share of its heat map inside them."""

import numpy as np
from numpy.typing import NDArray

from covid_xray.inference.finding import LungFacts
from covid_xray.inference.heatmap import placed
from covid_xray.inference.lungs import Lungs
from covid_xray.inference.view import View

NOT_FOUND = "lungs were not found"


def lung_facts(view: View, class_map: NDArray[np.float32] | None) -> LungFacts | None:
    """Summarise the lungs; `None` where the bundle has no lung network.

    Args:
        view: of the radiograph.
        class_map: h x w over the view's region, of the most probable class; `None` when there is none.
    """
    lungs = view.lungs
    if lungs is None:
        return None
    if not lungs.plausible:
        return LungFacts(plausible=False, words=NOT_FOUND)
    inside = None if class_map is None else heat_inside(placed(class_map[None], view.region)[0], lungs)
    return LungFacts(plausible=True, box=lungs.box, area=lungs.area, heat_inside=inside, opaque=lungs.opaque)


def in_words(lungs: LungFacts | None, *, cropped: bool) -> str:
    """Write a line for a caption; empty where the bundle has no lung network."""
    if lungs is None or not lungs.plausible:
        return lungs.words if lungs else ""
    parts = ["the network saw the part in the frame"] if cropped else []
    if lungs.heat_inside is not None:
        parts.append(f"{lungs.heat_inside:.0%} of the most probable class's heat map lies inside the lungs")
    return "; ".join(parts)


def heat_inside(class_map: NDArray[np.float32], lungs: Lungs) -> float | None:
    """Compute the share of a class map (h x w over the whole picture) inside the lungs; `None` without evidence."""
    total = float(class_map.sum())
    if not np.isfinite(total) or total <= 0:
        return None
    return float((class_map * lungs.share(*class_map.shape)).sum() / total)
