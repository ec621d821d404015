"""How the scripted model behaves in a soak: mostly well, now and then not, for a while not at all."""

import random
from time import monotonic

from tests.openai_server import Call, Reply

LIMITED_SHARE, FAILING_SHARE = 0.02, 0.02
DELAY_SECONDS = (0.1, 0.6)


class Model:
    """A script of ScriptedOpenAI. Calls come one at a time."""

    def __init__(self, seed: int = 732) -> None:
        self._chance = random.Random(seed)
        self.away_until = 0.0  # this machine's monotonic clock

    def __call__(self, _: Call) -> Reply:
        if monotonic() < self.away_until:
            return Reply(status=503)
        drawn = self._chance.random()
        if drawn < LIMITED_SHARE:
            return Reply(status=429, headers={"Retry-After": "1"})
        if drawn < LIMITED_SHARE + FAILING_SHARE:
            return Reply(status=500)
        return Reply(hang=self._chance.uniform(*DELAY_SECONDS))
