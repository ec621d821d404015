"""Published files that are kept for retries: of each account as much as its share of the disk."""

import os
import shutil
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from producers.gateway.spool.spool import Spool, SpooledFile


def another_name(spool: Spool, spooled: SpooledFile) -> Path | None:
    """The file of an import under a second name, which the caller moves or removes; None if it is not kept."""
    path = spool.scratch(".kept")
    path.unlink()
    try:
        os.link(spool.data(spooled), path)
    except FileNotFoundError:
        return None
    os.utime(path)  # an orphan is removed by its age
    return path


class _KeptFile(NamedTuple):
    created_at: str
    size: int
    folder: Path


def remove_surplus(spool: Spool, share: float) -> int:
    """Removes the oldest files of each account that has more; how many."""
    most = spool.room()[1] * share
    by_account: dict[str, list[_KeptFile]] = defaultdict(list)
    for import_id in spool.published_imports():
        spooled = spool.find(import_id)
        if spooled is not None:
            kept = _KeptFile(spooled.created_at, spooled.size, spool.import_folder(import_id))
            by_account[spooled.uploaded_by].append(kept)
    surplus = [folder for kept in by_account.values() for folder in _surplus(kept, most)]
    for folder in surplus:
        shutil.rmtree(folder, ignore_errors=True)
    return len(surplus)


def _surplus(kept: list[_KeptFile], most: float) -> Iterator[Path]:
    for file in sorted(kept, reverse=True):
        most -= file.size
        if most < 0:
            yield file.folder
