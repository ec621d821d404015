"""Who runs a command."""

from getpass import getuser


def login_name() -> str | None:
    """The login name, or None: the user of a container may not have one."""
    try:
        return getuser()
    except (OSError, KeyError):
        return None
