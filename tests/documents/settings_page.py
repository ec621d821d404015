"""docs/settings.md: what can be set, made of the settings classes, which say what each is."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, get_args

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

import processors.kafka.broker_topics
import processors.worker.topology
import producers.settings
from deploy.local.local_settings import LocalSettings
from processors.rows.derived import public_pages
from processors.rows.parking import parked_rows
from processors.settings import Settings
from producers.imports import window
from producers.reading.table import CHUNK
from tests.documents.commands_page import commands
from tests.documents.markdown import table

Readers = Sequence[tuple[type[BaseSettings], Sequence[str]]]

READERS: Readers = (
    (Settings, ("worker",)),
    (producers.settings.Settings, ("command", "gateway")),
    (producers.settings.GatewaySettings, ("gateway",)),
)

LOCAL: Readers = ((LocalSettings, ("local",)),)

SPECIFIED: Mapping[str, str] = {
    "FOX_BATCH_ROWS": "50 (S6)",
    "FOX_GATEWAY_MAX_FILE_BYTES": "10 MiB (S6)",
    "FOX_GATEWAY_MAX_ROWS": "50,000 (S1, S6)",
    "FOX_GATEWAY_IMPORTS_PER_MINUTE": "10, with five workers 50 (S6, S8)",
    "FOX_GATEWAY_TRIES": "3 retries: 4 tries (S1)",
    "FOX_GATEWAY_RETRY_SECONDS": "5 (S1)",
    "FOX_GATEWAY_SOFT_LIMIT_SECONDS": "1,800 (S1)",
    "FOX_GATEWAY_HARD_LIMIT_SECONDS": "2,000 (S1)",
    "FOX_GATEWAY_FILE_DAYS": "30 (S5)",
    "FOX_AI_REQUESTS_PER_MINUTE": "5, with five workers 25 (S6, S8)",
    "FOX_AI_RETRY_SECONDS": "60 (S4)",
    "FOX_AI_RETRIES": "2 (S4)",
    "FOX_AI_IMPORT_SECONDS": "3,600 (S4)",
}
"""What the specification of the earlier system says, by variable."""


@dataclass(frozen=True)
class Central:
    """A value of S6, the specification's one configuration, and what stands for it here.

    `value` is None where the specification names batches and gives no one figure for them.
    """

    what: str
    value: int | None
    variable: str
    told: str = ""


CENTRAL: Sequence[Central] = (
    Central("imports, a minute and account", 10, "FOX_GATEWAY_IMPORTS_PER_MINUTE"),
    Central("calls to the model, a minute", 5, "FOX_AI_REQUESTS_PER_MINUTE"),
    Central("size of an uploaded file", 10 << 20, "FOX_GATEWAY_MAX_FILE_BYTES"),
    Central("rows of an uploaded file", 50_000, "FOX_GATEWAY_MAX_ROWS"),
    Central(
        "rows of a batch",
        None,
        "FOX_BATCH_ROWS",
        "50 in imports, 5,000 in its command. Ours is the most that one transaction takes; 50 would "
        "commit a hundred times as often. The other sizes: [below](#batch-sizes)",
    ),
)
"""Beside these S6 has no value."""

NOT_ASKED = frozenset({("FOX_SENTRY_DSN", "command")})
"""What the settings of a process hold and it does not ask for: a person reads what `foxstream` says."""

_UNITS = {
    "_bytes": "bytes",
    "_rows": "rows",
    "_seconds": "s",
    "_hours": "h",
    "_days": "days",
    "_per_minute": "a minute",
    "_limit": "share",
}
_MONEY = ("_budget_", "_price_")


@dataclass(frozen=True)
class Setting:
    """One variable, of all the classes that read it."""

    name: str
    readers: tuple[str, ...]
    fields: tuple[FieldInfo, ...]

    @property
    def description(self) -> str:
        """Of the first class that says it; empty where none does."""
        return next((field.description for field in self.fields if field.description), "")

    @property
    def defaults(self) -> set[str]:
        """More than one where classes differ, which is a mistake."""
        return {shown(field.default) for field in self.fields}


def variable(kind: type[BaseSettings], name: str, field: FieldInfo) -> str:
    """The environment variable that a field is read from."""
    alias = field.validation_alias
    if alias is None:
        return f"{kind.model_config.get('env_prefix', '')}{name}".upper()
    choices = getattr(alias, "choices", [alias])
    return str(choices[0]).upper()


FROM_FILES = frozenset(
    variable(kind, name, field)
    for kind, _ in READERS
    for name, field in kind.model_fields.items()
    if SecretStr in (field.annotation, *get_args(field.annotation))
)
"""Variables that `NAME_FILE` may stand for: the secrets."""


def settings(readers: Readers) -> list[Setting]:
    """All settings of these classes, those that are read by several once."""
    found: dict[str, Setting] = {}
    for kind, who in readers:
        for name, field in kind.model_fields.items():
            key = variable(kind, name, field)
            known = found.get(key, Setting(key, (), ()))
            asking = [reader for reader in who if (key, reader) not in NOT_ASKED]
            found[key] = Setting(key, (*known.readers, *asking), (*known.fields, field))
    return list(found.values())


def page() -> str:
    """The whole page."""
    everything = settings(READERS)
    secret = [s for s in everything if s.name in FROM_FILES]
    ours = [s for s in everything if not s.name.startswith(("FOX_AI_", "FOX_GATEWAY_", "OPENAI_"))]
    ai = [s for s in everything if s.name.startswith(("FOX_AI_", "OPENAI_"))]
    gateway = [s for s in everything if s.name.startswith("FOX_GATEWAY_")]
    local = settings(LOCAL)
    return _PAGE.format(
        files=", ".join(f"`{s.name}_FILE` may name a file that holds `{s.name}`" for s in secret),
        common=_table(ours),
        ai=_table(ai),
        gateway=_table(gateway),
        local=_table(local),
        sizes=table(("what", "rows", "set by"), _sizes()),
        central=table(("what", "S6", "setting", "default"), _central(everything)),
    )


def _central(everything: Iterable[Setting]) -> Iterator[tuple[str, str, str, str]]:
    known = {setting.name: setting for setting in everything}
    for each in CENTRAL:
        value = each.told if each.value is None else _number(each.value)
        [default] = known[each.variable].defaults
        yield each.what, value, f"`{each.variable}`", default


def _table(rows: Iterable[Setting]) -> str:
    return table(
        ("variable", "meaning", "default", "unit", "allowed", "specification", "read by"),
        [
            (
                f"`{setting.name}`",
                setting.description,
                " or ".join(sorted(setting.defaults)),
                unit(setting.name),
                allowed(setting.fields),
                SPECIFIED.get(setting.name, ""),
                ", ".join(setting.readers),
            )
            for setting in rows
        ],
    )


def unit(name: str) -> str:
    """What the number is counted in, which its name says; empty where it says none."""
    lower = name.lower()
    if any(part in lower for part in _MONEY):
        return "US dollars"
    return next((told for end, told in _UNITS.items() if lower.endswith(end)), "")


def shown(default: Any) -> str:
    """A default as it would be set."""
    if isinstance(default, SecretStr):
        default = default.get_secret_value()
    if default is None or default == "":
        return "none"
    if isinstance(default, bool):
        return f"`{default}`".lower()
    if isinstance(default, int | float | Decimal):
        return f"{default:g}" if isinstance(default, float) else _number(default)
    home = Path.home()
    inside = isinstance(default, Path) and default.is_relative_to(home)
    return f"`~/{default.relative_to(home)}`" if inside else f"`{default}`"


def _number(default: int | Decimal) -> str:
    large = isinstance(default, int) and default >= 1 << 20 and default % (1 << 20) == 0
    return f"{default} ({_binary(int(default))})" if large else str(default)


def _binary(size: int) -> str:
    return f"{size >> 30} GiB" if size % (1 << 30) == 0 else f"{size >> 20} MiB"


def allowed(fields: Iterable[FieldInfo]) -> str:
    """The limits of a number or the choices of a word; empty where anything goes."""
    told = {_allowed(field) for field in fields} - {""}
    return " and ".join(sorted(told))


def _allowed(field: FieldInfo) -> str:
    choices = getattr(field.annotation, "__args__", ())
    if choices and all(isinstance(choice, str) for choice in choices):
        return ", ".join(f"`{choice}`" for choice in choices)
    signs = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤"}
    return ", ".join(
        f"{sign} {getattr(limit, name)}"
        for limit in field.metadata
        for name, sign in signs.items()
        if hasattr(limit, name)
    )


def _sizes() -> list[tuple[str, str, str]]:
    batch = Settings.model_fields["batch_rows"].default
    job = next(p for p in commands()["foxstream-worker job"].params if p.name == "batch").default
    return [
        ("read and published at a time, of a file", f"{CHUNK:,}", "`producers/reading/table.py`"),
        ("published of an import and not yet written, at most", f"{window.WINDOW_ROWS:,}", "`producers/imports/window.py`"),
        ("fetched from Kafka at a time, of a worker", f"{processors.worker.topology.FETCH_ROWS:,}", "`processors/worker/topology.py`"),
        ("written in one transaction, of a partition", f"{batch:,}", "`FOX_BATCH_ROWS`"),
        ("that waited, written in the transaction of their parent", f"{parked_rows.MOST_RELEASED:,}", "`processors/rows/parking/parked_rows.py`"),
        ("companies looked at again for their pages, in one transaction", f"{public_pages.CHUNK:,}", "`processors/rows/derived/public_pages.py`"),
        ("changed by a job in one transaction (S2: 100)", f"{job}", "`foxstream-worker job NAME --batch`"),
    ]  # fmt: skip


_PAGE = """# Settings

