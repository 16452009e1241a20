"""``--no-unexpected-skips``: a skip fails the run unless it is for want of the training data.

A check that quietly tests nothing is worse than a red one; only the data that is not part of the
repository may be missing.
"""

from __future__ import annotations

import pytest

ALLOWED = ("no training data",)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--no-unexpected-skips", action="store_true", help=__doc__)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    if not session.config.getoption("--no-unexpected-skips"):
        return
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = [] if reporter is None else reporter.stats.get("skipped", [])
    unexpected = [
        report for report in skipped if not any(word in str(report.longrepr) for word in ALLOWED)
    ]
    for report in unexpected:
        reporter.write_line(f"unexpected skip: {report.nodeid}: {report.longrepr}", red=True)
    if unexpected and exitstatus == 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
