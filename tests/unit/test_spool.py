"""The gateway's folder of files: what fails, dies or is torn leaves nothing broken."""

import json
import os
import stat
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import time
from typing import Any
from uuid import UUID

import pytest

from producers.gateway.spool import spool as module
from producers.gateway.spool.spool import Spool, SpooledFile, TakenError, alone, key, write_info
from producers.reports import error_report

SPOOLED = SpooledFile(
    str(UUID(int=0)), "VILLE", "a.csv", "0" * 64, 3, "me", "2026-01-01T00:00:00+00:00"
)
HOUR = 3600


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool")


def received(spool: Spool) -> Path:
    """A file that came."""
    path = spool.scratch(".part")
    path.write_bytes(b"abc")
    return path


def test_a_file_that_is_an_import_already_stays_where_it_was(spool: Spool) -> None:
    """Another request was faster; who sent this one may have nothing else."""
    spool.accept(SPOOLED, received(spool))
    late = received(spool)

    with pytest.raises(TakenError):
        spool.accept(SPOOLED, late)

    assert late.read_bytes() == b"abc"
    assert [path.name for path in (spool.folder / "imports").iterdir()] == [SPOOLED.id]


def test_a_job_of_another_version_is_read(spool: Spool) -> None:
    """A newer one that shares the spool may know more of it, an older one less."""
    spool.accept(SPOOLED, received(spool))
    path = spool.import_folder(SPOOLED.id) / "job.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "force": True}))

    assert spool.find(SPOOLED.id) == SPOOLED


def test_sessions_are_never_signed_with_an_empty_secret(spool: Spool) -> None:
    """A gateway died, or is about to write: who comes now does not take nothing for the secret."""
    path = spool.folder / "secret"
    path.touch()

    secret = spool.secret()

    assert len(secret) == 32
    assert (Spool(spool.folder).secret(), path.read_bytes()) == (secret, secret)
    path.unlink()
    assert spool.secret() != secret
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("torn", [b"", b"\0\0\0", b'{"finger'])
def test_a_key_that_was_torn_is_as_new(spool: Spool, torn: bytes) -> None:
    """A power loss before the answer: the key stood for nothing yet, and can be used."""
    path = spool.key_file("me", "k")
    path.write_bytes(torn)

    with key(path) as found:
        assert found is not None
        assert found.known is None
        found.remember({"a": 1})

    with key(path) as again:
        assert again is not None
        assert again.known == {"a": 1}


def test_a_key_that_is_given_up_meanwhile_is_in_use(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By another gateway, between opening and locking: what is written to it nobody would find."""
    path = spool.key_file("me", "k")
    real = module._locked

    def locked(descriptor: int) -> bool:
        path.unlink()
        return real(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(module, "_locked", locked)
        with key(path) as found:
            assert found is None

    with key(path) as found:
        assert found is not None


def begun(spool: Spool, name: str, hours: float) -> Path:
    """A resumable upload that may be gone on with for so long."""
    ends_at = datetime.now(UTC) + timedelta(hours=hours)
    spool.begin_upload(name, {"ends_at": ends_at.isoformat()})
    return spool.large / name


def test_uploads_that_have_ended_go(spool: Spool) -> None:
    """All but those that may be gone on with, or of which a piece is on its way."""
    begun(spool, "ended", -1)
    goes_on = begun(spool, "goes on", 1)
    open_ = begun(spool, "open", -1)

    with alone(open_):
        assert spool.clean(30) == 1
        assert set(spool.large.iterdir()) == {goes_on, open_}
    assert spool.clean(30) == 1
    assert list(spool.large.iterdir()) == [goes_on]


@pytest.mark.parametrize("info", [None, "", '{"ends'])
def test_an_upload_that_never_began_goes_after_an_hour(spool: Spool, info: str | None) -> None:
    """Its gateway died while it made the folder; whatever is there stops no cleaning."""
    folder = begun(spool, "dead", 1)
    (folder / "info.json").unlink()
    if info is not None:
        (folder / "info.json").write_text(info)

    assert spool.clean(30, now=time() + HOUR - 60) == 0
    assert spool.clean(30, now=time() + HOUR + 60) == 1
    assert list(spool.large.iterdir()) == []


def test_the_info_of_an_upload_is_replaced_at_once(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who reads it meanwhile, or after a death, finds the one or the other."""
    folder = begun(spool, "upload", 1)
    seen: list[Any] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        seen.append(json.loads((folder / "info.json").read_text()))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    write_info(folder, {"ends_at": "now"})

    assert [len(seen[0]["ends_at"]) > 3, seen[-1]] == [True, {"ends_at": "now"}]


@pytest.mark.parametrize("umask", [0, 0o022])
def test_only_the_owner_reads_the_spool(tmp_path: Path, umask: int) -> None:
    """Uploads hold personal data; so do their reports and what a resumable upload is to become."""
    (tmp_path / "spool").mkdir()
    (tmp_path / "spool").chmod(0o755)
    before = os.umask(umask)
    try:
        spool = Spool(tmp_path / "spool")
        with closing(spool.receive()) as receiver:
            receiver.open()
            receiver.write(b"abc")
            receiver.finish()
            spool.accept(SPOOLED, receiver.path)
        with spool.lease(SPOOLED.id), key(spool.key_file("me", "key")) as used:
            assert used is not None
            used.remember({"id": SPOOLED.id})
        spool.begin_upload("upload", {"length": 3})
        with alone(spool.large / "upload"):
            write_info(spool.large / "upload", {"length": 4})
        error_report.write(spool.scratch(".csv"), error_report.Report(["a"], [["b"]]), ";")
        error_report.write(spool.scratch(".xlsx"), error_report.Report(["a"], [["b"]]), ";")
        spool.secret()
        spool.try_out()
    finally:
        os.umask(before)

    modes = {
        path: stat.S_IMODE(path.stat().st_mode) for path in [spool.folder, *spool.folder.rglob("*")]
    }
    assert {
        path.name: oct(mode)
        for path, mode in modes.items()
        if mode != (0o700 if path.is_dir() else 0o600)
    } == {}
    assert {"data", "job.json", "lock", "info.json", "secret", SPOOLED.id} <= {
        path.name for path in modes
    }
