"""The gateway's API on the real stack: uploads, states, errors, access."""

import hashlib
import json
import socket
import threading
from collections.abc import Callable
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pytest
from openpyxl import Workbook, load_workbook

from schemas.import_types import IMPORT_TYPES
from tests.fix_gateway import Served, companies
from tests.fix_stack import eventually

IMPORTS = "/api/imports/"


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The document of a problem, once it is the one expected."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    document: dict[str, Any] = answer.json()
    assert (answer.status_code, document["status"], document["code"]) == (status, status, code)
    assert {"type", "title", "detail", "instance", "errors"} <= set(document)
    return document


def test_a_file_from_upload_to_its_errors(gateway: Callable[..., Served]) -> None:
    """202 with a Location that answers at once; then the counts, the errors as three files, statistics."""
    served = gateway()
    content = companies(1, 1000, faulty=3)
    with served.client() as client:
        before = served.upload("sociétés.csv", content, generate_ai_content="true")
        assert before.status_code == 202
        location = before.headers["location"]
        assert location == f"{IMPORTS}{before.json()['id']}/"
        first = client.get(location)
        assert (first.status_code, first.json()["status"]) == (200, "PENDING")
        assert first.headers["retry-after"] == "1"

        served.site.worker()
        state = served.ended(before.json()["id"])

        assert (state["status"], state["inserted"], state["rejected"]) == ("PARTIAL", 1000, 3)
        assert (state["file_name"], state["uploaded_by"]) == ("sociétés.csv", "tests")
        assert state["file_sha256"] == hashlib.sha256(content).hexdigest()
        assert state["generate_ai_content"] is True
        assert served.site.query("SELECT count(*) FROM enterprise_entreprise") == [(1000,)]

        again = client.get(location)
        assert "retry-after" not in again.headers
        tag = {"If-None-Match": again.headers["etag"]}
        assert client.get(location, headers=tag).status_code == 304

        listed = client.get(IMPORTS).json()
        assert (listed["count"], listed["next"], listed["previous"]) == (1, None, None)
        assert listed["results"] == [again.json()]
        assert "errors" not in listed["results"][0]
        assert client.get(f"{IMPORTS}stats/").json() == {
            "total_imports": 1,
            "by_status": {
                **dict.fromkeys(("PENDING", "PROCESSING", "PAUSED", "SUCCESS"), 0),
                "PARTIAL": 1,
                "ERROR": 0,
                "CANCELLED": 0,
            },
            "by_type": {**dict.fromkeys(IMPORT_TYPES, 0), "ENTREPRISE": 1},
            "total_rows_processed": 1003,
            "total_success_rows": 1000,
            "total_error_rows": 3,
            "average_success_rate": 99.7,
        }
        check_errors(client, location)


def check_errors(client: httpx.Client, location: str) -> None:
    lines = [1002, 1003, 1004]
    table = client.get(f"{location}errors.csv")
    assert table.content.startswith('\ufeff"siren";"nom";"code_postal";"_line"'.encode())
    assert table.headers["content-disposition"].startswith("attachment")
    assert [int(line.split(";")[3].strip('"')) for line in table.text.splitlines()[1:]] == lines
    book = load_workbook(BytesIO(client.get(f"{location}errors.xlsx").content))
    assert [row[0] for row in book.worksheets[0].iter_rows(2, values_only=True)] == ["12345"] * 3
    documents = client.get(f"{location}errors.jsonl").text.splitlines()
    assert [int(json.loads(line)["_line"]) for line in documents] == lines
    found = client.get(f"{location}errors/").json()
    assert found["by_code"] == {"malformed": 3}
    assert [error["line"] for error in found["first"]] == lines


