"""Write the generated pages of docs/ anew; `--check` only says which of them are out of date."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from fields_page import fields_page
from sql_page import sql_page
from trainyard.settings import settings_table

DOCS = Path(__file__).resolve().parent.parent / "docs"


def settings_page() -> str:
    """docs/settings.md."""
    return (
        "# Settings\n\n"
        "Flags of `trainyard serve` win over environment variables, those over `settings.toml` in the data directory.\n"
        "An unknown name, or a value that cannot be meant, is refused with its place; nothing is skipped.\n"
        "This table is made from `src/trainyard/settings.py` by `make docs`.\n\n" + settings_table()
    )


PAGES: Mapping[str, Callable[[], str]] = {
    "fields.md": fields_page,
    "settings.md": settings_page,
    "sql.md": sql_page,
}


def main() -> int:
    """Write, or check, every page; 1 where a check found one out of date."""
    stale = []
    for name, make in PAGES.items():
        path, text = DOCS / name, make()
        if path.exists() and path.read_text("utf-8") == text:
            continue
        stale.append(name)
        if "--check" not in sys.argv:
            path.write_text(text, "utf-8")
            print(f"wrote docs/{name}")
    if "--check" in sys.argv and stale:
        print(f"out of date: {', '.join(stale)}; run: make docs")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
