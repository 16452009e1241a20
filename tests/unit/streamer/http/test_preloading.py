"""The page of a call asks for all of its modules at once, not for one import after another."""

from __future__ import annotations

import re

from visavis.web import STATIC_DIR

IMPORT = re.compile(r'^(?:import|export)\b[^;]*?"(\.[^"]+)"', re.MULTILINE)
PRELOAD = re.compile(r'<link rel="modulepreload" href="\.\./static/([^"]+)">')


def test_every_module_of_the_call_is_named_in_its_page() -> None:
    static = STATIC_DIR.resolve()
    entry = static / "call" / "main.js"
    found, waiting = {entry}, [entry]
    while waiting:
        module = waiting.pop()
        for name in IMPORT.findall(module.read_text("utf-8")):
            other = (module.parent / name).resolve()
            if other not in found:
                found.add(other)
                waiting.append(other)
    named = PRELOAD.findall((static / "call" / "index.html").read_text("utf-8"))
    needed = {str(module.relative_to(static)) for module in found - {entry}}
    assert len(named) == len(set(named)) > 10 and set(named) == needed