def test_a_file_that_cannot_be_read_ends_as_error(served: Served) -> None:
    """The import that was promised says why; the repaired file is a new one, and so is the same file again."""
    first = served.upload("a.csv", b"foo;bar\n1;2\n").json()["id"]
    state = served.ended(first)

    assert (state["status"], state["error"]["code"]) == ("ERROR", "unknown-columns")
    again = served.upload("a.csv", b"foo;bar\n1;2\n")
    assert again.status_code == 202
    assert again.json()["id"] != first


def test_too_many_rows(gateway: Callable[..., Served]) -> None:
    """More rows than allowed end an upload with none of them written, and are a 422 of a preview."""
    served = gateway(FOX_GATEWAY_MAX_ROWS="100")
    served.site.worker()

    state = served.ended(served.upload("a.csv", companies(1, 101)).json()["id"])
    fits = served.ended(served.upload("b.csv", companies(200, 100)).json()["id"])

    assert (state["status"], state["error"]["code"]) == ("ERROR", "too-many-rows")
    assert fits["status"] == "SUCCESS"
    assert served.site.query("SELECT count(*) FROM enterprise_entreprise") == [(100,)]
    with served.client() as client:
        answer = client.post(f"{IMPORTS}preview/", files={"file": ("a.csv", companies(1, 101))})
    problem(answer, 422, "too-many-rows")


def test_uploads_that_are_refused_at_once(gateway: Callable[..., Served]) -> None:
    """Size, name, announced type, content and fields: each has its status, and nothing stays."""
    served = gateway(FOX_GATEWAY_MAX_FILE_BYTES="20000")
    book = BytesIO()
    Workbook().save(book)
    good = companies(1, 5)

    problem(served.upload("a.csv", b"x" * 20_001), 413, "too-large")
    problem(served.upload("a.csv", b"x" * 3_000_000), 413, "too-large")
    problem(served.upload("a.pdf", good), 415, "unsupported-media-type")
    problem(served.upload("a.csv", book.getvalue()), 415, "unsupported-media-type")
    problem(served.upload("a.xlsx", good), 415, "unsupported-media-type")
    problem(served.upload("a.csv", b"%PDF-1.7 ..."), 415, "unsupported-media-type")
    problem(served.upload("a.csv", b""), 422, "empty-file")
    wrong = problem(
        served.upload("a.csv", good, "PLANETE", policy="guess", columns="["), 422, "invalid-form"
    )
    assert {error["field"] for error in wrong["errors"]} == {"import_type", "policy", "columns"}
    with served.client() as client:
        image = {"file": ("a.csv", good, "image/png")}
        answer = client.post(f"{IMPORTS}upload/", data={"import_type": "VILLE"}, files=image)
        problem(answer, 415, "unsupported-media-type")
        problem(client.post(f"{IMPORTS}upload/", json={}), 415, "not-a-form")
        answer = client.post(f"{IMPORTS}upload/", data={"import_type": "VILLE"}, files={"x": b""})
        problem(answer, 422, "missing-file")
        assert client.get(IMPORTS).json()["count"] == 0
    assert list((served.spool / "incoming").iterdir()) == []
    assert list((served.spool / "imports").iterdir()) == []


def test_the_same_file_and_the_same_key(served: Served) -> None:
    """A known content is 409 and names the import; a key replays its answer, or 422 for other content."""
    content, key = companies(410_000_000, 10), {"Idempotency-Key": "b7a1"}

    first = served.upload("a.csv", content, headers=key)
    replayed = served.upload("a.csv", content, headers=key)
    other = served.upload("b.csv", companies(410_000_100, 10), headers=key)
    known = served.upload("renamed.csv", content)

    assert (first.status_code, replayed.status_code) == (202, 202)
    assert replayed.json() == first.json()
    assert replayed.headers["idempotent-replayed"] == "true"
    problem(other, 422, "idempotency-key-reused")
    assert problem(known, 409, "already-imported")["import_id"] == first.json()["id"]

    served.ended(first.json()["id"])
    forced = served.upload("a.csv", content, force="true")
    assert forced.status_code == 202
    assert served.ended(forced.json()["id"])["unchanged"] == 10


