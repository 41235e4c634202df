"""Classify licence texts as open (any use, with attribution), noncommercial or unknown, and filter images by them."""

import re
from dataclasses import replace

import pandas as pd

from covid_xray.data.manifest.manifest import Manifest, quarantine_table
from covid_xray.data.manifest.readers import Refusal
from covid_xray.errors import BadManifest, UsageError

ALLOW = ("open", "noncommercial", "any")
RULES = (  # the first match decides
    (r"unclear|unknown|not stated|no licen[cs]e", "unknown"),
    # "No derivatives" allows trade but not publishing what was made from the images: as narrow for us as NC.
    (r"\bnc\b|\bnd\b|non-?commercial|research (use|purposes?)|academic", "noncommercial"),
    (r"\bcc[ -]?(by|0)\b|\bcc0|public domain|free to use|creative commons attribution|apache|mit licen", "open"),
)
NO_DERIVATIVES = r"\bnd\b|no[ -]?deriv"


def license_class(text: str) -> str:
    """Classify a licence text as `open`, `noncommercial` or `unknown`; an empty text is `unknown`."""
    return next((kind for pattern, kind in RULES if re.search(pattern, text.lower())), "unknown")


def allows_derivatives(text: str) -> bool:
    """Return whether a licence allows publishing works made from the image, such as a trained network.

    False for "no derivatives" and unknown licences; such images can still test a network.
    """
    return license_class(text) != "unknown" and not re.search(NO_DERIVATIVES, text.lower())


def allow_licenses(manifest: Manifest, allow: str) -> Manifest:
    """Move images whose licence is not allowed into the quarantine (code `license`).

    Args:
        manifest: without a column `license` all licences are unknown.
        allow: `open`; `noncommercial`, which includes open; or `any`, which includes unknown.

    Raises:
        UsageError: another value of `allow`.
        BadManifest: no image is left.
    """
    if allow not in ALLOW:
        raise UsageError(f"Unknown licence policy {allow!r}. Choose one of {', '.join(ALLOW)}.")
    if allow == "any":
        return manifest
    licenses = manifest.table["license"] if "license" in manifest.table else pd.Series("", index=manifest.table.index)
    kept = licenses.map(license_class).isin({"open", allow})
    refused = [
        Refusal(image, "license", f"The licence is not {allow}: {text or 'none stated'}.")
        for image, text in zip(manifest.table["image"][~kept], licenses[~kept], strict=True)
    ]
    if not kept.any():
        raise BadManifest(
            f"No image has a licence that is {allow}. For example {refused[0].image}: {refused[0].reason}"
        )
    quarantine = pd.concat([manifest.quarantine, quarantine_table(refused)], ignore_index=True)
    return replace(manifest.take(kept), quarantine=quarantine)
