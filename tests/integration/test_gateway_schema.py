"""The API against its own description: schemathesis makes calls and judges the answers."""

import json
import re
import socket
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable

from tests.fix_gateway import Served

pytestmark = pytest.mark.filterwarnings("ignore")

EXAMPLES = 15


def test_the_description_is_true(served: Served) -> None:
    """Each answer is one that the description has, of the type and shape that it says; no 5xx."""
    # Two seconds of imports, which no other test needs.
    import schemathesis
    from schemathesis import GenerationMode
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi import checks as openapi

    checks = [
        not_a_server_error,
        openapi.status_code_conformance,
        openapi.content_type_conformance,
        openapi.response_headers_conformance,
        openapi.response_schema_conformance,
        openapi.negative_data_rejection,
        openapi.missing_required_header,
        openapi.ignored_auth,
    ]

    @schemathesis.serializer("application/offset+octet-stream")
    def octets(_context: Any, value: Any) -> bytes:
        """The body of a piece of a resumable upload."""
        return value if isinstance(value, bytes) else str(value).encode()

    served.upload("a.csv", b"siren;nom\n480000000;Un\n")
    schema = schemathesis.openapi.from_url(f"{served.url}/openapi.json")
    headers = {"Authorization": f"Bearer {served.token}"}
    described: Any = schema.get_all_operations()
    operations: list[Any] = [result.ok() for result in described]
    assert len(operations) >= 12
    wrong: list[str] = []
    for operation in operations:
        if operation.path.endswith("/events"):
            continue  # an answer without end
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):

            @settings(
                max_examples=EXAMPLES,
                deadline=None,
                derandomize=True,
                database=None,
                suppress_health_check=list(HealthCheck),
            )
            @given(case=operation.as_strategy(generation_mode=mode))
            def judge(case: Any) -> None:
                case.call_and_validate(checks=checks, headers=headers, timeout=60)

            try:
                judge()
            except Unsatisfiable:
                continue  # there is nothing to get wrong
            except (Exception, BaseExceptionGroup) as error:  # noqa: BLE001 - all are shown together
                causes = getattr(error, "exceptions", [error])
                wrong += [f"{operation.label} {mode.name}: {cause}" for cause in causes]
    assert wrong == [], "\n\n".join(wrong)


MEDIA = (
    "application/json",
    "application/x-www-form-urlencoded; charset=utf-7",
    "multipart/form-data; boundary=x",
    "multipart/form-data; boundary=x; charset=unicode_escape",
    "multipart/form-data; boundary=" + "a" * 300,
    "multipart/form-data; boundary=",
    "application/offset+octet-stream",
    "text/\xff",
    "",
)
PART = b'--x\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n%s\r\n'
NAMES = (b"file", b"import_type", b"columns", b"sheet", b"token", b"vers", b"\xff", b"a\0")
NUMBERS = st.integers(min_value=-(2**70), max_value=2**70).map(str)
TEXTS = st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=60)
NESTED = st.recursive(
    st.none() | st.text(max_size=5),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
DOCUMENTS = st.one_of(
    NESTED.map(lambda value: json.dumps(value).encode()),
    st.sampled_from(
        (b"[" * 20_000, b'{"a":' * 9000, b'{"\\ud800": "\\udfff"}', b"NaN", b"9" * 5000)
    ),
    st.binary(max_size=200),
)
PARTS = st.builds(
    PART.__mod__,
    st.tuples(
        st.sampled_from(NAMES),
        st.sampled_from((b"", b'; filename="a.csv"', b"; filename*=x")),
        DOCUMENTS,
    ),
)
BODIES = st.one_of(
    DOCUMENTS,
    st.binary(max_size=3000),
    st.lists(PARTS, max_size=6).map(lambda parts: b"".join(parts) + b"--x--\r\n"),
    st.lists(PARTS, max_size=6).map(b"".join),
)
HEADERS = st.dictionaries(
    st.sampled_from(
        (
            "Idempotency-Key", "If-None-Match", "Upload-Offset", "Upload-Length", "Upload-Checksum",
            "Upload-Metadata", "Tus-Resumable", "Cookie", "Accept", "Host", "X-CSRF-Token",
            "X-Forwarded-For", "Content-Encoding", "Range",
        )
    ),
    TEXTS | NUMBERS | st.just("1.0.0"),
)  # fmt: skip
IDS = st.one_of(
    st.text(max_size=40), st.sampled_from(("a" * 400, "\0", "..", "00000000-0000-0000-0000-00000000000")),
    st.uuids().map(str),
)  # fmt: skip


def test_malformed_requests_are_refused(served: Served) -> None:
    """Bodies, headers, forms and ids that no client should send: no operation answers 5xx."""
    paths = httpx.get(f"{served.url}/openapi.json", trust_env=False).json()["paths"]
    calls = [(method, path) for path, methods in paths.items() for method in methods]
    calls += [("post", "/login"), ("post", "/logout"), ("get", "/imports/{import_id}")]

    @settings(max_examples=20 * EXAMPLES, deadline=None, derandomize=True, database=None)
    @given(st.sampled_from(calls), IDS, st.sampled_from(MEDIA), HEADERS, BODIES)
    def judge(
        call: tuple[str, str], given_id: str, media: str, headers: dict[str, str], body: bytes
    ) -> None:
        method, path = call
        path = re.sub(r"\{\w+\}", quote(given_id, safe=""), path)
        sent = {**headers, "Content-Type": media, "Authorization": f"Bearer {served.token}"}
        head = "".join(f"{name}: {value}\r\n" for name, value in sent.items())
        connection = f"Connection: close\r\nContent-Length: {len(body)}\r\n\r\n"
        asked = f"{method.upper()} {path} HTTP/1.1\r\nHost: x\r\n{head}{connection}"
        with socket.create_connection(("127.0.0.1", served.port), 60) as peer:
            peer.sendall(asked.encode("latin-1") + body)
            answer = peer.recv(65536)
        assert 200 <= int(answer.split()[1]) < 500, answer[:300]

    judge()
    assert httpx.get(f"{served.url}/livez", trust_env=False).status_code == 200
