"""Test mode: runs pytest on the working directory and prints one JSON object of results, and nothing else."""

import json
import os
import sys
import time


class Recorder:
    """A plugin that writes down how each test ended."""

    def __init__(self):
        self.testcases = []

    def add(self, nodeid, outcome, seconds, report=None):
        filename, _, name = nodeid.partition("::")
        testcase = {
            "filename": filename,
            "name": name or filename,
            "time_taken": round(seconds, 6),
            "outcome": outcome,
        }
        if report is not None and outcome == "failed":
            detail = report.longreprtext
            crash = getattr(report.longrepr, "reprcrash", None)
            lines = [line for line in detail.splitlines() if line.strip()]
            testcase["error_message"] = crash.message if crash else (lines[-1] if lines else "")
            testcase["error_detail"] = detail
        self.testcases.append(testcase)

    def pytest_runtest_logreport(self, report):
        # A test is its call; setup and teardown count only where they fail, setup also where it skips.
        if report.when == "call" or report.failed or (report.when == "setup" and report.skipped):
            self.add(report.nodeid, report.outcome, report.duration, report)

    def pytest_collectreport(self, report):
        if report.failed:
            self.add(report.nodeid or "collection", "failed", 0.0, report)


def main():
    began = time.monotonic()
    recorder = Recorder()
    # The tests and pytest itself may print; standard output is for the results alone.
    results = os.fdopen(os.dup(1), "w")
    silence = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):
        os.dup2(silence, descriptor)
    import pytest

    code = pytest.main(["-q", "-p", "no:cacheprovider", "--color=no"], plugins=[recorder])
    failed = sum(testcase["outcome"] == "failed" for testcase in recorder.testcases)
    passed = sum(testcase["outcome"] == "passed" for testcase in recorder.testcases)
    is_passed = failed == 0 and code == 0
    outcome = "passed" if is_passed else "failed"
    stats = {
        "tests": len(recorder.testcases),
        "passed": passed,
        "failed": failed,
        "time_taken": round(time.monotonic() - began, 6),
    }
    json.dump({"outcome": outcome, "testcases": recorder.testcases, "stats": stats}, results)
    results.write("\n")
    results.close()
    return 0 if is_passed else 1


if __name__ == "__main__":
    sys.path.insert(0, os.getcwd())
    sys.exit(main())
