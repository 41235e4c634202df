"""Say how the images tested relate to those that the network and its thresholds were made from.

Each sentence is computed; where the files do not tell, it says that nothing is known.
"""

from covid_xray.evaluation.report.sections import Facts, with_span


def describe_overlap(m: Facts, part: str) -> str:
    """Tell whether images of `part`, on which something was fitted, are among those tested, as the end of a sentence.

    Args:
        m: content of metrics.json.
        part: of the run, such as `calibration`.
    """
    known = m.get("trained_images") or {}
    if m.get("part") == part or part in known.get("kept", {}):
        return "some of which are tested here"
    by_content = known.get("listed") is not None and part in known["listed"]
    parts = (m.get("run") or {}).get("parts") or {}
    if by_content or (part in parts and m.get("part") in parts):
        return "none of which is tested here"
    return "and whether any of them is tested here is not known"


def parts_apart(run: Facts) -> str:
    """Tell what the parts of a split share: sentences of `overlaps`, or that they share nothing that is known.

    Args:
        run: of metrics.json, with `parts` and `overlaps`; the latter is null where not all images are known.
    """
    if run["overlaps"] is None:
        return ""
    if run["overlaps"]:
        return " ".join(run["overlaps"])
    images, unnamed = (sum(part[key] for part in run["parts"].values()) for key in ("images", "unnamed"))
    if unnamed == images:
        return "No file and no picture is in two parts. No image names its patient, so patients may be."
    if unnamed:
        return f"No patient that is named, no file and no picture is in two parts; {unnamed:,} images name no patient."
    return "No patient, no file and no picture is in two parts."


def answers_of(m: Facts) -> str:
    """Tell what the network does with a disease that it does not know."""
    names = f"It knows {len(m['classes'])} answers ({', '.join(m['classes'])})"
    if m.get("conformal") or m.get("cannot_say"):
        return f'{names} or says "cannot say"; any other disease may get any of these.'
    return f"{names} and gives one of them to any disease."


def without_figures(by_source: Facts) -> str:
    """Name the sources that are too small for figures of their own; "" where there is none."""
    small = [f"{name} ({row['n_images']:,} images)" for name, row in by_source.items() if not row["figures"]]
    return f"too small for figures: {', '.join(small)}" if small else ""


def worst_of_sources(m: Facts) -> str:
    """Name the source with the lowest accuracy, and those that were too small to be compared; "" below two."""
    worst, small = m["worst_source"], without_figures(m["by_source"])
    if not worst:
        return ""
    figure = f"{worst['name']}: {with_span(worst, as_percent=True)}"
    if not small:
        return f"The source with the lowest accuracy is {figure}."
    return f"Of {worst['groups']} sources that can be compared the lowest accuracy is that of {figure} ({small})."
