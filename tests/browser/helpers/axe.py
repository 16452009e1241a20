"""axe-core's rules for people with disabilities, run in a page."""

from __future__ import annotations

from importlib.resources import files

from playwright.sync_api import Page

RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


def violations(page: Page) -> list[str]:
    """Run axe-core; return what it finds, a line each."""
    page.evaluate(files("axe_playwright_python").joinpath("axe.min.js").read_text("utf-8"))
    found = page.evaluate(
        "(tags) => axe.run({ runOnly: { type: 'tag', values: tags } }).then((r) => r.violations)",
        RULES,
    )
    return [f"{v['id']} ({v['impact']}): {v['nodes'][0]['html'][:120]}" for v in found]