def test_a_key_in_use(served: Served) -> None:
    """While an upload with a key is under way, another with it is 409; an upload cut off frees it."""
    body = multipart(companies(420_000_000, 10))
    headers = f"Idempotency-Key: k\r\nContent-Length: {len(body)}\r\n"
    with connected(served, headers) as slow:
        slow.sendall(body[:-20])
        eventually(
            lambda: (
                served.upload(
                    "a.csv", companies(420_000_000, 10), headers={"Idempotency-Key": "k"}
                ).status_code
                == 409
            )
        )
    eventually(
        lambda: (
            served.upload(
                "a.csv", companies(420_000_000, 10), headers={"Idempotency-Key": "k"}
            ).status_code
            == 202
        )
    )
    eventually(lambda: list((served.spool / "incoming").iterdir()) == [])


def multipart(content: bytes) -> bytes:
    """The body of an upload with the boundary x."""
    return (
        b'--x\r\nContent-Disposition: form-data; name="import_type"\r\n\r\nENTREPRISE\r\n'
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\n'
        + content
        + b"\r\n--x--\r\n"
    )


def connected(
    served: Served, headers: str, path: str = "upload/", method: str = "POST"
) -> socket.socket:
    """A connection that has sent the head of a request."""
    made = socket.create_connection(("127.0.0.1", served.port), 30)
    made.sendall(
        f"{method} {IMPORTS}{path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {served.token}\r\n"
        f"Content-Type: multipart/form-data; boundary=x\r\n{headers}\r\n".encode()
    )
    return made


def test_slow_and_vanished_clients(gateway: Callable[..., Served]) -> None:
    """Who sends nothing is let go, who is gone leaves nothing, and streams nobody reads end."""
    served = gateway(
        FOX_GATEWAY_IDLE_SECONDS="1",
        FOX_GATEWAY_UPLOADS_AT_ONCE="2",
        FOX_GATEWAY_ACCOUNT_SHARE="1",
    )
    body = multipart(companies(1, 10))
    head = f"Content-Length: {len(body)}\r\n"
    import_id = served.upload("a.csv", companies(50, 10)).json()["id"]

    slow = [connected(served, head) for _ in range(2)]
    for connection in slow:
        connection.sendall(body[:100])
    eventually(lambda: served.upload("b.csv", companies(99, 1)).status_code == 503)
    assert b"408" in slow[0].recv(65536)
    for connection in slow:
        connection.close()
    eventually(lambda: served.upload("b.csv", companies(99, 1)).status_code in (202, 409))
    eventually(lambda: list((served.spool / "incoming").iterdir()) == [])

    streams = [connected(served, "", f"{import_id}/events", "GET") for _ in range(3)]
    with served.client() as client:
        eventually(lambda: "fox_gateway_followers 3.0" in client.get("/metrics").text)
        for stream in streams:
            stream.close()
        eventually(lambda: "fox_gateway_followers 0.0" in client.get("/metrics").text)


def test_events_follow_an_import_to_its_end(served: Served) -> None:
    """A state at least once a second, with rising versions, then the end."""
    seen: list[dict[str, Any]] = []
    ended = False
    import_id = served.upload("e.csv", companies(400_000_000, 20_000)).json()["id"]
    with served.client() as client, client.stream("GET", f"{IMPORTS}{import_id}/events") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        for line in answer.iter_lines():
            if line.startswith("data: "):
                seen.append(json.loads(line[6:]))
            ended = ended or line == "event: end"
    assert ended
    assert seen[0]["status"] == "PENDING"
    assert (seen[-1]["status"], seen[-1]["inserted"]) == ("SUCCESS", 20_000)
    versions = [state["version"] for state in seen]
    assert versions == sorted(versions)


