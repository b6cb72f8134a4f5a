"""Everything at once, as often as you like: `make fuzz`, or `python -m tests.fuzz --events 1000000 --seed 7`.

Sessions live through random inputs (`World` checks the laws after each) while what they send goes through both dialects and
the oracle of each. A crash or a broken law ends the run with the seed that shows it again.
"""

from __future__ import annotations

import argparse
import random
import sys
import time

from tests.oracle import Oracle
from tests.simulation import World
from vivavoce.protocol.beta import BETA
from vivavoce.protocol.codec import GA
from vivavoce.protocol.server_events import ServerEventBase
from vivavoce.session.boundary import Disconnected, Output

STEPS_OF_A_SESSION = 200


def live(seed: int, *, judged: bool) -> int:
    """One session's life; how many inputs it took. `judged`: what it sends is validated, in one dialect."""
    draw = random.Random(seed)
    dialect = draw.choice((GA, BETA))
    oracle = Oracle(dialect.name)

    def judge(output: Output) -> None:
        if isinstance(output, ServerEventBase):
            frame = dialect.encode(output)
            if frame is not None and judged:
                oracle.saw_server(frame)

    limited, listens, drafts, confirms = draw.random() < 0.3, *(draw.random() < 0.5 for _ in range(3))
    world = World(rate_limited=limited, listens=listens, drafts=drafts, confirms=confirms, see=judge)
    for _ in range(STEPS_OF_A_SESSION):
        if world.session.deadline() is None:
            break
        world.step(draw.randrange(1000), draw.randrange(1000), draw.randrange(1000))
    world.handle(Disconnected())
    assert not world.open_responses
    assert not world.drafts
    return len(world.inputs)


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    started, events, seed = time.monotonic(), 0, options.seed
    while events < options.events:
        try:
            events += live(seed, judged=seed % 4 == 0)
        except BaseException:
            print(f"seed {seed}, after {events} events", file=sys.stderr)
            raise
        seed += 1
        if seed % 500 == 0:
            print(f"{events:,} events, {seed - options.seed:,} sessions, {time.monotonic() - started:.0f} s", flush=True)
    print(f"{events:,} events in {seed - options.seed:,} sessions: no crash, no broken law.")


if __name__ == "__main__":
    main(sys.argv[1:])
