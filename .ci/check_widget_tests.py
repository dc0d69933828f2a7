"""Fail unless the tests of the widgets really ran: a skipped one proves nothing."""

from __future__ import annotations

import sys
from xml.etree import ElementTree


def main(report: str) -> int:
    """Read a JUnit report; 0 where every test under tests/widgets ran, else 1."""
    cases = [
        case
        for case in ElementTree.parse(report).iter("testcase")
        if f"{case.get('classname', '')}.".startswith("tests.widgets.")
    ]
    skipped = [case for case in cases if case.find("skipped") is not None]
    for case in skipped:
        reason = case.find("skipped")
        print(f"skipped: {case.get('classname')}::{case.get('name')}: {reason is not None and reason.get('message')}")
    print(f"{len(cases)} tests of the widgets, {len(skipped)} skipped")
    return 0 if cases and not skipped else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
