"""How many descriptors a process may have open: files and connections."""

import resource
from math import inf


def most_descriptors() -> float:
    """The limit, which is raised first: the usual 1,024 is less than a process may raise it to."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return inf if hard == resource.RLIM_INFINITY else hard
