"""Limits: sessions at once, length of a session, requests and tokens a minute; and the grace at the end."""

from __future__ import annotations

import json
import time

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.serving import Served, receive, run, send, until
from vivavoce.server.rate_limits import Accounts, Bucket, KeyAccount
from vivavoce.server.sessions import Sessions
from vivavoce.settings import RateLimits

TEXT_ITEM = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hello."}]}
TEXT_ONLY = {"type": "realtime", "output_modalities": ["text"]}
SLOW = {"scripted": {"script": {"turns": [{"do": [{"say": "At once. "}, {"after_ms": 400, "say": "Later."}]}]}}}
HANGING = {"scripted": {"script": {"turns": [{"do": [{"say": "At once. "}, {"hang": True}]}]}}}


def test_one_session_too_many_is_turned_away_before_the_upgrade() -> None:
    async def main(served: Served) -> None:
        async with served.connect() as first, served.connect() as second:
            await until(first, "session.created")
            await until(second, "session.created")
            with pytest.raises(InvalidStatus) as refused:
                await served.connect()
            response = refused.value.response
            assert (response.status_code, response.headers["retry-after"]) == (503, "5")
            assert json.loads(response.body)["error"]["code"] == "server_overloaded"
        await served.sessions(0)
        async with served.connect() as client:
            await until(client, "session.created")

    run(main, max_sessions=2)


def test_each_worker_takes_its_share_of_the_sessions() -> None:
    assert [Sessions(10, workers)._limit for workers in (1, 3, 10, 100)] == [10, 4, 1, 1]


def test_a_session_ends_after_its_time() -> None:
    async def main(served: Served) -> None:
        async with served.connect() as client:
            created = await receive(client)
            assert created["session"]["expires_at"] - time.time() <= 1
            assert (await receive(client))["error"]["code"] == "session_expired"
            with pytest.raises(ConnectionClosed) as closed:
                await client.recv()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1001
            assert closed.value.rcvd.reason.startswith("Your session hit the maximum duration of ")

    run(main, session_minutes=0.005)


def test_items_are_limited() -> None:
    async def main(served: Served) -> None:
        async with served.connect() as client:
            await until(client, "session.created")
            for _ in range(3):
                await send(client, "conversation.item.create", item=TEXT_ITEM)
            assert (await until(client, "error"))["error"]["code"] == "conversation_full"

    run(main, items=2)


def test_an_engine_that_falls_silent_fails_the_response() -> None:
    async def main(served: Served) -> None:
        async with served.connect() as client:
            await send(client, "session.update", session=TEXT_ONLY)
            await send(client, "conversation.item.create", item=TEXT_ITEM)
            await send(client, "response.create")
            response = (await until(client, "response.done"))["response"]
            assert response["status"] == "failed"
            assert response["status_details"]["error"]["code"] == "engine_timeout"

    run(main, engine_silence_seconds=0.1, engines=HANGING)


# --- rate limits ---


def test_a_bucket_refills_in_a_minute() -> None:
    bucket = Bucket("requests", 3)
    for _ in range(3):
        assert bucket.refusal(1, 0.0) is None
        bucket.take(1, 0.0)
    refusal = "Rate limit reached for requests per min: Limit 3, Used 3, Requested 1. Please try again in 20s."
    assert bucket.refusal(1, 0.0) == refusal
    assert bucket.refusal(1, 19.9) is not None
    assert bucket.refusal(1, 20.0) is None
    state = bucket.state(20.0)
    assert (state.limit, state.remaining, state.reset_seconds) == (3, 1, 40.0)
    assert bucket.state(1000.0).remaining == 3


def test_a_request_that_never_fits_is_told_so() -> None:
    refusal = Bucket("tokens", 100).refusal(101, 0.0)
    assert refusal == "Request too large for tokens per min: Limit 100, Requested 101."


def test_what_is_refused_costs_nothing_and_what_was_spent_is_paid() -> None:
    account = KeyAccount(RateLimits(requests_per_minute=2, tokens_per_minute=1000))
    assert account.admit(900, 0.0).refusal is None
    account.spend(500, 0.0)  # It cost 1400: the key is 400 in debt.
    refused = account.admit(10, 0.0)
    assert refused.refusal is not None
    assert "tokens per min" in refused.refusal
    assert [(limit.name, limit.remaining) for limit in refused.limits] == [("requests", 1), ("tokens", 0)]
    assert account.admit(10, 24.0).refusal is not None
    assert account.admit(10, 25.0).refusal is None
    account.spend(-10_000, 60.0)
    assert account.admit(1000, 60.0).limits[1].remaining == 0


def test_keys_do_not_share_an_account_but_their_sessions_do() -> None:
    accounts = Accounts(RateLimits(requests_per_minute=1))
    assert accounts.limited
    assert accounts.of("one") is accounts.of("one")
    assert accounts.of("one").admit(1, 0.0).refusal is None
    assert accounts.of("one").admit(1, 0.0).refusal is not None
    assert accounts.of("two").admit(1, 0.0).refusal is None
    assert not Accounts(RateLimits()).limited


def test_rate_limits_over_the_wire() -> None:
    async def main(served: Served) -> None:
        async with served.connect() as client:
            await send(client, "session.update", session=TEXT_ONLY)
            await send(client, "conversation.item.create", item=TEXT_ITEM)
            await send(client, "response.create")
            limits = (await until(client, "rate_limits.updated"))["rate_limits"]
            assert [(limit["name"], limit["limit"], limit["remaining"]) for limit in limits] == [("requests", 1, 0)]
            assert (await until(client, "response.done"))["response"]["status"] == "completed"
            await send(client, "response.create")
            response = (await until(client, "response.done"))["response"]
            assert response["status"] == "failed"
            assert response["status_details"]["error"]["code"] == "rate_limit_exceeded"

    run(main, rate_limits=RateLimits(requests_per_minute=1))


# --- the end ---


def test_a_stop_lets_the_running_response_finish_and_closes_with_1001() -> None:
    async def main(served: Served) -> None:
        async with served.connect() as client, served.connect() as idle:
            await until(idle, "session.created")
            await send(client, "session.update", session=TEXT_ONLY)
            await send(client, "conversation.item.create", item=TEXT_ITEM)
            await send(client, "response.create")
            await until(client, "response.output_text.delta")
            served.server.stop()
            assert (await until(client, "response.done"))["response"]["status"] == "completed"
            for connection in (idle, client):
                with pytest.raises(ConnectionClosed) as closed:
                    await until(connection, "no such event")
                assert closed.value.rcvd is not None
                assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1001, "The server is restarting.")

    run(main, grace_seconds=20.0, engines=SLOW)


def test_after_the_grace_nothing_is_waited_for() -> None:
    async def main(served: Served) -> None:
        async with served.connect() as client:
            await send(client, "session.update", session=TEXT_ONLY)
            await send(client, "conversation.item.create", item=TEXT_ITEM)
            await send(client, "response.create")
            await until(client, "response.output_text.delta")
            served.server.stop()
            assert (await until(client, "response.done"))["response"]["status"] == "cancelled"
            with pytest.raises(ConnectionClosed) as closed:
                await client.recv()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1001

    run(main, grace_seconds=0.05, engines=HANGING)
