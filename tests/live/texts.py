"""What the live tests say and give: long enough to be cached and pressed, and the same for everybody."""

from __future__ import annotations

import json
import secrets

STOCK_PROMPT = "Look at the stock list with the tool, then tell me in one short sentence what it holds."
LEASE_PROMPT = "Look at the lease log with the tool, then tell me why it fails."
FETCH_PROMPT = (
    "Part of the log was left out. Before you answer, call the tool headroom_retrieve with the hash that stands in the "
    "<<ccr:…>> marker of the log and with match set to the word ERROR. Then say in one sentence why it fails."
)
STOCK = json.dumps(
    [
        {
            "id": 7_000 + n,
            "name": f"part {n}",
            "shelf": f"B-{n % 9}",
            "count": n * 37 % 101,
            "unit": "piece",
            "price": None,
        }
        for n in range(60)
    ],
    indent=2,
)
LEASES = (
    "\n".join(
        f"2031-02-03 10:{i // 60 % 60:02}:{i % 60:02},{i % 1000:03} INFO [w-{i % 7}] pool: "
        f"lease {i * 37 % 9999} taken by job-{i % 50} after {i % 13} ms"
        for i in range(300)
    )
    + "\n2031-02-03 11:00:00,000 ERROR db: connection refused by 10.0.0.7\n"
)


def rules() -> str:
    """Instructions longer than what any model needs to cache them, and never sent before."""
    lines = (f"Rule {n}: on shelf {n % 40}, parts of kind {n * 7 % 90} are counted twice." for n in range(350))
    return f"You keep store {secrets.token_hex(8)}. Answer in few words.\n" + "\n".join(lines)


def unheard(prompt: str) -> str:
    """A prompt as the first of a conversation that nobody has had."""
    return f"{prompt} (Request {secrets.token_hex(4)}.)"
