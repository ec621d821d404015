"""Credentials for aiokafka, Faust's Kafka client."""

import faust
from faust.types.auth import CredentialsT

from schemas.runtime.server_settings import ServerSettings


def credentials(settings: ServerSettings) -> CredentialsT | None:
    """Faust's credentials; None for a Kafka that requires none."""
    context = settings.kafka_tls()
    if settings.kafka_security_password is not None:
        return faust.SASLCredentials(
            mechanism=settings.kafka_security_mechanism,
            username=settings.kafka_security_username,
            password=settings.kafka_security_password.get_secret_value(),
            ssl_context=context,
        )
    return faust.SSLCredentials(context) if context is not None else None
