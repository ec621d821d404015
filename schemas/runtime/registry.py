"""The schema registry, by the part of Confluent's HTTP API that foxstream uses.

Source: the API reference of Confluent Schema Registry; Apicurio and Karapace serve the same paths.
httpx is loaded by the first client: the errors and names of this module are used without one.
"""

import json
import logging
import ssl
from collections.abc import Callable
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any, Self, TypeVar
from urllib.parse import quote

if TYPE_CHECKING:
    import httpx

from schemas.codec.references import inlined
from schemas.codec.schema import Schema, SchemaUnknownError
from schemas.runtime.schema_cache import SchemaCache

_LOGGER = logging.getLogger(__name__)

Value = TypeVar("Value")

DENIED = (401, 403)

UNKNOWN = ((404, 40401), (404, 40402), (404, 40403))
"""Status and `error_code` of a registry that lacks the subject, the version or the schema.

Any other 404 comes from something in front of the registry, and says nothing about a schema.
"""

INCOMPATIBLE = 409

MOST_REFERENCES = 50
"""Schemas that one schema may refer to, through others too: each is a request."""

AWAY_SECONDS = 5.0
"""After a failure what the cache holds is not asked for that long: a registry that hangs would hold
up each question for the whole timeout."""

LARGEST_ANSWER = 8 << 20
"""In bytes. Confluent's registry accepts schemas of up to 1 MB."""


class RegistryUnavailableError(Exception):
    """The schema registry cannot be reached or answers with a fault of its own: try again."""


class RegistryDeniedError(RegistryUnavailableError):
    """The registry does not let us in, or is not the one that we trust: somebody has to act."""


class IncompatibleSchemaError(Exception):
    """The registry refuses the schema: it cannot read what its predecessors wrote."""


