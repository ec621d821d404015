"""A file to the gateway, followed to its end; what was rejected is saved to be corrected.

    pip install httpx
    JETON=fox_… python upload.py entreprises.csv ENTREPRISE [http://localhost:8080]

Sent again after a break, the same file is not imported twice: the gateway knows it by its content.
Exit codes are those of `foxstream import`.
"""

import os
import sys
import time
from pathlib import Path
from typing import Any

import httpx

CODES = {"SUCCESS": 0, "PARTIAL": 3, "ERROR": 4, "CANCELLED": 4}


def upload(client: httpx.Client, path: Path, import_type: str) -> str:
    """The id of the import: a new one, or the one that had the same content."""
    with path.open("rb") as file:
        answer = client.post(
            "/api/imports/upload/", data={"import_type": import_type}, files={"file": file}
        )
    if answer.status_code == 409 and answer.json()["code"] == "already-imported":
        return str(answer.json()["import_id"])
    raise_problem(answer)
    return str(answer.json()["id"])


def follow(client: httpx.Client, import_id: str) -> dict[str, Any]:
    """The state of the import when it has ended."""
    while True:
        answer = client.get(f"/api/imports/{import_id}/")
        raise_problem(answer)
        state: dict[str, Any] = answer.json()
        if state["status"] in CODES:
            return state
        time.sleep(float(answer.headers.get("Retry-After", "1")))


def save_errors(client: httpx.Client, import_id: str, path: Path) -> None:
    """The rejected lines, with what is wrong beside each."""
    answer = client.get(f"/api/imports/{import_id}/errors.xlsx")
    raise_problem(answer)
    path.write_bytes(answer.content)


def raise_problem(answer: httpx.Response) -> None:
    """Ends the program with what the gateway says, where it says that something is wrong."""
    if answer.is_error:
        problem = answer.json()
        sys.exit(f"{answer.status_code} {problem['code']}: {problem['detail']}")


def run(client: httpx.Client, path: Path, import_type: str) -> int:
    """The exit code."""
    import_id = upload(client, path, import_type)
    state = follow(client, import_id)
    print(f"{state['status']}: {state['success_rows']} of {state['total_rows']} rows")
    if state["error"]:
        print(state["error"]["message"])
    if state["rejected"]:
        report = path.with_suffix(".errors.xlsx")
        save_errors(client, import_id, report)
        print(f"{state['rejected']} to correct: {report}")
    return CODES[state["status"]]


if __name__ == "__main__":
    address = sys.argv[3] if len(sys.argv) > 3 else "http://localhost:8080"
    token = {"Authorization": f"Bearer {os.environ['JETON']}"}
    with httpx.Client(base_url=address, headers=token, timeout=60) as opened:
        sys.exit(run(opened, Path(sys.argv[1]), sys.argv[2]))
