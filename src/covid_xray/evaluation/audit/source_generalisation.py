"""The content of crossval.json with each source left out in turn in, how the recipe did on sources it never saw out."""

from collections.abc import Mapping, Sequence
from typing import Any

from covid_xray.errors import BadManifest

POOLED = ("macro_f1", "balanced_accuracy", "auroc_macro", "accuracy")


def sources_left_out(crossval: Mapping[str, Any] | None, classes: Sequence[str]) -> dict[str, Any] | None:
    """What audit.json says of it; `None` where there is none.

    Args:
        crossval: content of the crossval.json that `covid-xray crossval --leave-out source` writes.
        classes: of the network that is audited.

    Returns:
        `images`; `figures`, pooled over all sources (value, ci_low, ci_high); `rows`: `source`, `images`, `accuracy`
        (with interval; `None` where too few).

    Raises:
        BadManifest: content of another kind, folds instead of sources, or other classes.
    """
    if crossval is None:
        return None
    try:
        how, told = crossval["protocol"]["leave_out"], sorted(crossval["classes"])
        figures = {name: _figure(crossval["figures"][name]) for name in POOLED if name in crossval["figures"]}
        rows = [_row(name, facts) for name, facts in crossval["by_source"].items()]
        images = int(crossval["n_images"])
    except (KeyError, TypeError, ValueError, AttributeError):
        raise BadManifest("expected the content of a crossval.json. Received: something else") from None
    if how != "source":
        raise BadManifest("expected a cross-validation that leaves sources out. Received: one of folds")
    if told != sorted(classes):
        raise BadManifest(
            f"expected a cross-validation of the classes {', '.join(sorted(classes))}. "
            f"Received: {', '.join(map(str, told))}"
        )
    return {"images": images, "figures": figures, "rows": rows}


def _row(name: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    found = (facts["figures"] or {}).get("accuracy")
    return {"source": str(name), "images": int(facts["n_images"]), "accuracy": found and _figure(found)}


def _figure(found: Mapping[str, Any]) -> dict[str, Any]:
    return {key: found[key] for key in ("value", "ci_low", "ci_high")}