def test_lists_are_filtered_searched_ordered_and_cut_into_pages(
    gateway: Callable[..., Served],
) -> None:
    """Fifty a page, by each filter, in both directions; a page beyond the last is 404."""
    served = gateway()
    for number in range(53):
        name = f"fichier {number:02d}{' été' if number % 10 == 0 else ''}.csv"
        kind = "VILLE" if number % 2 else "ENTREPRISE"
        assert served.upload(name, companies(number * 10 + 1, 1), kind).status_code == 202
    with served.client() as client:

        def names(**query: Any) -> list[str]:
            answer = client.get(IMPORTS, params=query)
            assert answer.status_code == 200
            return [found["file_name"][8:10] for found in answer.json()["results"]]

        newest = names()
        assert (len(newest), newest[0]) == (50, "52")
        second = client.get(client.get(IMPORTS).json()["next"]).json()
        assert [found["file_name"][8:10] for found in second["results"]] == ["02", "01", "00"]
        assert second["next"] is None
        assert client.get(second["previous"]).json()["results"][0]["file_name"][8:10] == "52"
        assert names(ordering="created_at")[0] == "00"
        assert names(search="ÉTÉ", ordering="file_name") == ["00", "10", "20", "30", "40", "50"]
        assert len(names(import_type="VILLE")) == 26
        assert names(status="SUCCESS") == []
        problem(client.get(IMPORTS, params={"page": 3}), 404, "no-such-page")
        problem(client.get(IMPORTS, params={"status": "LOST"}), 422, "invalid-request")
        problem(client.get(f"{IMPORTS}{'0' * 36}/"), 404, "unknown-import")


def test_who_may_what(served: Served) -> None:
    """No token, a false one, a revoked one, a narrow one; health, metrics and docs are open."""
    reader = served.new_token("lecteur", "read")
    nobody = served.browser()
    for path in ("/livez", "/readyz", "/metrics", "/docs", "/openapi.json", "/login"):
        assert nobody.get(path).status_code == 200, path
    assert problem(nobody.get(IMPORTS), 401, "unauthorized")["title"]
    assert nobody.get(IMPORTS).headers["www-authenticate"] == "Bearer"
    for false in (reader[:-1] + "!", "fox_0000000000000000_x", "x"):
        answer = nobody.get(IMPORTS, headers={"Authorization": f"Bearer {false}"})
        problem(answer, 401, "unauthorized")
    with served.client(reader) as client:
        assert client.get(IMPORTS).status_code == 200
        answer = client.post(f"{IMPORTS}upload/", files={"file": ("a.csv", b"x")})
        problem(answer, 403, "forbidden")

        listed = served.command("token", "list").stdout
        assert "lecteur" in listed
        assert reader not in listed
        served.command("token", "revoke", reader.split("_")[1])
        eventually(lambda: client.get(IMPORTS).status_code == 401)

    told = [message.value() for message in served.site.messages("gateway.tokens")]
    assert all(reader.split("_", 2)[2].encode() not in value for value in told)


