"""Build the first section of the report: the study in plain words."""

from covid_xray.evaluation.metrics.subgroups import SMALLEST
from covid_xray.evaluation.report.claims import answers_of, without_figures, worst_of_sources
from covid_xray.evaluation.report.sections import (
    Bullets,
    Card,
    Cards,
    Facts,
    Section,
    Text,
    counts,
    decimal,
    flatten,
    percent,
    span,
    thousands,
    with_span,
)

ONE_SOURCE = 0.9  # share of a class's images that come from one source
RESEARCH = "Research use, not for diagnosis."


def summary(m: Facts) -> Section:
    """Summarise what was tested, the results, the warnings, and the limits."""
    alerts = [Text(text, "alert") for text in (m["banner"], guessing(m), m["confounded"]) if text]
    beware = Bullets(tuple(m["warnings"]), "Before believing these figures", beware=True) if m["warnings"] else None
    sentence = sentences(m)
    blocks = flatten(
        alerts,
        Text(f"{describe_test(m)} {_main(m)}"),
        Cards((_f1(m), _auroc(m), _worst(m), _no_lung(m))),
        Bullets(tuple(sentence), "In whole numbers") if sentence else None,
        beware,
        Bullets(tuple(limitations(m)), "What it cannot do"),
    )
    return Section("summary", "Summary", blocks)


def guessing(m: Facts) -> str:
    """Return the sentence that the network is no better than always answering one class; "" where it is better."""
    return str((m.get("guessing") or {}).get("says", ""))


def describe_test(m: Facts) -> str:
    """Say what the network was tested on, and its accuracy."""
    people = f" of {thousands(m['n_patients'])} patients" if m["n_patients"] is not None else ""
    labels = counts({name: n["images"] for name, n in m["labels"].items()})
    accuracy = m["figures"]["accuracy"]
    ends = span(accuracy, as_percent=True)
    interval = f" (95 % interval {ends})" if ends else ""
    return (
        f"The network was tested on {thousands(m['n_images'])} radiographs{people} ({labels}). It predicted the right "
        f"class for {percent(accuracy['value'])} of the radiographs{interval}."
    )


def sentences(m: Facts) -> list[str]:
    """State the results of each class as counts out of 100 images."""
    found = []
    for name in m["classes"]:
        hit, kept = (m["figures"].get(f"{kind}/{name}") for kind in ("sensitivity", "specificity"))
        parts = []
        if hit:
            parts.append(f"of 100 images of {name} it names {100 * hit['value']:.0f} as {name}")
        if kept:
            parts.append(f"of 100 images of the other classes it calls {100 * (1 - kept['value']):.0f} {name} wrongly")
        if parts:
            sentence = "; ".join(parts)
            found.append(sentence[0].upper() + sentence[1:] + ".")
    return found


def limitations(m: Facts) -> list[str]:
    """List what the figures do not show, as far as the run can tell."""
    found = [
        "It cannot diagnose, and no decision about a person may rest on it. No regulator has reviewed it.",
        answers_of(m),
        "It does not show where a disease is: a heat map is not a localisation.",
    ]
    found += [
        f"{100 * share:.0f} % of the {name} images come from one source ({source}): it may know {name} by the source "
        "alone."
        for name, (source, share) in one_source(m).items()
    ]
    if not external_test(m)[0]:
        found.append(f"Its performance in another hospital is not known: {external_test(m)[1]}.")
    return found


def one_source(m: Facts) -> dict[str, tuple[str, float]]:
    """Return classes of which 90 % of the tested images come from one source: the source and its share."""
    found: dict[str, tuple[str, float]] = {}
    if len(m["by_source"]) < 2:
        return found
    for name in m["classes"]:
        by = {source: row["labels"].get(name, 0) for source, row in m["by_source"].items()}
        total, source = sum(by.values()), max(by, key=lambda key: by[key])
        if total and by[source] / total >= ONE_SOURCE:
            found[name] = (source, by[source] / total)
    return found


def external_test(m: Facts) -> tuple[bool, str]:
    """Tell whether this was an external test, and why or why not."""
    trained, tested_on = set(m.get("trained_sources") or ()), set(m["by_source"])
    if not trained or not tested_on:
        return False, "the sources trained on or tested are not recorded"
    shared = sorted(trained & tested_on)
    if shared:
        return False, f"it was trained on images of the sources tested here ({', '.join(shared)})"
    if m["confounded"]:
        return False, "class and source are confounded in the images tested"
    return True, f"none of the sources tested ({', '.join(sorted(tested_on))}) was trained on"


def _f1(m: Facts) -> Card:
    figure = m["figures"]["macro_f1"]
    return Card("Macro-F1", decimal(figure["value"]), _interval(figure))


def _auroc(m: Facts) -> Card:
    figure = m["figures"].get("auroc_macro")
    title = "AUROC, mean over classes"
    if not figure:
        return Card(title, "not defined", "it takes images of at least two classes", word=True)
    return Card(title, decimal(figure["value"]), _interval(figure))


def _interval(figure: Facts) -> str:
    return f"95 % interval {span(figure)}" if span(figure) else "too few for an interval"


def _worst(m: Facts) -> Card:
    title, found = "Worst source, by accuracy", m["worst_source"]
    if not found:
        return Card(title, "not known", f"it takes two sources of {SMALLEST} images or more", word=True)
    ends = span(found, as_percent=True)
    about = f"{found['name']} ({ends})" if ends else found["name"]
    rest = ["", *filter(None, [without_figures(m["by_source"])])]
    text = f"{about}; mean of {found['groups']} sources {percent(found['mean'])}"
    return Card(title, percent(found["value"]), text + "; ".join(rest))


def _no_lung(m: Facts) -> Card:
    title = "Best no-lung baseline, macro-F1"
    if not m["baselines"]:
        return Card(title, "not measured", "run covid-xray baselines", word=True)
    best = m["baselines"]["best"]
    figure = best["figures"]["macro_f1"]
    beyond = m["figures"]["macro_f1"]["value"] - figure["value"]
    text = (
        f"At most the {beyond:+.3f} beyond it can come from the lungs."
        if beyond > 0
        else "The network is not better than that."
    )
    return Card(title, decimal(figure["value"]), f"{best['name']} ({span(figure)}): had without seeing a lung. {text}")


def _main(m: Facts) -> str:
    """State the main figure with its context."""
    f = m["figures"]
    words = [f"The main figure is the macro-F1 (the mean over the classes), {with_span(f['macro_f1'])}."]
    if worst_of_sources(m):
        words.append(worst_of_sources(m))
    audit = (m.get("run") or {}).get("audit")
    if audit:
        words.append(audit["verdict"]["line"])
    return " ".join(words)
