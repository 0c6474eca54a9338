"""Who may import whom, who may touch the event loop or the environment, and who may name a provider."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from headroom import providers

PACKAGE = Path(__file__).parent.parent / "headroom"
FILES = sorted(PACKAGE.rglob("*.py"))
NAMES = {path: "headroom." + ".".join(path.relative_to(PACKAGE).with_suffix("").parts) for path in FILES}

ASYNCIO = {
    "headroom.wire.gate",
    "headroom.wire.downstream",
    "headroom.wire.upstream",
    "headroom.exchange",
    "headroom.rewriting",
    "headroom.fetching",
    "headroom.duplex",
    "headroom.models",
    "headroom.presser",
    "headroom.ledger",
    "headroom.store",
    "headroom.store_sqlite",
    "headroom.store_redis",
    "headroom.memory_sqlite",
    "headroom.memory_command",
    "headroom.edge",
    "headroom.serve",
    "headroom.logs",
    "headroom.services",
    "headroom.compressing",
    "headroom.retrieving",
    "headroom.fetch",
    "headroom.mcp_server",
}
# Words of providers, in code rather than in prose. Media types and protocol names are not among them.
PROVIDERS = re.compile(r"anthropic|openai|gemini|claude|codex|chatgpt|vertex|bedrock", re.IGNORECASE)


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module is not None
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def ours(path: Path) -> set[str]:
    return {name for name in imports(path) if name in set(NAMES.values())}


@pytest.mark.parametrize("path", FILES, ids=NAMES.values())
def test_wire_knows_only_wire_and_faults(path: Path) -> None:
    if NAMES[path].startswith("headroom.wire"):
        assert all(name == "headroom.faults" or name.startswith("headroom.wire") for name in ours(path))


@pytest.mark.parametrize("path", FILES, ids=NAMES.values())
def test_zones_know_only_zones_and_faults(path: Path) -> None:
    if NAMES[path].startswith("headroom.zones"):
        assert all(name == "headroom.faults" or name.startswith("headroom.zones") for name in ours(path))
        assert not {"asyncio", "time", "random", "socket", "os", "logging"} & set(imports(path))


def test_providers_are_data() -> None:
    assert ours(PACKAGE / "providers.py") == {"headroom.zones.shape"}
    assert ours(PACKAGE / "faults.py") == set()


@pytest.mark.parametrize("path", FILES, ids=NAMES.values())
def test_only_shells_touch_the_event_loop(path: Path) -> None:
    if NAMES[path] not in ASYNCIO:
        assert "asyncio" not in set(imports(path))


@pytest.mark.parametrize("path", FILES, ids=NAMES.values())
def test_only_the_composition_root_names_the_event_loop_library(path: Path) -> None:
    if NAMES[path] != "headroom.serve":
        assert "uvloop" not in set(imports(path))


@pytest.mark.parametrize("path", FILES, ids=NAMES.values())
def test_only_the_configuration_reads_the_environment(path: Path) -> None:
    if NAMES[path] != "headroom.config":
        assert "os.environ" not in path.read_text() and "getenv" not in path.read_text()


@pytest.mark.parametrize("path", FILES, ids=NAMES.values())
def test_no_provider_is_named_outside_its_table(path: Path) -> None:
    if NAMES[path] in ("headroom.providers", "headroom.config"):
        return
    tree = ast.parse(path.read_text())
    prose = {
        id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    constants = {dialect.name.upper() for dialect in providers.DIALECTS}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str | bytes) and id(node) not in prose:
            text = node.value if isinstance(node.value, str) else node.value.decode("latin-1")
            assert not PROVIDERS.search(text), f"{path.name}:{node.lineno}: {text!r}"
        elif isinstance(node, ast.Name) and PROVIDERS.search(node.id):
            assert node.id in constants, f"{path.name}:{node.lineno}: {node.id}"


@pytest.mark.parametrize("path", FILES, ids=NAMES.values())
def test_there_is_one_broad_except(path: Path) -> None:
    broad = [
        node
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or (isinstance(node.type, ast.Name) and node.type.id in ("Exception", "BaseException")))
        and not any(isinstance(inner, ast.Raise) and inner.exc is None for inner in ast.walk(node))
    ]
    assert len(broad) == (1 if NAMES[path] == "headroom.rewriting" else 0)


@pytest.mark.parametrize("path", FILES, ids=NAMES.values())
def test_every_public_name_says_what_it_claims(path: Path) -> None:
    module = ast.parse(path.read_text())
    classes = [node for node in module.body if isinstance(node, ast.ClassDef)]
    for node in module.body + [member for owner in classes if owner.name[0] != "_" for member in owner.body]:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
            body = node.body[-1]
            is_stub = isinstance(body, ast.Expr) and isinstance(body.value, ast.Constant) and body.value.value is ...
            assert is_stub or ast.get_docstring(node), f"{path.name}:{node.lineno}: {node.name} has no docstring"