Made of the code by `python -m tests.documents`; do not edit. Each setting is an environment variable, read when a process starts. A value that is not allowed ends the process with exit code 2 and names the variable. {files}.

"Read by": `worker` is `foxstream-worker`, `command` is `foxstream`, `gateway` is `foxstream-gateway`, `local` is `foxstream-local`. A setting that several read has to be the same for all of them. What each does is tried: `tests/unit/test_settings_have_effect.py` changes every one and sees its effect. "Specification" is what the user's specification says, with its section in [scalability.md](scalability.md#what-was-asked-and-what-is-measured); nothing there means that it says nothing.

## The specification's configuration

S6 asks for one central configuration of which every value can be changed. Its values, and what stands for each:

{central}

## Servers, rows, imports

{common}

## Texts by a language model

How they work together: [enrichment.md](enrichment.md).

{ai}

## Gateway

Limits a minute are of one account on one gateway: behind a balancer each gateway counts for itself. Pieces of resumable uploads count as requests.

{gateway}

## The embedded servers

Empty means unset. Where an address is set, `foxstream-local` starts no server of that kind.

{local}

## Batch sizes

What is not a variable is a constant of the module. Larger fetches and transactions, up to 10,000 rows, were tried and changed nothing ([scalability.md](scalability.md#where-the-time-goes)). The earlier system wrote 50 rows at a time in imports, 5,000 in its command, and saved its counters every 100.

{sizes}
"""
