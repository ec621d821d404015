"""How servers are reached, and what is never shown of it."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import trustme
from pydantic import SecretStr, ValidationError

import producers.settings
from processors.kafka.credentials import credentials
from processors.settings import Settings
from schemas.runtime.server_settings import SecretFileError, ServerSettings
from tests.fix_stack import run_preloaded, run_process

MARKER = "MARKER"
SECRETS = {
    "FOX_KAFKA_SECURITY_PASSWORD": f"{MARKER}-kafka",
    "FOX_SCHEMA_REGISTRY_PASSWORD": f"{MARKER}-registry",
    "FOX_DATABASE_URL": f"postgresql://u:{MARKER}-database@localhost/d",
    "OPENAI_API_KEY": f"{MARKER}-model",
}
OPEN = {
    "FOX_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
    "FOX_KAFKA_SECURITY_USERNAME": "u",
    "FOX_SCHEMA_REGISTRY_URL": "https://localhost:1",
    "FOX_SCHEMA_REGISTRY_USERNAME": "u",
    "FOX_KAFKA_BOOTSTRAP": "localhost:1",
}
WORKER, COMMAND = "processors.worker.commands", "producers.cli"
GATEWAY = "producers.gateway.commands"


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith(("FOX_", "OPENAI_")):
            monkeypatch.delenv(name)


def files(folder: Path) -> dict[str, str]:
    """The secrets in files, as an editor leaves them."""
    found = {}
    for name, value in SECRETS.items():
        (folder / name).write_text(f"{value}\n", encoding="utf-8")
        found[f"{name}_FILE"] = str(folder / name)
    return found


def secrets(settings: Settings) -> list[str | None]:
    return [
        value.get_secret_value() if value is not None else None
        for value in (
            settings.kafka_security_password,
            settings.schema_registry_password,
            settings.database_url,
            settings.openai_api_key,
        )
    ]


def test_every_secret_comes_from_a_file_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NAME_FILE names a file with the value of NAME; NAME itself goes before it."""
    for name, value in {**OPEN, **files(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("FOX_GATEWAY_SECRET_FILE", str(tmp_path / "OPENAI_API_KEY"))
    gateway = producers.settings.GatewaySettings()
    from_files = secrets(Settings())
    monkeypatch.setenv("OPENAI_API_KEY", "another")

    assert from_files == list(SECRETS.values())
    assert secrets(Settings())[-1] == "another"
    assert gateway.secret is not None
    assert gateway.secret.get_secret_value() == SECRETS["OPENAI_API_KEY"]


def test_settings_show_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither as text nor as JSON, nor does what Faust is told."""
    for name, value in {**OPEN, **files(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    settings = Settings()

    for shown in (
        *(str(settings), repr(settings), settings.model_dump_json(), f"{settings.model_dump()}"),
        repr(credentials(settings)),
    ):
        assert MARKER not in shown
    with pytest.raises(ValidationError) as raised:
        ServerSettings(schema_registry_url=f"https://u:{MARKER}@r")
    assert MARKER not in str(raised.value)


@pytest.mark.parametrize("wrong", ["no/such/file", ".", "binary"])
def test_a_file_that_cannot_be_read_is_named(
    wrong: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its variable, and without what it holds."""
    (tmp_path / "binary").write_bytes(MARKER.encode() + b"\xff\xfe")
    monkeypatch.setenv("OPENAI_API_KEY_FILE", str(tmp_path / wrong))
    with pytest.raises(SecretFileError) as raised:
        Settings()

    assert raised.value.variable == "OPENAI_API_KEY_FILE"
    assert str(tmp_path / wrong) in str(raised.value)
    assert MARKER not in str(raised.value)
    assert raised.value.__cause__ is None or isinstance(raised.value.__cause__, OSError)


def authority(folder: Path) -> dict[str, Path]:
    """Files of an authority, a certificate and keys: its own, another's."""
    ca = trustme.CA()
    found = {name: folder / f"{name}.pem" for name in ("ca", "own", "key", "other", "empty")}
    leaf, other = ca.issue_cert("a.example"), ca.issue_cert("b.example")
    ca.cert_pem.write_to_path(found["ca"])
    leaf.cert_chain_pems[0].write_to_path(found["own"])
    leaf.private_key_pem.write_to_path(found["key"])
    other.private_key_pem.write_to_path(found["other"])
    found["empty"].touch()
    return found


SASL = {
    "kafka_security_protocol": "SASL_SSL",
    "kafka_security_username": "u",
    "kafka_security_password": "p",
}
HTTPS = {"schema_registry_url": "https://r"}
TLS = {"kafka_security_protocol": "SSL", "kafka_security_ca": "ca"}


@pytest.mark.parametrize(
    ("given", "wrong"),
    [
        ({**SASL, "kafka_security_password": ""}, "kafka_security_password"),
        ({**SASL, "kafka_security_username": ""}, "kafka_security_username"),
        ({"kafka_security_protocol": "SASL_SSL"}, "kafka_security_username"),
        ({"kafka_security_password": "p"}, "kafka_security_password"),
        ({**SASL, "kafka_security_protocol": "SSL"}, "kafka_security_password"),
        (
            {
                **SASL,
                "kafka_security_protocol": "SASL_PLAINTEXT",
                "kafka_security_mechanism": "PLAIN",
            },
            "kafka_security_mechanism",
        ),
        ({"kafka_security_ca": "ca"}, "kafka_security_ca"),
        ({**TLS, "kafka_security_ca": "nothing"}, "kafka_security_ca"),
        ({**TLS, "kafka_security_ca": "empty"}, "kafka_security_ca"),
        ({**TLS, "kafka_security_certificate": "own"}, "kafka_security_key"),
        ({**TLS, "kafka_security_key": "key"}, "kafka_security_key"),
        (
            {**TLS, "kafka_security_certificate": "own", "kafka_security_key": "other"},
            "kafka_security_key",
        ),
        ({"schema_registry_url": "https://u:p@r"}, "schema_registry_url"),
        ({"schema_registry_username": "u"}, "schema_registry_username"),
        ({**HTTPS, "schema_registry_username": "u"}, "schema_registry_password"),
        ({**HTTPS, "schema_registry_password": "p"}, "schema_registry_password"),
        ({"schema_registry_ca": "ca"}, "schema_registry_ca"),
    ],
)
def test_what_would_not_protect_is_refused(
    given: Mapping[str, Any], wrong: str, tmp_path: Path
) -> None:
    """Half a set of credentials, one that goes in the clear, and TLS that is not spoken."""
    held = authority(tmp_path)
    with pytest.raises(ValidationError) as raised:
        ServerSettings(**{name: held.get(value, value) for name, value in given.items()})

    assert wrong in {str(problem["loc"][0]) for problem in raised.value.errors()}


def test_both_kafka_clients_are_told_the_same(tmp_path: Path) -> None:
    """librdkafka by its names, aiokafka by a context that checks the name of the broker."""
    held = authority(tmp_path)
    settings = Settings(
        kafka_bootstrap="k:9093",
        kafka_security_protocol="SASL_SSL",
        kafka_security_username="u",
        kafka_security_password=SecretStr("p"),
        kafka_security_ca=held["ca"],
        kafka_security_certificate=held["own"],
        kafka_security_key=held["key"],
    )
    faust: Any = credentials(settings)

    assert settings.librdkafka() == {
        "bootstrap.servers": "k:9093",
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "u",
        "sasl.password": "p",
        "ssl.ca.location": str(held["ca"]),
        "ssl.certificate.location": str(held["own"]),
        "ssl.key.location": str(held["key"]),
    }
    assert (faust.protocol.value, faust.mechanism.value) == ("SASL_SSL", "SCRAM-SHA-512")
    assert (faust.username, faust.password) == ("u", "p")
    assert faust.ssl_context.check_hostname
    assert credentials(Settings()) is None


MALFORMED: Mapping[str, Mapping[str, str]] = {
    "%-code": {"FOX_DATABASE_URL": f"postgresql://u:{MARKER}%zz@localhost/d"},
    "no URL": {"FOX_DATABASE_URL": MARKER},
    "no UTF-8": {"FOX_KAFKA_SECURITY_PASSWORD": f"{MARKER}\udce9"},
    "no UTF-8 in a URL": {"FOX_DATABASE_URL": f"postgresql://u:{MARKER}\udce9@localhost/d"},
    "password without its name": {"FOX_KAFKA_SECURITY_USERNAME": ""},
    "password in the address": {"FOX_SCHEMA_REGISTRY_URL": f"https://u:{MARKER}@localhost"},
    "a number": {"FOX_BATCH_ROWS": f"{MARKER}", "FOX_AI_PRICE_INPUT": MARKER},
}


@pytest.mark.parametrize("what", [*MALFORMED, "help", "away"])
def test_no_command_shows_a_secret(what: str) -> None:
    """Neither in its help, nor where a setting is wrong, nor where no server answers."""
    environment = {**os.environ, **OPEN, **SECRETS, **MALFORMED.get(what, {})}
    words = ["--help"] if what == "help" else ["schemas", "register"]
    run = run_process if what in ("help", "away") else run_preloaded
    commands = [(WORKER, words)]
    if what == "help":
        commands += [(COMMAND, words), (COMMAND, ["import", *words]), (GATEWAY, words)]
    if what not in ("help", "away"):
        commands.append((COMMAND, ["template", "entreprise"]))
    for module, given in commands:
        done = run(module, given, environment)
        output = done.stdout + done.stderr

        assert MARKER not in output, output
        assert "Traceback" not in output, output
        if module == WORKER:
            assert done.code == {"help": 0, "away": 5}.get(what, 2), output
