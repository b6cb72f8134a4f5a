"""What a key may use in a minute: two token buckets, refilled continuously."""

from __future__ import annotations

from typing import Final, Literal

from vivavoce.protocol.objects import RateLimit
from vivavoce.runner import Admission
from vivavoce.settings import RateLimits

_MINUTE: Final = 60.0


class Bucket:
    """Holds `limit` at most and regains that much in a minute. May go below 0: what was spent was spent."""

    def __init__(self, name: Literal["requests", "tokens"], limit: int) -> None:
        self.name: Final = name
        self.limit: Final = limit
        self._level = float(limit)
        self._at: float | None = None

    def level(self, now: float) -> float:
        """How much is in it."""
        if self._at is not None:
            self._level = min(self.limit, self._level + (now - self._at) * self.limit / _MINUTE)
        self._at = now
        return self._level

    def take(self, amount: float, now: float) -> None:
        """Take it out, there or not; a negative amount goes back."""
        self._level = min(self.limit, self.level(now) - amount)

    def wait(self, amount: int, now: float) -> float:
        """Seconds until `amount` can be had: 0 if it can now."""
        return max(0.0, amount - self.level(now)) * _MINUTE / self.limit

    def refusal(self, amount: int, now: float) -> str | None:
        """Why `amount` cannot be had now, in the hosted API's words."""
        seconds = self.wait(amount, now)
        if seconds == 0:
            return None
        what = f"{self.name} per min: Limit {self.limit}"
        if amount > self.limit:
            return f"Request too large for {what}, Requested {amount}."
        used = round(self.limit - self._level)
        return f"Rate limit reached for {what}, Used {used}, Requested {amount}. Please try again in {seconds:.3g}s."

    def state(self, now: float) -> RateLimit:
        """As `rate_limits.updated` shows it."""
        level = self.level(now)
        reset = round((self.limit - level) * _MINUTE / self.limit, 3)
        return RateLimit(self.name, self.limit, max(0, int(level)), reset)


class KeyAccount:
    """One key's buckets, shared by all its sessions in this worker. Implements `runner.Account`."""

    def __init__(self, limits: RateLimits) -> None:
        requests, tokens = limits.requests_per_minute, limits.tokens_per_minute
        self._requests: Final = Bucket("requests", requests) if requests else None
        self._tokens: Final = Bucket("tokens", tokens) if tokens else None

    def admit(self, tokens: int, now: float) -> Admission:
        """Take one request and `tokens`, or nothing at all."""
        wanted = self._wanted(tokens)
        refusal = next((text for bucket, amount in wanted if (text := bucket.refusal(amount, now))), None)
        if refusal is None:
            for bucket, amount in wanted:
                bucket.take(amount, now)
        return Admission(refusal, tuple(bucket.state(now) for bucket, _ in wanted))

    def wait(self, now: float) -> float:
        """Seconds until a request can be admitted: 0 if it can now."""
        return max((bucket.wait(amount, now) for bucket, amount in self._wanted(0)), default=0.0)

    def spend(self, tokens: int, now: float) -> None:
        """Settle what a response really cost."""
        if self._tokens:
            self._tokens.take(tokens, now)

    def _wanted(self, tokens: int) -> list[tuple[Bucket, int]]:
        """What a request takes, and from which buckets."""
        return [(bucket, amount) for bucket, amount in ((self._requests, 1), (self._tokens, tokens)) if bucket]


class Accounts:
    """Every key's account, by the key's id."""

    def __init__(self, limits: RateLimits) -> None:
        self._limits: Final = limits
        self._accounts: Final[dict[str, KeyAccount]] = {}
        self.limited: Final = bool(limits.requests_per_minute or limits.tokens_per_minute)

    def of(self, key_id: str) -> KeyAccount:
        """The account of a key."""
        return self._accounts.setdefault(key_id, KeyAccount(self._limits))