class Registry:
    """A client of one registry, for any number of threads.

    `credentials` are the name and password of basic authentication. No request takes much longer
    than `timeout_seconds`. What `cache` holds is used while the registry cannot be reached; one that
    denies us is not replaced by it.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout_seconds: float = 5.0,
        tls: ssl.SSLContext | None = None,
        credentials: tuple[str, str] | None = None,
        cache: SchemaCache | None = None,
    ) -> None:
        import httpx

        self.url = url
        self._timeout_seconds = timeout_seconds
        self._cache = cache
        self._away_until = 0.0
        self._http = httpx.Client(
            base_url=url,
            timeout=timeout_seconds,
            trust_env=False,
            # Without TLS nothing is verified; the system's authorities take 50 ms to load.
            verify=not url.startswith("http:") if tls is None else tls,
            auth=credentials,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def answers(self) -> None:
        """Returns if the registry answers. Raises RegistryUnavailableError."""
        kinds = self._call("GET", "/schemas/types")
        if not isinstance(kinds, list) or "AVRO" not in kinds:
            raise self._nonsense()

    def schema(self, schema_id: int) -> Schema:
        """The schema with this id, and within it all that it refers to.

        Raises SchemaUnknownError, also if it is not Avro, or refers to too much.
        """
        whole: Schema = self._known(partial(self._schema, schema_id), "schema", schema_id)
        return whole

    def _schema(self, schema_id: int) -> Schema:
        answer = self._call("GET", f"/schemas/ids/{schema_id}")
        schema, references = self._avro(answer), self._references(answer)
        if not references:
            return schema
        try:
            return inlined(schema, self._referenced(references))
        except (TypeError, AttributeError, RecursionError) as error:
            raise SchemaUnknownError(
                "the schema and those that it refers to are not Avro"
            ) from error

    def _avro(self, answer: Any) -> Schema:
        text = self._member(answer, "schema", str)
        kind = answer.get("schemaType") or "AVRO"
        try:
            if kind == "AVRO":
                schema: Schema = json.loads(text)
                return schema
        except (ValueError, RecursionError) as error:
            raise SchemaUnknownError("the schema is not JSON") from error
        raise SchemaUnknownError(f"the schema is {kind}, not Avro")

    def _references(self, answer: Any) -> list[tuple[str, int]]:
        """Subjects and versions that a schema refers to."""
        references = answer.get("references") or []
        try:
            return [(str(each["subject"]), int(each["version"])) for each in references]
        except (TypeError, KeyError, ValueError) as error:
            raise self._nonsense() from error

    def _referenced(self, references: list[tuple[str, int]]) -> list[Schema]:
        """The schemas of these subjects and versions, and of those that they refer to."""
        found: dict[tuple[str, int], Schema] = {}
        left = list(references)
        while left:
            subject, version = reference = left.pop()
            if reference in found:
                continue
            if len(found) == MOST_REFERENCES:
                raise SchemaUnknownError(f"the schema refers to more than {MOST_REFERENCES} others")
            path = f"/subjects/{quote(subject, safe='')}/versions/{version}"
            answer = self._call("GET", path)
            found[reference] = self._avro(answer)
            left += self._references(answer)
        return list(found.values())

    def schema_id(self, subject: str, schema: Schema) -> int:
        """The id under which `subject` holds exactly `schema`. Raises SchemaUnknownError."""
        path = f"/subjects/{subject}"
        ask = partial(self._ask, "id", int, "POST", path, _body(schema))
        found: int = self._known(ask, "id", subject, schema)
        return found

    def register(self, subject: str, schema: Schema) -> int:
        """Holds `subject` to BACKWARD, then adds `schema` to it; raises IncompatibleSchemaError.

        The same schema again answers the id that it has.
        """
        self._call("PUT", f"/config/{subject}", {"compatibility": "BACKWARD"})
        return self._ask("id", int, "POST", f"/subjects/{subject}/versions", _body(schema))

    def _known(self, ask: Callable[[], Any], *question: Any) -> Any:
        """What the registry answers, else what it answered before."""
        if self._cache is None:
            return ask()
        before = self._cache.get(*question)
        if before is not None and monotonic() < self._away_until:
            return before
        try:
            answer = ask()
        except RegistryDeniedError:
            raise
        except RegistryUnavailableError as error:
            if before is None:
                raise
            self._away_until = monotonic() + AWAY_SECONDS
            _LOGGER.warning(
                "the schema registry is away; a schema is known from before",
                extra={"action": "schema_known", "error": str(error)},
            )
            return before
        if answer == before:
            return answer
        if before is not None:
            _LOGGER.warning(
                "the schema registry answers otherwise than before: was it restored?",
                extra={"action": "schema_changed", "question": repr(question)[:200]},
            )
        self._cache.keep(answer, *question)
        return answer

    def _ask(
        self, member: str, kind: type[Value], method: str, path: str, body: Schema | None = None
    ) -> Value:
        return self._member(self._call(method, path, body), member, kind)

    def _member(self, answer: Any, member: str, kind: type[Value]) -> Value:
        value = answer.get(member) if isinstance(answer, dict) else None
        if type(value) is not kind:
            raise self._nonsense()
        return value

    def _call(self, method: str, path: str, body: Schema | None = None) -> Any:
        """The document of a successful answer. What no registry answers counts as no answer."""
        import httpx

        try:
            with self._http.stream(method, path, json=body) as answer:
                status, content = answer.status_code, self._content(answer)
        except httpx.RequestError as error:
            if _untrusted(error):
                raise RegistryDeniedError(
                    f"the schema registry at {self.url} has a certificate that is not trusted "
                    f"(FOX_SCHEMA_REGISTRY_CA): {error}"
                ) from error
            raise RegistryUnavailableError(
                f"the schema registry at {self.url} cannot be reached: {error}"
            ) from error
        if status in DENIED:
            raise RegistryDeniedError(
                f"the schema registry at {self.url} answers {status} to {method} "
                f"{path}: FOX_SCHEMA_REGISTRY_USERNAME or _PASSWORD is wrong, or has no right to it"
            )
        document = _parsed(content)
        code = document.get("error_code") if isinstance(document, dict) else None
        if (status, code) in UNKNOWN:
            raise SchemaUnknownError(f"the schema registry has nothing at {path}")
        if status == INCOMPATIBLE and code is not None:
            raise IncompatibleSchemaError(f"{path}: {content.decode(errors='replace')}")
        if not answer.is_success:
            raise RegistryUnavailableError(
                f"the schema registry at {self.url} answers {status} to {method} {path}"
            )
        if document is None:
            raise self._nonsense()
        return document

    def _content(self, answer: "httpx.Response") -> bytes:
        """All bytes of an answer. httpx limits only the time between two of them."""
        content, end = bytearray(), monotonic() + self._timeout_seconds
        for chunk in answer.iter_bytes():
            content += chunk
            if len(content) > LARGEST_ANSWER or monotonic() > end:
                raise RegistryUnavailableError(
                    f"the answer of the schema registry at {self.url} is too large or too slow"
                )
        return bytes(content)

    def _nonsense(self) -> RegistryUnavailableError:
        return RegistryUnavailableError(
            f"what is at {self.url} does not answer as a schema registry"
        )


def _parsed(content: bytes) -> Any:
    """The JSON document, or None."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None


def _untrusted(error: BaseException) -> bool:
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ssl.SSLCertVerificationError):
        cause = cause.__cause__ or cause.__context__
    return cause is not None


def _body(schema: Schema) -> Schema:
    return {"schema": json.dumps(schema), "schemaType": "AVRO"}
