"""No dictionary of anything crosses from one room to another, but for the documents that are listed here."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent / "src" / "covid_xray"
LOOSE = re.compile(r"(dict|Mapping|MutableMapping)\[str, Any\]")

# Functions and classes that still take, hold or return a dictionary, and why.
DOCUMENTS = "a JSON document on its way to the file that its command writes; its schema is checked when it is written"
STORED = "a part of bundle.json that is written or packed here; every reader takes it typed, from `Bundle.contents`"
ANSWER = "the JSON of an answer: columns of a row or of the database, defined by `docs/reference/files.md`"
ALLOWED = {
    **dict.fromkeys(
        ["evaluation.measure.measure",
         "evaluation.schema_base.require_schema", "evaluation.model_comparison.compare", "evaluation.calibrate.fit",
         "evaluation.audit.audit.Plan", "evaluation.report.charts.charts", "evaluation.report.sections.format_interval",
         "evaluation.clinical.added_value.measure_added_value",
         "evaluation.clinical.bias.measure_bias", "evaluation.clinical.outcomes.measure_outcomes",
         "evaluation.clinical.clinical_page.clinical_page", "evaluation.clinical.clinical_page.missingness_warning",
         "evaluation.clinical.clinical_page.outcomes_page", "evaluation.clinical.clinical_page.summary_sentences",
         "evaluation.study.Study", "evaluation.study.run_study", "evaluation.study.without_trained",
         "evaluation.report.claims.without_figures", "evaluation.metrics.guessing.guessing_of",
         "evaluation.model_comparison.read_unseen",
         "evaluation.trained_images.kept_sentence", "evaluation.trained_images.leave_out_trained",
         "evaluation.trained_images.left_out_sentence",
         "cluster.tune.search", "training.clinical.clinical_report.write_study", "training.clinical.fuse.fuse",
         "training.crossval.crossval.crossval", "training.onnx.quantise.add_int8", "training.train_lungs.train_lungs"],
        DOCUMENTS,
    ),
    **dict.fromkeys(
        ["bundle.trained.Trained", "bundle.bundle.Bundle", "bundle.bundle.identity_of", "bundle.bundle.read_facts",
         "bundle.bundle.unsealed", "bundle.bundle.write_bundle", "bundle.lung_network.LungNetwork",
         "evaluation.gate.fit.describe_gate",
         "evaluation.gate.fit.store_gate", "inference.gate.Gate", "inference.gate.open_gate", "inference.gate.packed",
         "inference.gate.unpacked", "inference.selftest.references", "inference.view.Viewer", "training.epochs.Run",
         "evaluation.site.commission.Commissioning", "evaluation.site.reference.store_reference",
         "inference.site.correction.healthy_class", "inference.site.site_file.Site",
         "inference.site.site_file.correction_facts", "inference.site.site_file.make_site"],
        STORED,
    ),
    **dict.fromkeys(
        ["inference.finding.Finding", "inference.finding.ModelIdentity", "inference.networks.fastest.describe",
         "store.drift.monitor.Status", "inference.io.joint_rows.joint_as_dict", "inference.io.results.as_dict",
         "store.database.insert_once", "store.records.Study", "store.store.Store"],
        ANSWER,
    ),
}  # fmt: skip


class Module:
    """One module: its public functions and classes, and its type aliases as they are written."""

    def __init__(self, path: Path) -> None:
        self.tree = ast.parse(path.read_text(encoding="utf-8"))
        self.name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        self.room = self.name.partition(".")[0]
        body = self.tree.body
        self.defined = {n.name: n for n in body if isinstance(n, ast.FunctionDef | ast.ClassDef)}
        self.aliases = {
            n.targets[0].id: ast.unparse(n.value)
            for n in body
            if isinstance(n, ast.Assign) and isinstance(n.targets[0], ast.Name)
        }
        self.imported = {
            alias.asname or alias.name: ((n.module or "").removeprefix("covid_xray."), alias.name)
            for n in ast.walk(self.tree)
            if isinstance(n, ast.ImportFrom)
            for alias in n.names
        }


MODULES = {module.name: module for module in map(Module, sorted(ROOT.rglob("*.py")))}


def annotations(node: ast.FunctionDef | ast.ClassDef) -> Iterator[str]:
    """Yield the annotations of what a function takes and returns, or of what a class holds in public."""
    if isinstance(node, ast.ClassDef):
        for part in node.body:
            name = getattr(part, "name", "") or ast.unparse(getattr(part, "target", ast.Constant("_")))
            if isinstance(part, ast.AnnAssign) and not name.startswith("_"):
                yield ast.unparse(part.annotation)
            elif isinstance(part, ast.FunctionDef) and not name.startswith("_"):
                yield from annotations(part)
        return
    arguments = node.args
    for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
        if argument.annotation:
            yield ast.unparse(argument.annotation)
    if node.returns:
        yield ast.unparse(node.returns)


def spelled_out(text: str, module: Module) -> str:
    """Replace the type aliases in an annotation by what they stand for."""
    for name in set(re.findall(r"\b[A-Z]\w*", text)):
        home, original = module.imported.get(name, (module.name, name))
        meaning = MODULES[home].aliases.get(original) if home in MODULES else None
        if meaning and LOOSE.search(meaning):
            text = re.sub(rf"\b{name}\b", meaning, text)
    return text


def crossing() -> dict[str, set[str]]:
    """Return the functions and classes that another room uses, with the rooms that use them."""
    users = defaultdict(set)
    for module in MODULES.values():
        for alias, (home, name) in module.imported.items():
            if home in MODULES and name in MODULES[home].defined and MODULES[home].room != module.room:
                users[f"{home}.{name}"].add(module.room)
            inner = MODULES.get(f"{home}.{name}")
            if inner and inner.room != module.room:
                for node in ast.walk(module.tree):
                    of_alias = isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
                    if of_alias and node.value.id == alias and node.attr in inner.defined:
                        users[f"{inner.name}.{node.attr}"].add(module.room)
    return users


def test_what_crosses_a_room_has_types() -> None:
    loose = set()
    for place in crossing():
        home, _, name = place.rpartition(".")
        module = MODULES[home]
        if any(LOOSE.search(spelled_out(text, module)) for text in annotations(module.defined[name])):
            loose.add(place)
    assert sorted(loose - set(ALLOWED)) == [], "give these types of their own"
    assert sorted(set(ALLOWED) - loose) == [], "these are typed now: take them off the list"
