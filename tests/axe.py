"""What axe-core finds wrong on a page, for those who cannot see, point or tell colours apart."""

from axe_playwright_python.sync_playwright import Axe

_ENGINE = Axe()
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


def violations(page, **run_only):
    """Return each violation of the rules as its name and the element; `type` and `values` limit it.

    The engine is put into a page once, which costs as much as to run it.
    """
    if not page.evaluate("'axe' in window"):
        page.evaluate(_ENGINE.axe_script)
    options = {"resultTypes": ["violations"]} | ({"runOnly": run_only} if run_only else {})
    found = page.evaluate("options => axe.run(options)", options)["violations"]
    return [(one["id"], node["html"][:200]) for one in found for node in one["nodes"]]
