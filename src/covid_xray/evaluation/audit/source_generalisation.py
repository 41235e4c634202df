"""Read from crossval.json how the training recipe performs on sources left out of training."""

from collections.abc import Mapping, Sequence
from typing import Any

from covid_xray.errors import BadManifest

POOLED = ("macro_f1", "balanced_accuracy", "auroc_macro", "accuracy")


def sources_left_out(crossval: Mapping[str, Any] | None, classes: Sequence[str]) -> dict[str, Any] | None:
    """Return what audit.json holds under `sources_left_out`; `None` without a cross-validation.

    Args:
        crossval: content of the crossval.json that `covid-xray crossval --leave-out source` writes.
        classes: of the network that is audited.

    Raises:
        BadManifest: content of another kind, folds instead of sources, or other classes.
    """
    if crossval is None:
        return None
    try:
        how, known = crossval["protocol"]["leave_out"], sorted(crossval["classes"])
        figures = {name: _figure(crossval["figures"][name]) for name in POOLED if name in crossval["figures"]}
        rows = [_row(name, facts) for name, facts in crossval["by_source"].items()]
        images = int(crossval["n_images"])
    except (KeyError, TypeError, ValueError, AttributeError):
        raise BadManifest("Not a crossval.json. Give the one that covid-xray crossval wrote.") from None
    if how != "source":
        raise BadManifest("The cross-validation leaves no sources out. Run covid-xray crossval --leave-out source.")
    if known != sorted(classes):
        raise BadManifest(
            f"The cross-validation is of the classes {', '.join(map(str, known))}, the network of "
            f"{', '.join(sorted(classes))}. Give one of the same classes."
        )
    return {"images": images, "figures": figures, "rows": rows}


def _row(name: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    found = (facts["figures"] or {}).get("accuracy")
    return {"source": str(name), "images": int(facts["n_images"]), "accuracy": found and _figure(found)}


def _figure(found: Mapping[str, Any]) -> dict[str, Any]:
    return {key: found[key] for key in ("value", "ci_low", "ci_high", "n")}
