"""The client says what it wants, counts what it gets, and speaks to this machine only."""

from __future__ import annotations

from typing import Any

import pytest

from thinkqueue.live.client import Client, EngineError, is_loopback


def test_a_thought_has_its_tokens_and_its_moments(talking: Any) -> None:
    server = talking(pace=0.005)
    generation = Client(f"{server.url}/v1", model="m", place=3).generate("Q", 4)
    assert (generation.text, generation.tokens) == ("1111", 4)
    moments = (generation.begun, *generation.times, generation.ended)
    assert moments == tuple(sorted(moments))
    assert generation.ended - generation.begun >= 4 * 0.005
    assert generation.read_tokens == 9
    (asked,) = server.asked
    assert asked["path"] == "/v1/completions"
    expected = {"prompt": "Q", "max_tokens": 4, "model": "m", "id_slot": 3, "cache_prompt": True}
    assert expected.items() <= asked.items()


def test_a_place_can_be_asked_to_forget(talking: Any) -> None:
    server = talking()
    place = Client(server.url)
    place.forgetful().generate("Q", 1)
    place.generate("Q", 1)
    assert [asked["cache_prompt"] for asked in server.asked] == [False, True]
    assert (place.keeps, place.forgetful().keeps) == (True, False)


def test_an_engine_that_refuses_is_quoted(talking: Any) -> None:
    with pytest.raises(EngineError, match="503: no room"):
        Client(talking(last=0).url).generate("Q", 1)


def test_an_engine_that_is_not_there_is_one_sentence() -> None:
    with pytest.raises(EngineError, match="could not be used"):
        Client("http://127.0.0.1:1").generate("Q", 1)


@pytest.mark.parametrize("host", ["10.0.0.7", "example.org", "127.0.0.1.example.org", "[::2]"])
def test_another_machine_must_be_meant(host: str) -> None:
    with pytest.raises(EngineError, match="another machine"):
        Client(f"http://{host}:8000")
    Client(f"http://{host}:8000", elsewhere=True)


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "file:///etc/hosts", "http://", ""])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(EngineError, match="is no address"):
        Client(url, elsewhere=True)


def test_this_machine_by_its_names() -> None:
    assert [is_loopback(name) for name in ("localhost", "127.0.0.1", "127.9.9.9", "::1")] == [
        True
    ] * 4
    assert not is_loopback("localhost.example.org")
