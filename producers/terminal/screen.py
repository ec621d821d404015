"""What the command line shows of an import while it runs, on standard error, in French.

On a terminal one line that moves; elsewhere a plain line every few seconds at most.
"""

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol, Self

from producers.kafka.import_state import accounted
from producers.mappings.phrases import phrase
from schemas.outcomes import (
    OUTCOMES,
    PARTLY_DISCLOSED,
    SKIPPED,
    STATUSES,
    WAITING,
    WARNINGS,
    left_out_phrase,
    partly_disclosed,
)
from schemas.records import ImportState
from schemas.runtime.terminal import say, shown

if TYPE_CHECKING:
    from rich.live import Live

PLAIN_SECONDS = 5.0


def number(value: int) -> str:
    """12 345, with a space that does not break."""
    return f"{value:,}".replace(",", "\N{NO-BREAK SPACE}")


def seconds(value: float) -> str:
    """0,8 s; 12 s; 3 min 05 s; 2 h 10 min."""
    if value < 10:
        return f"{value:.1f} s".replace(".", ",")
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def reading_line(read: int, acknowledged: int, elapsed: float) -> str:
    """While the file is read and published."""
    rate = acknowledged / elapsed if elapsed > 0 else 0.0
    return (
        f"Lecture : {number(read)} lignes lues, {number(acknowledged)} confiées à Kafka "
        f"({number(round(rate))} lignes/s)"
    )


def writing_line(state: ImportState) -> str:
    """While the workers write."""
    done, total = accounted(state), state["total_rows"]
    if state["waiting_for"]:
        known = WAITING.get(state["waiting_for"])
        waiting = known.phrase if known else f"en attente de {state['waiting_for']}"
        return f"{number(done)} lignes traitées : {waiting}"
    if state["status"] == "PAUSED":
        return f"{number(done)} lignes traitées : import suspendu (foxstream resume {state['id']})"
    rate = state["rows_per_second"] or 0.0
    parts = [f"Écriture : {number(done)}"]
    if total:
        parts.append(f" sur {number(total)} lignes ({100 * done // total} %)")
    else:
        parts.append(" lignes")
    if rate:
        parts.append(f", {number(round(rate))} lignes/s")
    if rate and total and total > done:
        parts.append(f", encore {seconds((total - done) / rate)}")
    if state["error_rows"]:
        parts.append(f", {number(state['error_rows'])} en erreur")
    return "".join(parts)


class Screen(Protocol):
    """Where progress is shown: `line` replaces the moving line, `say` stays."""

    def line(self, text: str) -> None: ...
    def say(self, text: str) -> None: ...


class PlainScreen:
    """For a log or a pipe: a line that has changed, every few seconds at most."""

    def __init__(
        self,
        write: Callable[[str], object] = lambda text: say(text, err=True),
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._write = write
        self._clock = clock
        self._shown_at = clock()
        self._shown = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    def line(self, text: str) -> None:
        now = self._clock()
        if text != self._shown and now - self._shown_at >= PLAIN_SECONDS:
            self._shown, self._shown_at = text, now
            self._write(text)

    def say(self, text: str) -> None:
        self._write(text)


class LiveScreen:
    """For a terminal. Loads rich only when there is something to show for longer than a moment."""

    _QUIET_SECONDS = 0.3

    def __init__(self) -> None:
        self._live: Live | None = None
        self._begun = monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def line(self, text: str) -> None:
        if self._live is None and monotonic() - self._begun < self._QUIET_SECONDS:
            return
        live = self._started()
        live.update(live.console.render_str(shown(text), markup=False, highlight=False))

    def say(self, text: str) -> None:
        self._started().console.print(shown(text), markup=False, highlight=False, soft_wrap=True)

    def _started(self) -> "Live":
        if self._live is None:
            from rich.console import Console
            from rich.live import Live

            self._live = Live(console=Console(stderr=True), transient=True)
            self._live.start()
        return self._live


def screen() -> PlainScreen | LiveScreen:
    """What suits standard error."""
    return LiveScreen() if sys.stderr.isatty() else PlainScreen()


def _skipped(state: ImportState) -> list[str]:
    if not state["skipped_rows"]:
        return []
    return [f"  {number(state['skipped_rows'])} {SKIPPED[state['import_type']].phrase}"]


def _lacking(state: ImportState) -> list[str]:
    rows = state["dropped_rows"]
    if not rows:
        return []
    lines = (
        "1 ligne importée sans une de ses valeurs"
        if rows == 1
        else (f"{number(rows)} lignes importées sans une de leurs valeurs")
    )
    return [f"  {lines} : foxstream errors {state['id']}"]


def summary(state: ImportState) -> list[str]:
    """How an import stands, in a few lines."""
    total = "?" if state["total_rows"] is None else number(state["total_rows"])
    head = f"{STATUSES[state['status']].phrase} ({state['status']}) : {state['file_name']}, {total} lignes"
    if state["duration"] is not None:
        head += f" en {seconds(state['duration'])}"
    if state["rows_per_second"]:
        head += f" ({number(round(state['rows_per_second']))} lignes/s)"
    lines = [head, f"  import {state['id']}"]
    if state["parent"]:
        resolved = number(state["settles"])
        lines.append(
            f"  reprise de l'import {state['parent']}, dont {resolved} lignes sont réglées"
        )
    if state["error"]:
        lines.append(f"  {state['error']['message']}")
    counts = [
        f"{number(state[name])} {words.phrase}" for name, words in OUTCOMES.items() if state[name]
    ]
    if counts:
        lines.append(f"  {', '.join(counts)}")
    if state["released"]:
        lines.append(
            f"  {number(state['released'])} lignes d'autres imports, qui attendaient ces lignes, ont "
            "été traitées"
        )
    lines += _skipped(state)
    lines += _lacking(state)
    if remembered := state["options"].get("remembered"):
        lines.append(f"  {phrase(json.loads(remembered))}")
    lines += (f"  {line}" for line in beside_lines(state))
    lines += _warnings(state["warnings_by_code"])
    return lines


def beside_lines(found: Mapping[str, Any]) -> Iterator[str]:
    """What a file has besides the rows that are read, of a state or a check: a line for each."""
    for part in found["left_out"]:
        yield left_out_phrase(part, number(part["rows"]))
    if found["other_sheets"]:
        yield f"feuilles ou fichiers d'un autre contenu, non lus : {', '.join(found['other_sheets'])}"
    if hint := found["encoding_hint"]:
        yield (
            f"l'encodage ressemble à {hint} : si les accents sont faux, recommencez avec "
            f"--encoding {hint}"
        )


def _warnings(counts: Mapping[str, int]) -> Iterator[str]:
    if masked := counts.get(PARTLY_DISCLOSED):
        yield f"  {partly_disclosed(masked, number(masked))}"
    warnings = ", ".join(
        f"{number(count)} {WARNINGS[code].phrase if code in WARNINGS else code}"
        for code, count in counts.items()
        if code != PARTLY_DISCLOSED
    )
    if warnings:
        yield f"  avertissements : {warnings}"
