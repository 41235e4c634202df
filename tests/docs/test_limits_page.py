"""SECURITY.md and the pages of the server and the DICOM node state the limits and defaults of the code."""

import re
from pathlib import Path

import pytest

from covid_xray.config import Serving, Settings
from covid_xray.limits import GiB, Limits, MiB
from covid_xray.pacs.settings import Pacs

ROOT = Path(__file__).parents[2]
LIMITS = Limits()


@pytest.mark.parametrize(
    "row",
    [
        f"| file | {LIMITS.upload_bytes // MiB} MiB |",
        f"| pixels | {LIMITS.pixels // 1_000_000} million, rows and columns up to {LIMITS.side}, one frame, "
        f"{LIMITS.min_bits} to {LIMITS.max_bits} bits |",
        f"(`decode_limited`) | {LIMITS.decode_seconds:g} s, {LIMITS.decode_bytes // GiB} GiB |",
        f"| zip archive | {LIMITS.zip_entries:,} entries, {LIMITS.zip_bytes // MiB} MiB unpacked, "
        f"ratio {LIMITS.zip_ratio:g}, nothing unpacked to disk |",
        f" {LIMITS.queue} requests may wait",
    ],
)
def test_the_security_page_states_the_limits(row: str) -> None:
    assert row in (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    assert LIMITS.frames == 1


def number(default: float) -> str:
    for unit, size in (("GiB", GiB), ("MiB", MiB)):
        if default >= MiB and default % size == 0:
            return f"{default // size} {unit}"
    return f"{default:g}"


@pytest.mark.parametrize(("page", "kind"), [("how-to/serve.md", Serving), ("reference/conformance.md", Pacs)])
def test_the_settings_pages_state_the_defaults(page: str, kind: type[Settings]) -> None:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8").split("| setting | default |")[1]
    checked = 0
    for names, values in re.findall(r"^\| (`.*?`) \| (.*?) \|", text, re.MULTILINE):
        for name, value in zip(re.findall(r"`(\w+)`", names), values.split(", "), strict=False):
            default = kind.model_fields[name].default
            if isinstance(default, int | float) and not isinstance(default, bool):
                assert value.replace(",", "") == number(default), name
                checked += 1
    assert checked >= 10
