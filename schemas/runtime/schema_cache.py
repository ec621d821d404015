"""Answers of the schema registry on the disk, for the time that it cannot be reached.

One file for each answer, under a folder of the registry's address. A file says what it is the answer
to, and is believed only if that is what was asked: a folder that is shared, restored or damaged
gives no wrong answer.
"""

import json
import logging
import os
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

MOST_FILES = 1000
MOST_BYTES = 32 << 20
"""Of the files of one registry; the oldest are removed beyond."""

_LOGGER = logging.getLogger(__name__)


class SchemaCache:
    """Answers of the registry at `url`. What cannot be read or written is as if it were not there."""

    def __init__(self, folder: Path, url: str) -> None:
        self._url = url.rstrip("/")
        self._folder = folder / sha256(self._url.encode()).hexdigest()[:16]
        self._writes = True

    def get(self, *question: Any) -> Any:
        """The answer that was kept last to `question`, which JSON can hold; None if there is none."""
        try:
            kept = json.loads(self._path(question).read_bytes())
            if kept["of"] == [self._url, *question] and kept["sha256"] == _digest(kept["answer"]):
                return kept["answer"]
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            pass
        return None

    def keep(self, answer: Any, *question: Any) -> None:
        """Keeps the answer, whole or not at all."""
        if not self._writes:
            return
        kept = {"of": [self._url, *question], "answer": answer, "sha256": _digest(answer)}
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._make_room(content := json.dumps(kept).encode())
            with NamedTemporaryFile(dir=self._folder, suffix=".new", delete=False) as file:
                file.write(content)
            os.replace(file.name, self._path(question))
        except OSError as error:
            self._writes = False
            _LOGGER.info(
                "schemas are not kept", extra={"action": "schema_cache_off", "error": str(error)}
            )

    def _make_room(self, content: bytes) -> None:
        found = []
        for path in self._folder.iterdir():
            with suppress(OSError):  # another process removes as well
                found.append((path.stat().st_mtime, path.stat().st_size, path))
        found.sort()
        size = len(content) + sum(each for _, each, _ in found)
        while found and (len(found) >= MOST_FILES or size > MOST_BYTES):
            _, removed, path = found.pop(0)
            path.unlink(missing_ok=True)
            size -= removed

    def _path(self, question: tuple[Any, ...]) -> Path:
        return self._folder / f"{_digest(question)[:32]}.json"


def _digest(value: Any) -> str:
    return sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
