"""Errors that stop a worker, or a partition.

WorkerError
├── ConfigurationError        the configuration has to be changed; exit code 2
│   └── DatabaseReplacedError the database is another one of the same name
└── UnreachableError          a server cannot be reached; exit code 5

BatchTooLargeError        a batch is written in halves; the worker goes on
ImportUnknownError        a batch is tried again: the import of its rows is not stored yet
"""


class WorkerError(Exception):
    """The worker cannot go on; the message says what has to be done."""

    exit_code = 1


class ConfigurationError(WorkerError):
    """Something outside of foxstream is configured wrongly."""

    exit_code = 2


class DatabaseReplacedError(ConfigurationError):
    """A dump was restored while the worker ran: what it knows is of the database before."""


class UnreachableError(WorkerError):
    """Kafka, the schema registry or PostgreSQL cannot be reached."""

    exit_code = 5


class BatchTooLargeError(Exception):
    """One transaction cannot take this batch: write it in two."""


class ImportUnknownError(Exception):
    """The tracker has not stored the import of some rows yet."""
