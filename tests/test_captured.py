"""The captured requests are whole, small, and hold no secrets."""

from __future__ import annotations

import json

import pytest

from tests.support.captured import FOLDER, captured, clients

LIMIT = 3_000_000
CREDENTIALS = ("x-api-key", "authorization", "x-goog-api-key")


def test_there_are_clients_and_the_folder_stays_small() -> None:
    assert len(clients()) >= 10
    assert sum(place.stat().st_size for place in FOLDER.rglob("*.xz")) < LIMIT


@pytest.mark.parametrize("client", clients())
def test_each_request_is_whole(client: str) -> None:
    requests = captured(client)
    assert len(requests) >= 5
    for request in requests:
        if request.method == "HEAD":
            continue
        assert int(request.value("content-length")) == len(request.body)
        assert isinstance(json.loads(request.body), dict)
        keys = [value for name in CREDENTIALS for value in request.values(name)]
        assert keys in ([b"dummy-key"], [b"Bearer dummy-key"])
