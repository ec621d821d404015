"""What can go wrong with the local stack; every message is one sentence for a developer."""


class LocalStackError(Exception):
    """The local stack cannot do what was requested."""


class NotInstalledError(LocalStackError):
    """The packages that carry the servers are missing."""


class JarError(LocalStackError):
    """A jar cannot be fetched, or is not the one that was pinned."""


class ServerError(LocalStackError):
    """A server did not start; the message ends with the tail of its log."""


class DirectoryInUseError(LocalStackError):
    """Another process runs a stack in the same directory."""
