"""Format the results of init_curve.py as a Markdown page and a chart."""

import itertools
from pathlib import Path

import numpy as np

from benchmarks._support.results import markdown_table

STARTS = {"shipped": "#1b6ca8", "imagenet": "#d98200", "nothing": "#7a7a7a"}  # and colours
WITHOUT_HOSPITAL = "#8e3b8a"
RECIPES = {"head": "-", "probe": "--", "all": ":"}  # and lines
UNKNOWN = (
    "**The counts of the bundle's training part differ from those of `scripts/curate_cxr.py`, so an image used here "
    "may have been in it.**"
)
COMPARED = [f"shipped, {r} - {other}, {r}" for r in RECIPES for other in ("imagenet", "nothing")]
COMPARED += ["shipped, head - imagenet, probe", "without hospital, head - imagenet, head"]
COMPARED += ["without hospital, head - imagenet, probe"]
NAMES = {
    "shipped": "shipped bundle",
    "imagenet": "ImageNet",
    "nothing": "random weights",
    "without hospital": "shipped recipe without this hospital",
}


def table_of(result: dict) -> str:
    """Format the results of one task: every network, then the differences."""
    rows = []
    for size, found in result["sizes"].items():
        plain = [name for name in found if " - " not in name]
        for name, sign in [*((name, "") for name in plain), *((name, "+") for name in COMPARED)]:
            if name in found:
                cells = [_figure(found[name][key], sign) for key in ("auroc", "macro_f1")]
                rows.append((size, f"**{name}**" if sign else name, *cells))
    return markdown_table(("images", "start, what was trained", "AUROC", "macro-F1"), rows)


def _figure(facts: dict, sign: str) -> str:
    return f"{facts['value']:{sign}.3f} ({facts['ci_low']:{sign}.3f} to {facts['ci_high']:{sign}.3f})"


def chart(results: dict[str, dict], path: Path) -> None:
    """Draw the learning curves, one panel for each task."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, len(results), figsize=(6.4 * len(results), 5.6), squeeze=False)
    for axis, (name, result) in zip(axes[0], results.items(), strict=True):
        _panel(axis, name, result)
    figure.tight_layout()
    figure.savefig(path, dpi=130)


def _panel(axis, name: str, result: dict) -> None:
    sizes = list(result["sizes"])
    colours = {**STARTS, "without hospital": WITHOUT_HOSPITAL}
    for number, (recipe, start) in enumerate(itertools.product(RECIPES, colours)):
        points = [result["sizes"][size].get(f"{start}, {recipe}") for size in sizes]
        if not all(points):
            continue
        value, low, high = (np.array([p["macro_f1"][k] for p in points]) for k in ("value", "ci_low", "ci_high"))
        style = {"color": colours[start], "linestyle": RECIPES[recipe], "capsize": 3}
        x = np.array(sizes, float) * (
            1 + 0.012 * (number - 4)
        )  # side by side, so that intervals do not cover each other
        axis.errorbar(x, value, yerr=[value - low, high - value], label=f"{NAMES[start]}, {recipe}", **style)
    for start, colour in colours.items():
        as_is = result["sizes"][sizes[0]].get(f"{start}, as it is")
        if as_is:
            axis.axhline(as_is["macro_f1"]["value"], color=colour, linewidth=0.8, label=f"{NAMES[start]}, as it is")
    axis.set(xscale="log", xticks=[int(size) for size in sizes], xticklabels=sizes, xlabel="training images")
    axis.set(ylabel="macro-F1 (95 % interval)", title=f"{name}: {', '.join(result['classes'])}")
    axis.minorticks_off()
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(fontsize=7, frameon=False, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.16))


def page_of(facts: dict) -> str:
    """Format the text, the chart and a table for each task."""
    parts = [_about(facts), "![learning curves](init-curve.png)"]
    for name, result in facts["tasks"].items():
        head = "taken from the bundle" if result["head_known"] else "new"
        parts += [
            f"## {name}",
            f"{result['why']}. Test: {_counts(result['test'])}, {result['people']} people or radiographs; training "
            f"images drawn from {_counts(result['pool'])}. Head: {head}.",
            table_of(result),
        ]
    return "\n\n".join(parts)


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {label}" for label, count in counts.items())


def _about(facts: dict) -> str:
    bundle, how = facts["bundle"], facts["recipe"]
    frozen = bundle["trained"]["epochs"] == 0 and bundle["trained"]["weights"] == "imagenet"
    lines = [
        f"Three starts: the shipped bundle ({bundle['name']} {bundle['version']}), ImageNet, and random weights",
        f"(`nothing`). Pictures ({bundle['view']}), draws and recipe are the same for all three.",
        "The bundle's layers below the head are ImageNet's, stored in 16 bits: the first two differ by the head only."
        if frozen
        else "",
        "",
        f"- `head`: the head alone, {how['epochs']} epochs of Adam, learning rate {how['learning_rate']} with a cosine",
        f"  schedule, batches of {how['batch_size']}, dropout {how['dropout']}, class weights, no augmentation, as",
        "  `train_from=probabilities` does, written in numpy on embeddings that are computed once. It starts from the",
        "  bundle's head where the bundle knows the classes, so its gain over ImageNet is that of an existing head;",
        "  `shipped, head - imagenet, probe` compares it with the better recipe for a new head.",
        f"- `probe`: the head by logistic regression, `probe={how['probe']}`.",
        "- `without hospital`: the shipped recipe with its head fitted without the task's hospital, as if the network",
        "  did not know that hospital.",
        f"- `all`: every layer by our training loop, AdamW at 1e-4 (random weights 1e-3), draws of "
        f"{' and '.join(facts['all_tasks'])}: {facts['all_seeds']}.\n  From random weights it stays at chance: at most "
        "240 steps are too few for fifty layers."
        if facts["all_seeds"]
        else '- Training every layer (`--all-seeds`) was not run here, so "nothing" is a head on random layers.',
        "",
        f"Means over {facts['seeds']} draws. The 95 % intervals resample test people and draws together,",
        f"{facts['rounds']:,} rounds. No person of the bundle's training part is in the pools or the test parts. For",
        "classes that the bundle knows, the test images come from its own test part, which was used for no choice.",
        "" if bundle["training_part_known"] else UNKNOWN,
    ]
    return "\n".join(lines).replace("\n\n\n", "\n\n").strip()