def test_sessions_need_their_own_pages(served: Served) -> None:
    """A login sets a cookie that scripts and other sites cannot use; changes need the page's CSRF token."""
    token = served.new_token("navigateur", "import")
    browser = served.browser()
    assert browser.get("/imports").headers["location"].startswith("/login?vers=%2Fimports")
    wrong = browser.post("/login", data={"token": "fox_0_0"})
    assert wrong.status_code == 401
    assert "valable" in wrong.text

    done = browser.post("/login", data={"token": token, "vers": "//evil.example"})

    assert (done.status_code, done.headers["location"]) == (303, "/imports")
    cookie = done.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert token not in cookie
    page = browser.get("/imports").text
    csrf = page.split('name="csrf" content="')[1].split('"')[0]
    file = {"file": ("a.csv", companies(435_000_000, 1))}
    form = {"import_type": "ENTREPRISE"}
    problem(browser.post(f"{IMPORTS}upload/", data=form, files=file), 403, "csrf")
    cross = {"X-CSRF-Token": csrf, "Sec-Fetch-Site": "cross-site"}
    problem(browser.post(f"{IMPORTS}upload/", data=form, files=file, headers=cross), 403, "csrf")
    own = {"X-CSRF-Token": csrf, "Sec-Fetch-Site": "same-origin"}
    assert browser.post(f"{IMPORTS}upload/", data=form, files=file, headers=own).status_code == 202
    forged = browser.cookies["fox_session"].replace(token.split("_")[1], "0" * 16)
    stranger = served.browser()
    stranger.cookies.set("fox_session", forged)
    assert stranger.get(IMPORTS).status_code == 401

    copied = served.browser()
    copied.cookies.update(browser.cookies)
    assert copied.get(IMPORTS).status_code == 200
    left = browser.post("/logout", data={"csrf": csrf})
    assert (left.status_code, left.headers["location"]) == (303, "/login")
    assert left.headers["clear-site-data"] == '"cache", "storage"'
    assert copied.get(IMPORTS).status_code == 401

    browser.post("/login", data={"token": token})
    assert browser.get(IMPORTS).status_code == 200
    served.command("token", "revoke", token.split("_")[1])
    eventually(lambda: browser.get(IMPORTS).status_code == 401)


def test_a_session_that_ends_ends_on_every_gateway(gateway: Callable[..., Served]) -> None:
    """Somebody signs out on one of them; behind TLS cookies are bound to the host."""
    one, other = gateway(), gateway()
    tls = {"X-Forwarded-Proto": "https"}
    done = one.browser().post("/login", data={"token": one.token}, headers=tls)
    assert done.headers["set-cookie"].startswith("__Host-fox_session=")
    assert "; secure" in done.headers["set-cookie"].lower()
    assert "domain" not in done.headers["set-cookie"].lower()
    assert done.headers["strict-transport-security"] == "max-age=31536000"
    headers = {**tls, "Cookie": done.headers["set-cookie"].partition(";")[0]}
    assert other.browser().get("/imports", headers=headers).status_code == 200

    page = one.browser().get("/imports", headers=headers).text
    csrf = page.split('name="csrf" content="')[1].split('"')[0]
    assert one.browser().post("/logout", data={"csrf": csrf}, headers=headers).status_code == 303

    eventually(lambda: other.browser().get("/imports", headers=headers).status_code == 303)


def test_no_other_site_signs_a_person_in(served: Served) -> None:
    """A browser without Sec-Fetch headers sends Origin with a form."""
    for headers in ({"Origin": "https://evil.example"}, {"Origin": "null"}):
        answer = served.browser().post("/login", data={"token": served.token}, headers=headers)
        assert answer.status_code == 403
        assert "set-cookie" not in answer.headers
    own = {"Origin": served.url}
    assert served.browser().post("/login", data={"token": served.token}, headers=own).is_redirect


def test_an_account_acts_on_its_own_imports(served: Served, tmp_path: Path) -> None:
    """And on those of its group; on an import of the command line only an administrator does."""
    north = [served.new_token(name, "import", "--group", "nord") for name in ("Anne", "Bruno")]
    south = served.new_token("Chloé", "import")
    with served.client(north[0]) as client:
        file = {"file": ("nord.csv", companies(438_000_000, 1, faulty=1))}
        form = {"import_type": "ENTREPRISE"}
        mine = client.post(f"{IMPORTS}upload/", data=form, files=file).json()["id"]
    path = tmp_path / "console.csv"
    path.write_bytes(companies(438_000_100, 1, faulty=1))
    typed = served.site.foxstream("import", path, "--type", "ENTREPRISE", "--json")
    console = json.loads(typed.stdout)["id"]
    for import_id in (mine, console):
        served.ended(import_id)

    def retry(token: str, import_id: str) -> httpx.Response:
        with served.client(token) as client:
            return client.post(f"{IMPORTS}{import_id}/retry/")

    problem(retry(south, mine), 403, "not-yours")
    for token in (*north, south):
        problem(retry(token, console), 403, "not-yours")
    child = retry(north[1], mine)
    assert child.status_code == 202, child.text
    served.ended(child.json()["id"])
    assert served.state(child.json()["id"])["uploaded_by"] == "Bruno"
    assert retry(served.token, console).status_code == 202


