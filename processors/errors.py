"""What can stop a worker, or a part of it.

WorkerError
├── ConfigurationError    somebody has to change something; exit code 2
│   └── PositionLostError Kafka no longer holds what PostgreSQL asks for
└── UnreachableError      a server cannot be reached; exit code 5

BatchTooLargeError        a batch is written in halves; no worker ends for it
"""


class WorkerError(Exception):
    """The worker cannot go on; the message says who has to do what."""

    exit_code = 1


class ConfigurationError(WorkerError):
    """Something outside of foxstream is not as it has to be."""

    exit_code = 2


class PositionLostError(ConfigurationError):
    """Reading on would skip records: Kafka does not hold the position stored in PostgreSQL."""


class UnreachableError(WorkerError):
    """Kafka, the schema registry or PostgreSQL cannot be reached."""

    exit_code = 5


class BatchTooLargeError(Exception):
    """One transaction cannot take this batch: write it in two."""
