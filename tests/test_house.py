"""The rules of the house that no linter knows."""

import ast
from pathlib import Path

ROOT = Path(__file__).parent.parent
MODULES = sorted(path for path in (ROOT / "src").rglob("*.py") if path.name not in ("__init__.py", "__main__.py"))
# Modules whose behaviour a user meets through another one, whose test file is named here.
TESTED_ELSEWHERE = {
    "strokes": "test_phantom",
    "phantom_findings": "test_phantom",
    "console": "test_commands",
    "selection": "test_commands",
    "training": "test_commands",
    "answers": "test_commands",
    "data": "test_cli_data",
    "terminal": "test_predicting",
    "limits": "test_config",
    "evaluating": "test_commands",
    "finding": "test_predictor",
    "facts": "test_bundle",
    "bias_page": "test_clinical_bias",
    "outcomes_page": "test_outcomes",
    "outcome": "test_outcomes",
    "answered": "test_fuse",
    "fusion_network": "test_fusion",
    "fusing": "test_fuse",
    "clinical_study": "test_fuse",
    "clinical_page": "test_fuse",
    "clinical_report": "test_fuse",
    "fold_chart": "test_pooled",
    "fold_page": "test_pooled",
    "run": "test_train",
    "epochs": "test_train",
    "app": "test_openapi",
    "schemas": "test_openapi",
    "uploads": "test_api",
    "tables": "test_database",
    "env": "test_database",
    "v0001_first": "test_database",
    "v0002_pacs": "test_database",
    "sections": "test_report",
    "report_summary": "test_report",
    "report_results": "test_report",
    "report_about": "test_report",
    "markdown": "test_report",
    "checks": "test_checklist",
    "checks_of_trust": "test_checklist",
    "checklist_items": "test_checklist",
    "pdf_text": "test_pdf",
    "pdf_table": "test_pdf",
}


def test_every_module_has_its_test_file() -> None:
    tests = {path.stem for path in (ROOT / "tests").rglob("test_*.py")}
    missing = [
        str(path.relative_to(ROOT))
        for path in MODULES
        if TESTED_ELSEWHERE.get(path.stem, f"test_{path.stem}") not in tests
    ]
    assert not missing


def test_files_and_functions_stay_short() -> None:
    long = []
    for path in MODULES:
        text = path.read_text(encoding="utf-8")
        if text.count("\n") > 300:
            long.append(str(path.relative_to(ROOT)))
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno - node.lineno + 1 > 50:
                long.append(f"{path.name}: {node.name}")
    assert not long


def test_every_module_opens_with_what_comes_in_and_goes_out() -> None:
    assert not [path.name for path in MODULES if not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))]


def test_links_between_pages_lead_somewhere() -> None:
    broken = []
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        for part in page.read_text(encoding="utf-8").split("](")[1:]:
            target = part.split(")")[0].split("#")[0]
            if target and "://" not in target and not (page.parent / target).exists():
                broken.append(f"{page.relative_to(ROOT)}: {target}")
    assert not broken
