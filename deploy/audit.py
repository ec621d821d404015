"""Known vulnerabilities of the packages of the image, by pip-audit: `make audit`.

pip-audit skips a package that its source does not know and still succeeds. Here that is a failure:
nothing is known of the package.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from schemas.runtime.terminal import say

LOCK = Path(__file__).parent / "docker" / "requirements.lock"
VULNERABLE, SKIPPED = 1, 2


def judged(answer: dict[str, Any]) -> tuple[int, list[str]]:
    """The exit code for what pip-audit found, and a line for each package that is to blame."""
    vulnerable = list(_vulnerable(answer["dependencies"]))
    skipped = [
        f"{one['name']}: {one['skip_reason']}"
        for one in answer["dependencies"]
        if "skip_reason" in one
    ]
    if vulnerable:
        return VULNERABLE, vulnerable + skipped
    if skipped or not answer["dependencies"]:
        return SKIPPED, skipped or ["no package was looked up"]
    return 0, []


def _vulnerable(packages: list[dict[str, Any]]) -> Iterator[str]:
    for package in packages:
        for found in package.get("vulns", ()):
            fixed = ", ".join(found["fix_versions"]) or "no version"
            yield f"{package['name']} {package['version']}: {found['id']}, fixed in {fixed}"


def main() -> int:
    """Looks up every package of the lock."""
    command = [
        sys.executable,
        "-m",
        "pip_audit",
        "--require-hashes",
        "--disable-pip",
        "--progress-spinner=off",
    ]
    done = subprocess.run(  # noqa: S603 # nosec B603 # our own words, no shell
        [*command, "--format=json", "--requirement", str(LOCK)],
        capture_output=True,
        text=True,
        check=False,
    )
    if not done.stdout:
        say(*done.stderr.splitlines(), err=True)
        return SKIPPED
    code, lines = judged(json.loads(done.stdout))
    say(*lines, err=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
