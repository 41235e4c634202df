"""The rules of the house that no linter knows."""

import ast
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parent.parent
MODULES = sorted(path for path in (ROOT / "src").rglob("*.py") if path.name not in ("__init__.py", "__main__.py"))
PACKAGE, TESTS = ROOT / "src" / "covid_xray", ROOT / "tests"
MOST_MODULES = 20  # in one folder, not counting __init__.py
# Modules that a user meets through another one, whose test file is named here.
TESTED_ELSEWHERE = {
    "cli/console.py": "cli/test_commands.py",
    "serving/pages/admin_pages.py": "browser/test_admin_pages.py",
    "serving/pages/pages.py": "browser/test_pages.py",
    "serving/pages/study_pages.py": "browser/test_study_pages.py",
    "serving/pages/worklist_pages.py": "browser/test_worklist_pages.py",
    "store/migrations/versions/v0001_first.py": "store/test_database.py",
    "store/migrations/versions/v0002_pacs.py": "store/test_database.py",
    "store/migrations/versions/v0003_drift.py": "store/test_tables.py",
    "store/migrations/versions/v0004_pacs_operation.py": "store/test_tables.py",
    "store/migrations/versions/v0005_security.py": "store/migrations/test_env.py",
    "store/migrations/versions/v0006_reading.py": "store/test_tables.py",
    "store/migrations/versions/v0007_webhooks.py": "store/test_tables.py",
    "store/migrations/versions/v0008_worklist.py": "store/test_worklist.py",
}


def test_every_module_has_its_test_file_at_the_same_path() -> None:
    modules = [path.relative_to(PACKAGE) for path in MODULES]
    expected = {str(module): str(module.with_name(f"test_{module.name}")) for module in modules} | TESTED_ELSEWHERE
    assert not [f"{module}: tests/{test}" for module, test in expected.items() if not (TESTS / test).is_file()]


def test_no_excuse_is_left_for_a_module_that_has_its_test_file_or_is_gone() -> None:
    for module in map(Path, TESTED_ELSEWHERE):
        assert (PACKAGE / module).is_file(), module
        assert not (TESTS / module.with_name(f"test_{module.name}")).is_file(), module


def test_no_folder_holds_more_modules_than_one_takes_in_at_a_look() -> None:
    count = Counter(str(path.parent.relative_to(PACKAGE)) for path in MODULES)
    assert not {folder: n for folder, n in count.items() if n > MOST_MODULES}


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
