"""The API against its own description: schemathesis makes calls and judges the answers."""

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    ignored_auth,
    missing_required_header,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.fix_gateway import Served

pytestmark = pytest.mark.filterwarnings("ignore")

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
    missing_required_header,
    ignored_auth,
]
EXAMPLES = 15


@schemathesis.serializer("application/offset+octet-stream")
def octets(_context: Any, value: Any) -> bytes:
    """The body of a piece of a resumable upload."""
    return value if isinstance(value, bytes) else str(value).encode()


def _operations(schema: Any) -> Any:
    return schema.get_all_operations()


def test_the_description_is_true(served: Served) -> None:
    """Each answer is one that the description has, of the type and shape that it says; no 5xx."""
    served.upload("a.csv", b"siren;nom\n480000000;Un\n")
    schema = schemathesis.openapi.from_url(f"{served.url}/openapi.json")
    headers = {"Authorization": f"Bearer {served.token}"}
    operations: list[Any] = [result.ok() for result in _operations(schema)]
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
                case.call_and_validate(checks=CHECKS, headers=headers, timeout=60)

            try:
                judge()
            except Unsatisfiable:
                continue  # there is nothing to get wrong
            except (Exception, BaseExceptionGroup) as error:  # noqa: BLE001 - all are shown together
                causes = getattr(error, "exceptions", [error])
                wrong += [f"{operation.label} {mode.name}: {cause}" for cause in causes]
    assert wrong == [], "\n\n".join(wrong)
