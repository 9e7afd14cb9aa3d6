"""Test mode: runs pytest in the working directory and prints the results as one JSON object."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time

# The last bytes of pytest's output that are reported if pytest could not run at all.
MAX_DETAIL_BYTES = 64 * 1024


class Results:
    """A plugin of pytest that records the result of each test.

    Setup, call and teardown of a test have one result together.
    """

    def __init__(self) -> None:
        self._testcases: dict[str, dict] = {}

    @property
    def testcases(self) -> list[dict]:
        return list(self._testcases.values())

    def count(self, outcome: str) -> int:
        return sum(testcase["outcome"] == outcome for testcase in self._testcases.values())

    def add(self, nodeid: str, outcome: str, seconds: float, message: str = "", detail: str = "") -> None:
        filename, _, name = nodeid.partition("::")
        testcase = self._testcases.setdefault(
            nodeid, {"filename": filename, "name": name or filename, "time_taken": 0.0, "outcome": "passed"}
        )
        testcase["time_taken"] = round(testcase["time_taken"] + seconds, 6)
        if outcome != "passed" and testcase["outcome"] != "failed":
            testcase["outcome"] = outcome
        if outcome == "failed":
            testcase.setdefault("error_message", message)
            testcase.setdefault("error_detail", detail)

    def add_report(self, report, seconds: float) -> None:
        detail = report.longreprtext
        crash = getattr(report.longrepr, "reprcrash", None)
        # If a file cannot be imported, the report is only text. Its last line is the error after
        # the mark "E".
        last_line = (detail.rstrip().splitlines() or [""])[-1]
        message = crash.message if crash else last_line.removeprefix("E").strip()
        self.add(report.nodeid or "collection", report.outcome, seconds, message, detail)

    def pytest_runtest_logreport(self, report) -> None:
        self.add_report(report, report.duration)

    def pytest_collectreport(self, report) -> None:
        if report.failed:
            self.add_report(report, 0.0)


def main() -> int:
    """Runs the tests. Returns 0 if all have passed, otherwise 1."""
    try:
        import pytest
    except ImportError:
        print("pytest is not installed. Install it with: apt-get install python3-pytest", file=sys.stderr)
        return 1
    started = time.monotonic()
    results = Results()
    # The tests and pytest may print, but standard output must contain only the results.
    with os.fdopen(os.dup(1), "w") as stdout, tempfile.TemporaryFile() as output:
        for descriptor in (1, 2):
            os.dup2(output.fileno(), descriptor)
        options = ["-q", "-p", "no:cacheprovider", "--no-header", "--color=no"]
        status = pytest.main(options, plugins=[results])
        if status > pytest.ExitCode.TESTS_FAILED and status != pytest.ExitCode.NO_TESTS_COLLECTED:
            if results.count("failed") == 0:  # e.g. a conftest.py with a syntax error
                sys.stdout.flush()
                output.seek(max(0, output.tell() - MAX_DETAIL_BYTES))
                detail = output.read().decode(errors="replace")
                results.add("pytest", "failed", 0.0, f"pytest ended with status {int(status)}", detail)
        is_passed = status == pytest.ExitCode.OK
        stats = {
            "tests": len(results.testcases),
            "passed": results.count("passed"),
            "failed": results.count("failed"),
            "time_taken": round(time.monotonic() - started, 6),
        }
        outcome = "passed" if is_passed else "failed"
        json.dump({"outcome": outcome, "testcases": results.testcases, "stats": stats}, stdout)
        stdout.write("\n")
    return 0 if is_passed else 1


if __name__ == "__main__":
    sys.path[0] = os.getcwd()
    sys.exit(main())
