"""What axe finds in a page."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from playwright.sync_api import Page


def script(modules: Path) -> str:
    """Give the script of axe, for `add_init_script`: so the policy of the page stays in force."""
    return (modules / "axe-core" / "axe.min.js").read_text()


def violations(page: Page, rules: Mapping[str, Any] | None = None) -> list[str]:
    """Run axe, and give each violation with the elements that have it."""
    found = page.evaluate("rules => axe.run(document, {rules, iframes: false})", dict(rules or {}))
    return [
        f"{one['id']}: {node['html'][:160]} {node['failureSummary']}"
        for one in found["violations"]
        for node in one["nodes"]
    ]
