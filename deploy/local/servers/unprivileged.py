"""Another user for PostgreSQL when this process is root, because it refuses to run as root."""

import os
import pwd
import shutil
import stat
import tempfile
from pathlib import Path

from deploy.local.errors import ServerError

ACCOUNTS = ("postgres", "nobody")
WORKING_DIRECTORY = Path("/proc/self/cwd")

Owner = tuple[int, int]


def owner_for(data: Path) -> Owner | None:
    """User and group id for the server of that data directory; None to stay the same user.

    Raises ServerError when root finds no account to use.
    """
    if os.geteuid() != 0:
        return None
    if data.exists() and data.stat().st_uid != 0:
        return data.stat().st_uid, data.stat().st_gid
    for name in ACCOUNTS:
        try:
            account = pwd.getpwnam(name)
        except KeyError:
            continue
        return account.pw_uid, account.pw_gid
    raise ServerError(
        f"PostgreSQL refuses to run as root and has no account {' or '.join(ACCOUNTS)}"
    )


def seen_from_inside(data: Path, owner: Owner | None) -> str:
    """How a server started in its data directory names that directory.

    Another user may not be able to pass the directories above it (a clone below a home with mode
    0700). The kernel's link to the working directory leads there all the same.
    """
    return str(WORKING_DIRECTORY if owner is not None and WORKING_DIRECTORY.exists() else data)


def reachable(path: Path, owner: Owner) -> bool:
    """Whether that user can pass every directory above and including `path`."""
    user, group = owner
    for directory in (path, *path.parents):
        found = directory.stat()
        if found.st_uid == user:
            allowed = found.st_mode & stat.S_IXUSR
        elif found.st_gid == group:
            allowed = found.st_mode & stat.S_IXGRP
        else:
            allowed = found.st_mode & stat.S_IXOTH
        if not allowed:
            return False
    return True


def copied(package: Path, version: str) -> Path:
    """A copy of a package directory, with the shared libraries beside it, that everybody can read.

    Kept in the system's temporary directory for the next start.
    """
    home = Path(tempfile.gettempdir()) / f"foxstream-{os.geteuid()}-{package.name}-{version}"
    if not home.exists():
        scratch = Path(tempfile.mkdtemp(dir=home.parent))
        for part in package.parent.glob(f"{package.name}*"):
            if part.suffix in ("", ".libs"):
                shutil.copytree(part, scratch / part.name, symlinks=True)
        scratch.chmod(0o755)
        try:
            scratch.rename(home)
        except OSError:
            shutil.rmtree(scratch)  # another process was first
    found = home.lstat()
    if found.st_uid != os.geteuid() or not stat.S_ISDIR(found.st_mode) or found.st_mode & 0o022:
        raise ServerError(f"{home} was not made by this user: delete it")
    return home / package.name
