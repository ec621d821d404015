"""docs/examples/upload.py, as a program of somebody else would use it, against a gateway made of replies."""

import importlib.util
from pathlib import Path
from typing import Any

import httpx
import pytest

FILE = Path(__file__).parents[2] / "docs" / "examples" / "upload.py"
ID = "0b5c9d0e-5b1a-5c61-8f0d-0d8d1c1b7a01"


def example() -> Any:
    spec = importlib.util.spec_from_file_location("upload_example", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def client(replies: list[httpx.Response], asked: list[httpx.Request]) -> httpx.Client:
    def answer(request: httpx.Request) -> httpx.Response:
        request.read()
        asked.append(request)
        return replies[len(asked) - 1]

    return httpx.Client(transport=httpx.MockTransport(answer), base_url="http://gateway")


def state(status: str, **counts: int) -> httpx.Response:
    document = {"status": status, "total_rows": 3, "success_rows": 3, "rejected": 0, "error": None}
    return httpx.Response(200, json={**document, **counts}, headers={"Retry-After": "0"})


def test_a_file_is_followed_to_its_end_and_its_errors_saved(tmp_path: Path) -> None:
    """The type goes with the file, waiting is asked for by the gateway, and PARTIAL is 3."""
    path = tmp_path / "entreprises.csv"
    path.write_text("siren;nom\n", encoding="utf-8")
    asked: list[httpx.Request] = []
    replies = [
        httpx.Response(202, json={"id": ID, "message": "", "status": "PENDING"}),
        state("PROCESSING"),
        state("PARTIAL", success_rows=2, rejected=1),
        httpx.Response(200, content=b"workbook"),
    ]

    assert example().run(client(replies, asked), path, "ENTREPRISE") == 3
    assert [f"{request.method} {request.url.path}" for request in asked] == [
        "POST /api/imports/upload/",
        f"GET /api/imports/{ID}/",
        f"GET /api/imports/{ID}/",
        f"GET /api/imports/{ID}/errors.xlsx",
    ]
    assert b"ENTREPRISE" in asked[0].content
    assert b"siren;nom" in asked[0].content
    assert (tmp_path / "entreprises.errors.xlsx").read_bytes() == b"workbook"


def test_the_same_file_again_is_the_known_import(tmp_path: Path) -> None:
    """409 already-imported names it."""
    path = tmp_path / "villes.csv"
    path.write_text("Villes\n", encoding="utf-8")
    known = {"code": "already-imported", "detail": "", "import_id": ID}
    asked: list[httpx.Request] = []
    replies = [httpx.Response(409, json=known), state("SUCCESS")]

    assert example().run(client(replies, asked), path, "VILLE") == 0
    assert asked[1].url.path == f"/api/imports/{ID}/"


def test_a_refusal_ends_the_program_with_its_reason(tmp_path: Path) -> None:
    """The code for the program, the sentence for the person."""
    path = tmp_path / "x.pdf"
    path.write_bytes(b"%PDF")
    problem = {
        "code": "unsupported-media-type",
        "detail": "Un fichier .pdf ne peut pas être importé.",
    }

    with pytest.raises(SystemExit, match=r"415 unsupported-media-type: Un fichier \.pdf"):
        example().run(client([httpx.Response(415, json=problem)], []), path, "VILLE")
