"""Write docs/reference/cli.md from the commands; with --check, fail when the page is out of date."""

import sys
from pathlib import Path

import typer.main

from covid_xray.cli import app

PAGE = Path(__file__).parent.parent / "docs" / "reference" / "cli.md"
HEAD = """# Commands

Generated from the commands by `make docs`; do not edit.

Exit codes: 0 ok, 2 usage, 3 input refused, 4 partly done (some items failed, each named), 1 anything else.
Progress goes to standard error, results to standard output.
"""


def page() -> str:
    group = typer.main.get_command(app)
    context = typer.Context(group, info_name="covid-xray")
    return HEAD + "\n" + "\n".join(section(name, command) for name, command in commands(group, context))


def commands(group, context, before: str = ""):
    """Yield name and command of all commands, including those of groups (`user add`)."""
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if hasattr(command, "list_commands"):
            yield from commands(command, context, before=f"{before}{name} ")
        else:
            yield f"{before}{name}", command


def section(name: str, command) -> str:
    lines = [
        f"## covid-xray {name}\n",
        (command.help or "").strip() + "\n",
        "| option | meaning | default |",
        "|---|---|---|",
    ]
    lines += [row(parameter) for parameter in command.params if parameter.name != "help"]
    return "\n".join(lines) + "\n"


def row(parameter) -> str:
    argument = parameter.param_type_name == "argument"
    name = parameter.name.upper() if argument else ", ".join(f"`{option}`" for option in parameter.opts)
    default = parameter.default
    if parameter.required:
        shown = "required"
    else:
        shown = "" if default is None or default is False or callable(default) or default == [] else f"`{default}`"
    return f"| {name} | {(parameter.help or '').strip()} | {shown} |"


def main() -> int:
    if "--check" not in sys.argv:
        PAGE.parent.mkdir(parents=True, exist_ok=True)
        PAGE.write_text(page(), encoding="utf-8")
        return 0
    if not PAGE.is_file() or PAGE.read_text(encoding="utf-8") != page():
        print(f"{PAGE.name} is older than the commands. Run `make docs`.")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
