"""What pip-audit did not look up counts as a failure, and so does what it found."""

from typing import Any

import pytest

from deploy.audit import SKIPPED, VULNERABLE, judged

SOUND = {"name": "a", "version": "1", "vulns": []}
BAD = {"name": "b", "version": "2", "vulns": [{"id": "CVE-1", "fix_versions": ["2.1"]}]}
UNKNOWN = {
    "name": "c",
    "skip_reason": "Dependency not found on PyPI and could not be audited: c (3)",
}


@pytest.mark.parametrize(
    ("packages", "code", "lines"),
    [
        ([SOUND], 0, []),
        ([SOUND, BAD], VULNERABLE, ["b 2: CVE-1, fixed in 2.1"]),
        ([SOUND, UNKNOWN], SKIPPED, [f"c: {UNKNOWN['skip_reason']}"]),
        ([BAD, UNKNOWN], VULNERABLE, ["b 2: CVE-1, fixed in 2.1", f"c: {UNKNOWN['skip_reason']}"]),
        ([], SKIPPED, ["no package was looked up"]),
    ],
)
def test_an_audit(packages: list[dict[str, Any]], code: int, lines: list[str]) -> None:
    assert judged({"dependencies": packages, "fixes": []}) == (code, lines)