def test_limits(gateway: Callable[..., Served]) -> None:
    """Ten imports a minute and an account, by default; the headers say what is left."""
    served = gateway(FOX_GATEWAY_IMPORTS_PER_MINUTE="10")
    answers = [served.upload("a.csv", companies(n * 10 + 1, 1)) for n in range(11)]

    assert [answer.status_code for answer in answers] == [202] * 10 + [429]
    assert [int(answer.headers["ratelimit-remaining"]) for answer in answers[:3]] == [9, 8, 7]
    assert int(answers[-1].headers["retry-after"]) in range(1, 7)
    problem(answers[-1], 429, "too-many-requests")
    other = served.new_token("une autre", "import")
    with served.client(other) as client:
        file = {"file": ("a.csv", companies(999, 1))}
        answer = client.post(f"{IMPORTS}upload/", data={"import_type": "VILLE"}, files=file)
    assert answer.status_code == 202


def test_the_audit_says_who_did_what(served: Served) -> None:
    """Logins, imports, downloads, tokens, and what is refused stand on their topic."""
    httpx.post(f"{served.url}/login", data={"token": "fox_0_0"}, trust_env=False)
    reader = served.new_token("lectrice", "read")
    with served.client(reader) as client:
        client.post(f"{IMPORTS}x/cancel/")
    with served.client("fox_0_0") as client:
        client.get(IMPORTS)
    served.command("token", "revoke", reader.split("_")[1])
    httpx.post(f"{served.url}/login", data={"token": served.token}, trust_env=False)
    import_id = served.upload("a.csv", companies(430_000_000, 1, faulty=1)).json()["id"]
    served.ended(import_id)
    with served.client() as client:
        client.get(f"{IMPORTS}{import_id}/errors.csv")

    def actions() -> bool:
        found = b"".join(message.value() for message in served.site.messages("gateway.audit"))
        return all(
            word in found
            for word in (
                b"login-refused", b"login", b"import", b"download", b"token-created", b"token-revoked",
                b"token-refused", b"scope-refused",
            )
        )  # fmt: skip

    eventually(actions)


def test_a_preview_is_the_verdict_of_a_check(served: Served) -> None:
    """Type found out, options obeyed, examples and known imports told, and nothing published."""
    content = companies(440_000_000, 20, faulty=2)
    cities = "Commune;Code postal\nLyon;69001\nNice;06000\n".encode("cp1252")
    with served.client() as client:

        def preview(name: str, body: bytes, **fields: str) -> dict[str, Any]:
            answer = client.post(f"{IMPORTS}preview/", data=fields, files={"file": (name, body)})
            assert answer.status_code == 200, answer.text
            found: dict[str, Any] = answer.json()
            return found

        found = preview("a.csv", content)
        assert (found["import_type"], found["refusal"]) == ("ENTREPRISE", None)
        assert (found["total_rows"], found["valid_rows"], found["rejected_rows"]) == (22, 20, 2)
        assert found["errors_by_code"] == {"malformed": 2}
        assert [example["line"] for example in found["examples"]] == [22, 23]
        assert len(found["preview"]) == 10
        assert found["already_imported"] is None
        assert preview("v.csv", cities)["import_type"] == "VILLE"
        wrong = preview("v.csv", cities, import_type="ENTREPRISE")
        assert wrong["refusal"]["code"] in ("wrong-type", "missing-label")
        told = preview("x.csv", b"a;b\n000000001;Z\n", columns='{"a": "siren", "b": "nom"}')
        assert told["mapping"] == {"a": "siren", "b": "nom"}
        count = client.get(IMPORTS, params={"search": "x.csv"}).json()["count"]
        assert count == 0
        import_id = served.upload("a.csv", content).json()["id"]
        assert preview("a.csv", content)["already_imported"]["id"] == import_id
    assert served.site.messages("file-rows.ville") == []


