"""Writes the scratch project the agents work in: the same bytes for the same seed.

It holds what agents read most: API answers as pretty-printed JSON, a build log,
source files, notes, and a git work tree with an uncommitted change.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SEED = 20_417
FACTS = ("INC-48213", "E7719", "MAX_DRIFT_SECONDS = 421")
ANSWER = "Order 20417 is disputed (INC-48213), the build stopped with E7719, the drift limit is 421 s."
SECOND_ANSWER = "Carriers are priced in src/billing.py; nothing else reads api/carriers.json."

_CITIES = (
    "Lisbon",
    "Oslo",
    "Turin",
    "Graz",
    "Porto",
    "Ghent",
    "Malmö",
    "Kraków",
    "Nantes",
    "Split",
)
_GOODS = ("bolt", "gasket", "valve", "bearing", "flange", "spindle", "washer", "coupling", "rotor")
_STATES = ("paid", "shipped", "delivered", "returned", "open")
_VERBS = ("load", "merge", "price", "route", "audit", "split", "rank", "close", "match", "quote")
_NOUNS = ("order", "invoice", "parcel", "ledger", "refund", "carrier", "stock", "address", "batch")
_MODULES = ("orders", "billing", "shipping", "stock", "reports", "drift")


@dataclass(frozen=True)
class Sizes:
    """How much to write: API records, log lines, functions per module, note sections."""

    records: int = 190
    log_lines: int = 900
    functions: int = 14
    sections: int = 120


def write_project(root: Path, seed: int = SEED, sizes: Sizes | None = None) -> None:
    """Create the project under `root` (made if missing) with one git commit."""
    size = sizes or Sizes()
    chance = random.Random(seed)
    _write(root / "package.json", _package())
    _write(root / "api" / "orders.json", _orders(chance, size.records))
    _write(root / "api" / "carriers.json", _orders(chance, size.records // 8))
    _write(root / "logs" / "build.log", "".join(_log(chance, size.log_lines)))
    for name in _MODULES:
        _write(root / "src" / f"{name}.py", "".join(_module(chance, name, size.functions)))
    _write(root / "notes.md", "".join(_notes(chance, size.sections)))
    _commit(root)
    _edit_modules(root, chance)


def _write(place: Path, text: str) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text, encoding="utf-8")


def _package() -> str:
    scripts = {"build": "node build.mjs", "test": "pytest -q", "report": "python -m src.reports"}
    package = {"name": "orderdesk", "version": "4.2.0", "private": True, "scripts": scripts}
    return json.dumps(package, indent=2) + "\n"


def _orders(chance: random.Random, count: int) -> str:
    orders = [_order(chance, 20_400 + number) for number in range(count)]
    if count > 17:
        orders[17].update(status="disputed", incident="INC-48213")
    page = {"object": "list", "total": count, "next": None, "data": orders}
    return json.dumps(page, indent=2, ensure_ascii=False) + "\n"


def _order(chance: random.Random, number: int) -> dict[str, object]:
    lines = [
        {
            "sku": f"{chance.choice(_GOODS)}-{chance.randrange(100, 999)}",
            "quantity": chance.randrange(1, 40),
            "unit_price": round(chance.uniform(0.4, 90), 2),
        }
        for _ in range(chance.randrange(1, 4))
    ]
    return {
        "id": number,
        "created_at": f"2025-03-{chance.randrange(1, 29):02d}T{chance.randrange(24):02d}:17:05Z",
        "status": chance.choice(_STATES),
        "customer": {"id": f"cus_{chance.getrandbits(48):012x}", "city": chance.choice(_CITIES)},
        "lines": lines,
        "express": chance.random() < 0.2,
        "incident": None,
    }


def _log(chance: random.Random, count: int) -> Iterator[str]:
    for number in range(count):
        seconds = number * 0.37
        stamp = f"2025-03-14T09:{int(seconds) // 60:02d}:{seconds % 60:06.3f}Z"
        yield f"{stamp} {_log_line(chance, number)}\n"
    yield "2025-03-14T09:06:02.114Z ERROR bundler stopped: E7719 cyclic import src/drift -> src/stock\n"
    yield "2025-03-14T09:06:02.120Z INFO  exit code 1 after 362.1 s\n"


def _log_line(chance: random.Random, number: int) -> str:
    name = f"src/{chance.choice(_MODULES)}/{chance.choice(_NOUNS)}_{chance.randrange(40)}.ts"
    roll = chance.random()
    if roll < 0.06:
        return f"ERROR [{number:05d}] {name}({chance.randrange(1, 400)},7): TS2339 no such property"
    if roll < 0.2:
        return f"WARN  [{number:05d}] {name}: unused import '{chance.choice(_VERBS)}'"
    took = chance.uniform(0.2, 40)
    return f"INFO  [{number:05d}] compiled {name} in {took:.1f} ms ({chance.randrange(1, 90)} kB)"


def _module(chance: random.Random, name: str, functions: int) -> Iterator[str]:
    yield f'"""Rules for {name}."""\n\nfrom __future__ import annotations\n\n'
    yield "from dataclasses import dataclass\nfrom decimal import Decimal\n\n"
    if name == "drift":
        yield "MAX_DRIFT_SECONDS = 421\n"
    yield f"LIMIT = {chance.randrange(10, 900)}\n\n\n"
    for number in range(functions):
        yield _function(chance, number)


def _function(chance: random.Random, number: int) -> str:
    verb, noun, other = chance.choice(_VERBS), chance.choice(_NOUNS), chance.choice(_NOUNS)
    name = f"{verb}_{noun}_{number}"
    limit = chance.randrange(2, 60)
    return (
        f"def {name}({noun}s: list[dict[str, object]], {other}_id: str) -> Decimal:\n"
        f'    """{verb.capitalize()} every {noun} that belongs to one {other}."""\n'
        f"    total = Decimal(0)\n"
        f"    for position, {noun} in enumerate({noun}s):\n"
        f'        if {noun}.get("{other}_id") != {other}_id or position > {limit}:\n'
        f"            continue\n"
        f'        amount = Decimal(str({noun}.get("amount", 0)))\n'
        f"        if amount < 0:\n"
        f'            raise ValueError(f"{verb}: negative {noun} at {{position}}")\n'
        f"        total += amount * {chance.randrange(1, 9)}\n"
        f"    return total.quantize(Decimal('0.01'))\n\n\n"
    )


def _notes(chance: random.Random, sections: int) -> Iterator[str]:
    yield "# Order desk: working notes\n\n"
    for number in range(sections):
        verb, noun = chance.choice(_VERBS), chance.choice(_NOUNS)
        yield f"## {number + 1}. How we {verb} a {noun}\n\n"
        for _ in range(chance.randrange(2, 5)):
            yield _sentence(chance) + "\n"
        yield "\n"


def _sentence(chance: random.Random) -> str:
    return (
        f"When a {chance.choice(_NOUNS)} reaches {chance.choice(_CITIES)}, we {chance.choice(_VERBS)} "
        f"its {chance.choice(_NOUNS)} within {chance.randrange(2, 90)} minutes; "
        f"a {chance.choice(_GOODS)} above {chance.randrange(10, 900)} EUR needs a second look."
    )


def _edit_modules(root: Path, chance: random.Random) -> None:
    """Change some lines of every module, so that `git diff` has much to show."""
    for name in _MODULES:
        place = root / "src" / f"{name}.py"
        lines = place.read_text(encoding="utf-8").splitlines(keepends=True)
        place.write_text("".join(_edited(chance, lines)), encoding="utf-8")


def _edited(chance: random.Random, lines: list[str]) -> Iterator[str]:
    for line in lines:
        if "total += amount" in line and chance.random() < 0.6:
            yield line.replace("amount *", "amount.normalize() *")
        else:
            yield line


def _commit(root: Path) -> None:
    who = {"NAME": "Demo", "EMAIL": "demo@example.com", "DATE": "2025-03-14T10:00:00Z"}
    identity = {f"GIT_{role}_{k}": v for role in ("AUTHOR", "COMMITTER") for k, v in who.items()}
    env = {
        **os.environ,
        **identity,
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_SYSTEM": os.devnull,
    }
    for words in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-q", "-m", "Order desk"]):
        subprocess.run(["git", *words], cwd=root, env=env, check=True, timeout=60)
