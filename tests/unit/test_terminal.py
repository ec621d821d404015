"""Nothing that a file or a sender wrote controls the terminal on which it is shown."""

import ast
import json
import re
import sys
import unicodedata
from io import BytesIO, StringIO, TextIOWrapper
from pathlib import Path

import openpyxl
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from producers.cli import app
from producers.kafka.import_state import new_state
from producers.terminal.screen import LiveScreen, PlainScreen, summary
from schemas.runtime import logs
from schemas.runtime.terminal import say, shown, write_out

ROOT = Path(__file__).parents[2]
HOSTILE = "\x1b]0;titre\x07\x9b31m\u202e\u2066\u200f\r\b\x7f\u2028"
LINE_END = "Rennes\nRefusé"


def controls(text: str) -> set[str]:
    """What controls a terminal, but for line ends."""
    return {c for c in text if unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp")} - {"\n"}


@given(st.text())
def test_what_is_shown_is_one_line_of_printed_characters(text: str) -> None:
    found = shown(text)

    assert controls(found) | ({"\n"} & set(found)) == set()
    assert shown(found) == found
    if "\\" not in text and '"' not in text:
        assert json.loads(f'"{found}"') == text


@given(st.text())
def test_a_document_keeps_its_meaning(text: str) -> None:
    document = json.dumps({"nom": text}, ensure_ascii=False)

    assert json.loads(shown(document)) == {"nom": text}


def test_usual_texts_are_as_they_are() -> None:
    for text in ("12\N{NO-BREAK SPACE}345 lignes, « été »", "日本", "œuvre — 3 €", "👍"):
        assert shown(text) == text


def test_a_check_of_a_hostile_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its name, its sheets, its columns and its values are shown."""
    monkeypatch.setenv("FOX_KAFKA_BOOTSTRAP", "127.0.0.1:1")
    book = openpyxl.Workbook()
    book.active.title = "F\u202e\x9b1"
    for row in (["siren", "nom", f"x\u202e\x9b{LINE_END}"], ["73282932\x9b\u202e", LINE_END, "z"]):
        book.active.append(row)
    book.create_sheet("G\u2066\x85").append(["autre", "chose"])
    path = tmp_path / f"a{HOSTILE}.xlsx"
    book.save(path)

    for words in ((), ("--json",)):
        found = CliRunner().invoke(app, ["check", str(path), "--type", "entreprise", *words])

        assert found.exit_code == 3, found.output
        assert controls(found.output) == set()
        assert "\\u202e" in found.output
        assert not any(line.startswith("Refusé") for line in found.output.splitlines())
        assert r"\u001b]0;titre" in found.output
        if words:
            assert json.loads(found.output)["file_name"] == path.name


def test_a_refusal_of_a_hostile_file(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"{HOSTILE};y\n1;2\n")

    found = CliRunner().invoke(app, ["check", str(path), "--type", "entreprise"])

    assert found.exit_code == 4
    assert controls(found.output) == set()


def test_progress(capsys: pytest.CaptureFixture[str]) -> None:
    now = iter(range(0, 1000, 10))
    screen = PlainScreen(clock=lambda: float(next(now)))
    screen.line(HOSTILE)
    screen.say(LINE_END)
    with LiveScreen() as live:
        live.say(HOSTILE)

    written = capsys.readouterr().err
    assert controls(re.sub(r"\x1b\[[0-9?;]*[a-zA-Z]", "", written)) == set()
    assert "Rennes\\nRefusé\n" in written


def test_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    """JSON has escapes for what JSON does not permit, and no others by itself."""
    before = structlog.get_config()
    import logging

    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    stream = StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    try:
        logs.configure()
        structlog.get_logger("test").info("upload", file=HOSTILE)
    finally:
        structlog.configure(**before)
        root.handlers, root.level = handlers, level

    assert controls(stream.getvalue()) == set()
    assert json.loads(stream.getvalue())["file"] == HOSTILE


class Terminal(TextIOWrapper):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("kind", [TextIOWrapper, Terminal])
def test_a_document_for_a_program_is_unchanged(
    monkeypatch: pytest.MonkeyPatch, kind: type[TextIOWrapper]
) -> None:
    stream = kind(BytesIO(), encoding="utf-8", write_through=True)
    monkeypatch.setattr(sys, "stdout", stream)
    document = f"\ufeffa;b\n{HOSTILE};c\n".encode()

    write_out(document)

    written = stream.buffer.getvalue()  # type: ignore[attr-defined]
    assert (written == document) is not isinstance(stream, Terminal)
    assert (controls(written.decode()) == set()) is isinstance(stream, Terminal)


def test_nothing_else_writes_to_a_terminal() -> None:
    """Commands of both sides, among them list, import, trace, parked and rejects, have no other way."""
    found = {
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for folder in ("producers", "processors", "schemas", "deploy")
        for path in (ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and re.fullmatch(
            r"print|(typer|click)\.s?echo|sys\.(stdout|stderr)\.write(lines)?",
            ast.unparse(node.func),
        )
    }

    assert {place.split(":")[0] for place in found} <= {
        "schemas/runtime/terminal.py",
        "deploy/kafka/acls.py",  # a count
        "deploy/release.py",  # what schemas/values/text_prices.py says
        "deploy/local/processes/guard.py",  # a process id, for a program
    }
    assert found


def test_the_summary_of_an_import(capsys: pytest.CaptureFixture[str]) -> None:
    state = new_state(id="i", import_type="ENTREPRISE", file_name=LINE_END + HOSTILE)

    say(*summary(state))

    written = capsys.readouterr().out
    assert controls(written) == set()
    assert "Rennes\\nRefusé" in written