def test_the_command_line_and_the_gateway_know_each_others_files(
    served: Served, tmp_path: Path
) -> None:
    """By their content: what one imported the other refuses, unless it is forced or read otherwise."""
    path = tmp_path / "commande.csv"
    path.write_bytes(companies(905_000_000, 5))
    words = ("import", path, "--type", "entreprise", "--json")
    uploaded = served.ended(served.upload("envoi.csv", path.read_bytes()).json()["id"])["id"]

    refused = served.site.foxstream(*words)

    assert (refused.code, refused.json()["error"]["code"]) == (4, "already-imported")
    assert refused.json()["already_imported"]["id"] == uploaded
    forced = served.site.foxstream(*words, "--force")
    assert (forced.code, forced.json()["unchanged"]) == (0, 5)
    assert forced.json()["id"] != uploaded
    other = served.site.foxstream(*words, "--policy", "fill_missing")
    assert (other.code, other.json()["unchanged"]) == (0, 5)
    served.ended(other.json()["id"])
    again = served.upload("encore.csv", path.read_bytes(), policy="fill_missing")
    assert problem(again, 409, "already-imported")["import_id"] == other.json()["id"]


def test_a_file_is_known_by_its_import_not_by_a_retry(served: Served, tmp_path: Path) -> None:
    """Which has the same content, and may have failed where the import did not."""
    path = tmp_path / "reprise.csv"
    path.write_bytes(companies(906_000_000, 3, faulty=1))
    done = served.site.foxstream("import", path, "--type", "entreprise", "--json").json()
    retried = served.site.foxstream("retry", done["id"], "--json").json()
    assert (done["status"], retried["status"]) == ("PARTIAL", "ERROR")
    served.ended(retried["id"])

    again = problem(served.upload("reprise.csv", path.read_bytes()), 409, "already-imported")

    assert (again["import_id"], again["import_status"]) == (done["id"], "PARTIAL")


def test_templates(served: Served) -> None:
    """Each type has a file to fill in, which a check takes for its type."""
    with served.client() as client:
        for name in IMPORT_TYPES:
            for extension in ("csv", "xlsx"):
                answer = client.get(f"{IMPORTS}templates/{name}.{extension}")
                assert answer.status_code == 200
                file = {"file": (f"a.{extension}", answer.content)}
                found = client.post(
                    f"{IMPORTS}preview/", data={"import_type": name}, files=file
                ).json()
                assert found["refusal"]["code"] == "no-rows"


def act(served: Served, import_id: str, action: str) -> httpx.Response:
    with served.client() as client:
        return client.post(f"{IMPORTS}{import_id}/{action}/", timeout=240)


def test_an_import_is_paused_resumed_cancelled_and_retried(
    gateway: Callable[..., Served],
) -> None:
    """Where its state allows it; the retry is a child import, and the parent's counters follow it."""
    served = gateway(FOX_GATEWAY_MAX_ROWS="200000")
    served.site.worker("imports")  # nobody writes rows yet: the import cannot end
    first = served.upload("a.csv", companies(1, 60_000)).json()["id"]
    eventually(lambda: served.state(first)["status"] == "PENDING")
    problem(act(served, first, "resume"), 409, "not-allowed-now")

    assert act(served, first, "pause").status_code == 202
    eventually(lambda: served.state(first)["status"] == "PAUSED")
    assert act(served, first, "resume").status_code == 202
    eventually(lambda: served.state(first)["status"] == "PENDING")
    assert act(served, first, "cancel").status_code == 202
    served.site.worker("rows")
    cancelled = served.ended(first)
    assert cancelled["status"] == "CANCELLED"
    assert cancelled["cancelled"] > 0

    answer = act(served, first, "retry")
    assert answer.status_code == 202
    child = served.ended(answer.json()["id"])

    assert (child["parent"], child["status"]) == (first, "SUCCESS")
    assert child["settles"] > 0
    eventually(
        lambda: served.site.query("SELECT count(*) FROM enterprise_entreprise") == [(60_000,)]
    )
    eventually(lambda: served.state(first)["cancelled"] == 0)
    problem(act(served, child["id"], "retry"), 409, "not-allowed-now")
    problem(act(served, first, "generate_ai"), 409, "not-allowed-now")


