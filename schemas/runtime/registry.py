"""The schema registry, by the part of Confluent's HTTP API that foxstream uses.

Source: the API reference of Confluent Schema Registry; Apicurio and Karapace serve the same paths.
httpx is loaded by the first client: the errors and names of this module are used without one.
"""

import json
import ssl
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    import httpx
from schemas.codec.schema import Schema, SchemaUnknownError

DENIED = (401, 403)


NOT_FOUND = 404


INCOMPATIBLE = 409


class RegistryUnavailableError(Exception):
    """The schema registry cannot be reached or answers with a fault of its own: try again."""


class RegistryDeniedError(RegistryUnavailableError):
    """The registry does not let us in, or is not the one that we trust: somebody has to act."""


class IncompatibleSchemaError(Exception):
    """The registry refuses the schema: it cannot read what its predecessors wrote."""


class Registry:
    """A client of one registry. Not safe for concurrent use by several threads.

    `credentials` are the name and password of basic authentication.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout_seconds: float = 5.0,
        tls: ssl.SSLContext | None = None,
        credentials: tuple[str, str] | None = None,
    ) -> None:
        import httpx

        self.url = url
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
        """Returns where the registry answers. Raises RegistryUnavailableError."""
        self._call("GET", "/schemas/types")

    def schema(self, schema_id: int) -> Schema:
        """The schema with this id. Raises SchemaUnknownError, also where it is no Avro."""
        text = self._ask("schema", "GET", f"/schemas/ids/{schema_id}")
        try:
            parsed: Schema = json.loads(text)
        except ValueError as error:
            raise SchemaUnknownError(f"schema {schema_id} is not Avro") from error
        return parsed

    def schema_id(self, subject: str, schema: Schema) -> int:
        """The id under which `subject` holds exactly `schema`. Raises SchemaUnknownError."""
        return int(self._ask("id", "POST", f"/subjects/{subject}", _body(schema)))

    def register(self, subject: str, schema: Schema) -> int:
        """Holds `subject` to BACKWARD, then adds `schema` to it; raises IncompatibleSchemaError.

        The same schema again answers the id that it has.
        """
        self._call("PUT", f"/config/{subject}", {"compatibility": "BACKWARD"})
        return int(self._ask("id", "POST", f"/subjects/{subject}/versions", _body(schema)))

    def _ask(self, member: str, method: str, path: str, body: Schema | None = None) -> Any:
        """A member of the answer. What is no registry's answer counts as no answer."""
        answer = self._call(method, path, body)
        try:
            return answer.json()[member]
        except (ValueError, KeyError, TypeError) as error:
            raise RegistryUnavailableError(
                f"what is at {self.url} does not answer as a schema registry"
            ) from error

    def _call(self, method: str, path: str, body: Schema | None = None) -> "httpx.Response":
        import httpx

        try:
            answer = self._http.request(method, path, json=body)
        except httpx.TransportError as error:
            if _untrusted(error):
                raise RegistryDeniedError(
                    f"the schema registry at {self.url} has a certificate that is not trusted "
                    f"(FOX_SCHEMA_REGISTRY_CA): {error}"
                ) from error
            raise RegistryUnavailableError(
                f"the schema registry at {self.url} cannot be reached: {error}"
            ) from error
        if answer.status_code in DENIED:
            raise RegistryDeniedError(
                f"the schema registry at {self.url} answers {answer.status_code} to {method} "
                f"{path}: FOX_SCHEMA_REGISTRY_USERNAME or _PASSWORD is wrong, or has no right to it"
            )
        if answer.status_code == NOT_FOUND:
            raise SchemaUnknownError(f"the schema registry has nothing at {path}")
        if answer.status_code == INCOMPATIBLE:
            raise IncompatibleSchemaError(f"{path}: {answer.text}")
        if not answer.is_success:
            raise RegistryUnavailableError(
                f"the schema registry at {self.url} answers {answer.status_code} to {method} {path}"
            )
        return answer


def _untrusted(error: BaseException) -> bool:
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ssl.SSLCertVerificationError):
        cause = cause.__cause__ or cause.__context__
    return cause is not None


def _body(schema: Schema) -> Schema:
    return {"schema": json.dumps(schema), "schemaType": "AVRO"}
