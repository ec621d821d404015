"""Values of the row topic of companies, as a system writes them that is not foxstream."""

from schemas.codec.framing import Encoder, load
from schemas.import_types import ENTREPRISE
from schemas.runtime.server_settings import ServerSettings

_NOTHING = {**dict.fromkeys(ENTREPRISE.field), "observed_at": None, "import": None}


class Companies:
    """Encodes rows by the schema that the registry has for `topic`."""

    def __init__(self, settings: ServerSettings) -> None:
        self.topic = f"{settings.topic_prefix}rows.entreprise"
        with settings.registry() as registry:
            schema = load("entreprise_row")
            self.schema_id = registry.schema_id(f"{self.topic}-value", schema)
        self._encoder = Encoder("entreprise_row", self.schema_id)

    def value(self, siren: str, **fields: object) -> bytes:
        """A row's value."""
        return self._encoder.encode({**_NOTHING, "siren": siren, **fields})
