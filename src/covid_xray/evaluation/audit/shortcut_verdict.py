"""State the verdict of the shortcut audit from the scores that survive with only the lungs and without them."""

from collections.abc import Mapping
from typing import Any

HALF = 0.5  # of the score above chance: above it, a part is enough by itself for most of the score

CHANCE = "On the whole pictures the network is not above chance, so nothing can survive."
MEANS = {
    "shortcut": (
        "The network scores without the lungs and not with the lungs alone: it uses what lies outside them, and its "
        "score is no evidence that it recognises disease."
    ),
    "either": (
        "Either part alone is enough: the network may use the lungs, but the score can be reached without them and "
        "cannot be credited to them."
    ),
    "lungs": "The score depends on the lungs; the rest of the picture alone is not enough.",
    "neither": (
        "Neither part alone is enough: the network needs both, or pictures with a hidden part are too unfamiliar to "
        "it. This neither supports nor refutes that it uses the lungs."
    ),
}
UNCERTAIN = "An interval includes one half, so more images could change this conclusion."
BOX = (
    "A box is not the lungs: it also holds heart, spine and neck, so this says nothing about the lungs. Give masks of "
    "all images, or a bundle with a lung network."
)
NAMES = {"auroc_macro": "AUROC", "macro_f1": "macro-F1", "balanced_accuracy": "balanced accuracy"}


def judge_survival(survival: Mapping[str, Any] | None, *, headline: str, masks: str) -> dict[str, Any]:
    """Return the verdict on one network, as `run_schema.Verdict`.

    Args:
        survival: of `shortcuts.scored`; `None` where the network is not above chance.
        headline: the score to judge by.
        masks: kind of the lung masks.
    """
    if survival is None:
        return {"kind": "chance", "certain": True, "line": CHANCE, "means": CHANCE, "scores": {}}
    only, without = survival[headline]["only"], survival[headline]["without"]
    kind = _kind(only["value"] >= HALF, without["value"] >= HALF)
    certain = not (_across(only) or _across(without))
    means = [MEANS[kind], *([] if certain else [UNCERTAIN]), *([BOX] if masks == "box" else [])]
    return {
        "kind": kind,
        "certain": certain,
        "line": _line(survival, headline=headline, masks=masks),
        "means": " ".join(means),
        "only": only,
        "without": without,
        "needs_lungs": min(1.0, max(0.0, 1 - without["value"])),
        "scores": dict(survival),
    }


def _line(survival: Mapping[str, Any], *, headline: str, masks: str) -> str:
    shown, hidden = ("only the lungs are visible", "they are not")
    if masks == "box":
        shown, hidden = ("only a box over the lungs is visible", "it is not")
    only, without = survival[headline]["only"], survival[headline]["without"]
    others = [
        f"{_percent(survival[name]['only']['value'])} % and {_percent(survival[name]['without']['value'])} % by {shows}"
        for name, shows in NAMES.items()
        if name in survival and name != headline
    ]
    return (
        f"Of the score above chance ({NAMES[headline]}), {format_share(only)} survives when {shown}, and "
        f"{format_share(without)} when {hidden}" + (f" ({', '.join(others)})." if others else ".")
    )


def format_share(figure: Mapping[str, Any]) -> str:
    """Format a share as `78 % (72 to 84)`."""
    if figure["ci_low"] is None:
        return f"{_percent(figure['value'])} % (too few for an interval)"
    return f"{_percent(figure['value'])} % ({_percent(figure['ci_low'])} to {_percent(figure['ci_high'])})"


def _percent(value: float) -> str:
    return f"{100 * value:.0f}".replace("-0", "0") if round(100 * value) == 0 else f"{100 * value:.0f}"


def _kind(only: bool, without: bool) -> str:
    if without:
        return "either" if only else "shortcut"
    return "lungs" if only else "neither"


def _across(figure: Mapping[str, Any]) -> bool:
    return figure["ci_low"] is None or figure["ci_low"] < HALF < figure["ci_high"]
