"""The attacks, by name."""

from collections.abc import Mapping

from tests.attacks.scripts import (
    connections,
    damaged_records,
    hostile_rows,
    rights,
    saturation,
    uploads,
)
from tests.attacks.scripts.attacker import Attack

ATTACKS: Mapping[str, Attack] = {
    **damaged_records.ATTACKS,
    **hostile_rows.ATTACKS,
    **rights.ATTACKS,
    **connections.ATTACKS,
    **uploads.ATTACKS,
    **saturation.ATTACKS,
}
