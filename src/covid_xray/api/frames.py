"""Put answers into a pandas DataFrame."""

from collections.abc import Iterable
from typing import Any

import pandas as pd

from covid_xray.inference.finding import Failure, Finding


def to_frame(answers: Iterable[Finding | Failure]) -> pd.DataFrame:
    """Return one row for each answer of `Predictor.predict_many`, in order.

    Columns: image, label, p_<class> for each class, prediction_set (classes joined by "|"), reasons (why the answer is
    "cannot say"), error (the code of a file that could not be read, else ""), model; of several bundles spread_<class>.

    Examples:
        >>> from covid_xray import Predictor, to_frame
        >>> frame = to_frame(Predictor("runs/first").predict_many("new"))
        >>> len(frame), list(frame)[:3]
        (3, ['image', 'label', 'p_covid'])
    """
    rows = [_row(answer) for answer in answers]
    frame = pd.DataFrame(rows, columns=None if rows else ["image", "label"])
    names = [str(name) for name in frame]
    order = ["image", "label", *sorted(name for name in names if name.startswith("p_"))]
    return frame[[*order, *(name for name in names if name not in order)]]


def _row(answer: Finding | Failure) -> dict[str, Any]:
    if isinstance(answer, Failure):
        return {"image": answer.image, "label": "", "prediction_set": "", "reasons": answer.message,
                "error": answer.code, "model": ""}  # fmt: skip
    probabilities = {f"p_{name}": value for name, value in answer.probabilities.items()}
    return {
        "image": answer.image,
        "label": answer.label,
        **probabilities,
        "prediction_set": "|".join(answer.prediction_set or ()),
        "reasons": "; ".join(answer.reasons),
        "error": "",
        "model": f"{answer.model.name} {answer.model.version}",
        **{f"spread_{name}": value for name, value in (answer.spread or {}).items()},
    }
