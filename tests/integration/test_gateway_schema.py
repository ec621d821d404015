"""The API against its own description: schemathesis makes calls and judges the answers."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
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