def test_a_retry_with_nothing_to_retry(served: Served) -> None:
    """Of a file that could not be read at all there is no line to send again: a reason, no import."""
    refused = served.upload("a.csv", b"foo;bar;baz\n1;2;3\n").json()["id"]
    served.ended(refused)

    document = problem(act(served, refused, "retry"), 409, "nothing-to-retry")

    assert refused in document["detail"]


def test_cells_are_never_markup(served: Served) -> None:
    """What a file holds stands on the pages as text, and no spreadsheet takes it for a formula."""
    script, formula = "<script>alert(1)</script>", '=HYPERLINK("http://evil.example";"x")'
    content = f'siren;nom;code_postal\n{script};"{formula.replace(chr(34), chr(34) * 2)}";75001\n'
    import_id = served.upload('<img src=x onerror="alert(1)">.csv', content.encode()).json()["id"]
    assert served.ended(import_id)["status"] == "ERROR"
    browser = served.browser()
    browser.post("/login", data={"token": served.token})
    for path in ("/imports", f"/imports/{import_id}", f"/imports/{import_id}/erreurs", "/apercu"):
        page = browser.get(path)
        assert page.status_code == 200
        assert "<img" not in page.text
        assert "<script>" not in page.text
        policy = page.headers["content-security-policy"]
        assert "script-src 'self'" in policy
        assert "unsafe" not in policy
    assert "&lt;script&gt;" in browser.get(f"/imports/{import_id}/erreurs").text
    with served.client() as client:
        table = client.get(f"{IMPORTS}{import_id}/errors.csv").text
    assert "'=HYPERLINK" in table


def test_ten_uploads_at_once(served: Served) -> None:
    """Ten files sent together are ten imports, each row of each written once."""
    answers: list[httpx.Response] = []

    def send(number: int) -> None:
        answers.append(
            served.upload(f"{number}.csv", companies(450_000_000 + number * 10_000, 500))
        )

    threads = [threading.Thread(target=send, args=(number,)) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [answer.status_code for answer in answers] == [202] * 10
    states = [served.ended(answer.json()["id"]) for answer in answers]
    assert {(state["status"], state["inserted"]) for state in states} == {("SUCCESS", 500)}
    assert served.site.query(
        "SELECT count(*) FROM enterprise_entreprise WHERE siren LIKE '450%%'"
    ) == [(5_000,)]
    created = [datetime.fromisoformat(state["created_at"]) for state in states]
    assert len(set(created)) > 1


@pytest.mark.parametrize("extension", ["csv", "xlsx"])
def test_workbooks_and_tables_come_alike(served: Served, extension: str) -> None:
    """An Excel workbook is imported as the same table in CSV is."""
    first = 460_000_000 if extension == "csv" else 470_000_000
    if extension == "csv":
        content = companies(first, 30)
    else:
        book = Workbook()
        sheet = book.worksheets[0]
        for line in companies(first, 30).decode().splitlines():
            sheet.append(line.split(";"))
        file = BytesIO()
        book.save(file)
        content = file.getvalue()
    state = served.ended(served.upload(f"a.{extension}", content).json()["id"])
    assert (state["status"], state["inserted"]) == ("SUCCESS", 30)
