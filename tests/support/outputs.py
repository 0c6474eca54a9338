"""Tool outputs as coding agents get them: invented ones of any size, and real ones from recorded
runs.

Every generator takes a seed and a size in characters and gives the same output for the same
arguments; a size is reached, and passed by at most one record. All names, hosts and figures are
invented.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from random import Random

CORPUS = Path(__file__).parent.parent / "corpus" / "outputs"


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolOutput:
    """What one tool call was and what it gave back; `kind` is the sort of text, by the name of its
    generator.
    """

    kind: str
    tool: str
    tool_input: Mapping[str, object]
    text: str
    is_error: bool = False

    @property
    def command(self) -> str:
        """The call as one shell line, for clients whose only tool is a shell."""
        given = self.tool_input.get("command")
        return given if isinstance(given, str) else " ".join([self.tool.lower(), *map(str, self.tool_input.values())])


class Inventor(Random):
    """A seeded source of plausible names, paths, phrases and times."""

    NOUNS = (
        "pool",
        "lease",
        "ledger",
        "frame",
        "token",
        "cursor",
        "batch",
        "shard",
        "route",
        "cache",
        "span",
        "window",
        "worker",
        "queue",
        "index",
        "store",
    )
    VERBS = (
        "open",
        "close",
        "merge",
        "split",
        "drain",
        "renew",
        "resolve",
        "encode",
        "flush",
        "retry",
        "attach",
        "rotate",
        "collect",
        "replay",
    )
    FOLDERS = (
        "src/core",
        "src/net",
        "src/net/http",
        "lib/store",
        "tests/unit",
        "tests/net",
        "tools",
        "docs/guide",
        "pkg/edge",
        "pkg/edge/tls",
    )
    PEOPLE = (
        "Ana",
        "Noor",
        "Jörg",
        "Mei",
        "Tomás",
        "Ifeoma",
        "Sanna",
        "Ravi",
    )

    def noun(self) -> str:
        """One thing of a program."""
        return self.choice(self.NOUNS)

    def verb(self) -> str:
        """One act of a program."""
        return self.choice(self.VERBS)

    def name(self) -> str:
        """An identifier of two or three words."""
        return "_".join(
            [
                self.verb(),
                self.noun(),
                *self.sample(["all", "once", "at", "into"], self.randrange(2)),
            ]
        )

    def path(self, suffix: str = "") -> str:
        """A relative file path."""
        end = suffix or self.choice([".py", ".py", ".ts", ".go", ".md", ".toml"])
        return f"{self.choice(self.FOLDERS)}/{self.noun()}_{self.noun()}{end}"

    def phrase(self, least: int = 4, most: int = 12) -> str:
        """A sentence without a full stop."""
        middle = [self.choice([self.noun, self.verb])() for _ in range(self.randint(least, most))]
        return " ".join(["the", *middle])

    def hexes(self, length: int) -> str:
        """A lowercase hexadecimal string."""
        return f"{self.getrandbits(4 * length):0{length}x}"

    def day(self) -> str:
        """A date of the year 2031."""
        return f"2031-{self.randint(1, 12):02}-{self.randint(1, 28):02}"

    def code(self) -> str:
        """One line of source text, indented."""
        deep = " " * self.choice([0, 4, 4, 8, 8, 12])
        return deep + self.choice(
            [
                f"def {self.name()}(self, {self.noun()}: int) -> None:",
                f"{self.noun()} = self.{self.name()}({self.noun()}, {self.randrange(100)})",
                f"if {self.noun()} is None and {self.noun()}[0] > {self.randrange(999)}:",
                f"return {self.noun()}.{self.verb()}()  # {self.phrase(2, 5)}",
                f'raise ValueError(f"cannot {self.verb()} {{{self.noun()}!r}}")',
                f"for {self.noun()} in range({self.randrange(64)}):",
            ]
        )


Maker = Callable[[Inventor, int], ToolOutput]


def _lines(source: Iterable[str], size: int) -> str:
    """As many lines as reach `size` characters, each with its newline."""
    taken, length = [], 0
    for line in source:
        taken.append(line)
        length += len(line) + 1
        if length >= size:
            break
    return "\n".join(taken) + "\n"


def _bash(kind: str, command: str, text: str, *, is_error: bool = False) -> ToolOutput:
    given = {"command": command, "description": f"Run {command.split(maxsplit=1)[0]}"}
    return ToolOutput(kind=kind, tool="Bash", tool_input=given, text=text, is_error=is_error)


# --- JSON -----------------------------------------------------------------------------------------

_NUMBER = re.compile(r'"\(number (\S+)\)"')


def _number(spelling: str) -> str:
    """A number that JSON writers of the standard library would respell; `_pretty` puts it in as
    spelled.
    """
    return f"(number {spelling})"


def _pretty(value: object, indent: int | None = 2) -> str:
    return _NUMBER.sub(r"\1", json.dumps(value, indent=indent, ensure_ascii=False))


def _records(one: Callable[[int], dict[str, object]], size: int) -> list[dict[str, object]]:
    """As many records as reach `size` characters when pretty-printed in an array."""
    records: list[dict[str, object]] = []
    length = 0
    for at in count(1):
        records.append(one(at))
        length += len(_pretty([records[-1]]))
        if length >= size:
            return records
    raise AssertionError("count() does not end")


def _api(kind: str, value: object) -> ToolOutput:
    given = {"project": "edge", "state": "all", "per_page": 100}
    return ToolOutput(kind=kind, tool="mcp__tracker__list_items", tool_input=given, text=_pretty(value))


def _json_uniform(invent: Inventor, size: int) -> ToolOutput:
    def one(at: int) -> dict[str, object]:
        return {
            "id": 41_000 + at,
            "name": invent.name(),
            "state": invent.choice(["open", "closed"]),
            "url": f"https://tracker.test/edge/items/{41_000 + at}",
            "bot": False,
            "score": round(invent.random(), 3),
            "created_at": f"{invent.day()}T10:{invent.randrange(60):02}:00Z",
        }

    return _api("json_uniform", _records(one, size))


def _json_nested(invent: Inventor, size: int) -> ToolOutput:
    def one(at: int) -> dict[str, object]:
        person = invent.choice(invent.PEOPLE)
        labels = [{"name": invent.noun(), "color": invent.hexes(6)} for _ in range(invent.randrange(4))]
        return {
            "number": at,
            "title": invent.phrase(),
            "user": {
                "login": person.lower(),
                "id": len(person) * 7919,
                "type": "User",
                "site_admin": False,
            },
            "labels": labels,
            "reactions": {"total_count": invent.randrange(5), "+1": invent.randrange(5), "-1": 0},
            "body": f"{invent.phrase()}.\n\n```\n{invent.code()}\n```\n{invent.phrase()}.",
        }

    return _api("json_nested", _records(one, size))


def _json_ragged(invent: Inventor, size: int) -> ToolOutput:
    """Null, missing and empty apart; 1, 1.0, 1e400 and integers past 2^53; every sort of escape
    and look-alike.
    """
    odd = [
        "1",
        "1.0",
        "1e400",
        "-0",
        "-0.0",
        "1E+2",
        "1e2",
        str(2**60),
        "12345678901234567890123",
        "0.1000",
    ]
    texts = [
        "",
        "null",
        "true",
        "1.0",
        'say "so"',
        "a\\b\\\\c",
        "tab\there",
        "two\nlines",
        "é ü 日本 🙂",
        "\u2028",
        "a,b|c",
    ]

    def one(at: int) -> dict[str, object]:
        full: dict[str, object] = {
            "id": at,
            "value": _number(invent.choice(odd)),
            "note": invent.choice([None, *texts]),
            "flag": invent.choice([True, False, None, "false"]),
            "parts": invent.choice([[], [1, "1", None], [[]], [{}], None]),
            "extra key": {"deep": {"deeper": invent.choice(texts)}},
        }
        left_out = invent.sample(sorted(full), invent.randrange(3))
        return {key: value for key, value in full.items() if key not in left_out or key == "id"}

    made = _api("json_ragged", {"total": _number("1e400"), "next": None, "items": _records(one, size)})
    return replace(
        made,
        text=made.text.replace("é", "\\u00e9").replace("\u2028", "\\u2028").replace("a,", "a\\/"),
    )


def _json_lines(invent: Inventor, size: int) -> ToolOutput:
    def lines() -> Iterator[str]:
        for at in count():
            level = invent.choice(["info", "info", "info", "warn", "error"])
            record = {
                "ts": f"2031-02-03T10:{at // 60 % 60:02}:{at % 60:02}.{invent.randrange(1000):03}Z",
                "level": level,
            }
            record |= {"msg": invent.phrase(3, 6), "worker": f"w-{invent.randrange(8)}"}
            yield json.dumps(record, separators=(",", ":"))

    return _bash("json_lines", "kubectl logs deploy/edge --tail=2000", _lines(lines(), size))


def _package_lock(invent: Inventor, size: int) -> ToolOutput:
    def one(at: int) -> dict[str, object]:
        name = f"{invent.noun()}-{invent.noun()}-{at}"
        version = f"{invent.randrange(9)}.{invent.randrange(20)}.{invent.randrange(20)}"
        entry: dict[str, object] = {
            "version": version,
            "resolved": f"https://registry.test/{name}/-/{name}-{version}.tgz",
            "integrity": f"sha512-{invent.hexes(86)}==",
        }
        if invent.random() < 0.4:
            entry["dev"] = True
        if invent.random() < 0.5:
            entry["dependencies"] = {invent.noun(): f"^{invent.randrange(9)}.0.0" for _ in range(2)}
        entry["engines"] = {"node": ">=18"}
        return {f"node_modules/{name}": entry}

    packages = {key: value for record in _records(one, size) for key, value in record.items()}
    lock = {
        "name": "edge",
        "version": "1.0.0",
        "lockfileVersion": 3,
        "requires": True,
        "packages": packages,
    }
    return _bash("package_lock", "cat package-lock.json", _pretty(lock) + "\n")


# --- listings -------------------------------------------------------------------------------------


def _hits(invent: Inventor, context: int) -> Iterator[str]:
    """Search hits, file after file; with context, groups of lines with `--` between them."""
    while True:
        path, line = invent.path(f"_{invent.randrange(90)}.py"), 0
        for _ in range(invent.randint(1, 9)):
            line += invent.randint(2 * context + 2, 80)
            for at in range(line - context, line + context + 1):
                mark = ":" if at == line else "-"
                yield f"{path}{mark}{at}{mark}{invent.code()}"
            if context:
                yield "--"


def _search(invent: Inventor, size: int) -> ToolOutput:
    return _bash("search", "grep -rn lease src", _lines(_hits(invent, 0), size))


def _search_context(invent: Inventor, size: int) -> ToolOutput:
    given = {"pattern": "lease", "path": "src", "output_mode": "content", "-n": True, "-C": 2}
    text = _lines(_hits(invent, 2), size).removesuffix("--\n")
    return ToolOutput(kind="search_context", tool="Grep", tool_input=given, text=text)


def _search_headings(invent: Inventor, size: int) -> ToolOutput:
    def lines() -> Iterator[str]:
        while True:
            yield invent.path(".ts")
            for line in sorted(invent.sample(range(1, 900), invent.randint(1, 9))):
                yield f"{line}:{invent.code()}"
            yield ""

    return _bash("search_headings", "rg --heading -n lease", _lines(lines(), size))


def _paths(invent: Inventor, size: int) -> ToolOutput:
    def lines() -> Iterator[str]:
        for at in count():
            folder = invent.choice(invent.FOLDERS)
            for _ in range(invent.randint(1, 6)):
                end = invent.choice(["py", "ts"])
                name = f"{invent.noun()}_{invent.noun()}.{end}"
                yield f"./packages/{invent.noun()}-{at}/{folder}/{name}"

    return _bash("paths", "find . -type f", _lines(lines(), size))


def _long_listing(invent: Inventor, size: int) -> ToolOutput:
    def lines() -> Iterator[str]:
        yield "total 5120"
        for at in count():
            mode = invent.choice(["-rw-r--r--", "-rw-r--r--", "-rwxr-xr-x", "drwxr-xr-x"])
            month, day = invent.choice(["Jan", "Feb", "Mar"]), invent.randint(1, 28)
            stamp = f"{month} {day:2} {invent.randrange(24):02}:{invent.randrange(60):02}"
            size_and_links = f"{invent.randint(1, 9):2} ana  staff {invent.randrange(10**6):8}"
            yield f"{mode} {size_and_links} {stamp} {invent.noun()}_{at}.py"

    return _bash("long_listing", "ls -l src", _lines(lines(), size))


def _table(invent: Inventor, size: int) -> ToolOutput:
    def lines() -> Iterator[str]:
        yield "USER         PID %CPU %MEM    VSZ   RSS TTY      STAT START   TIME COMMAND"
        for at in count(1):
            load = f"{invent.random() * 9:4.1f} {invent.random() * 9:4.1f}"
            memory = f"{invent.randrange(10**6):6} {invent.randrange(10**5):5}"
            owner = f"{invent.choice(['root', 'ana', 'noor']):8} {at * 7:7}"
            times = f"?        Ss   10:0{at % 10}   0:0{at % 7}"
            yield f"{owner} {load} {memory} {times} /usr/bin/{invent.noun()}"

    return _bash("table", "ps aux", _lines(lines(), size))


# --- logs and tests -------------------------------------------------------------------------------


def _service_lines(invent: Inventor) -> Iterator[str]:
    below = invent.randrange
    for at in count():
        clock = f"{10 + at // 36_000:02}:{at // 600 % 60:02}:{at // 10 % 60:02}"
        stamp = f"2031-02-03 {clock},{at % 10 * 100 + below(100):03}"
        roll = invent.random()
        if roll < 0.6:
            lease = f"lease {4400 + at} taken by job-{below(900)} after {below(90)} ms"
            yield f"{stamp} INFO  [w-{below(8)}] pool: {lease}"
        elif roll < 0.85:
            answer = f"GET /v1/{invent.noun()}/{below(999)} 200 {below(9999)}"
            yield f"{stamp} DEBUG [http] 10.0.{below(4)}.{below(250)} {answer}"
        elif roll < 0.97:
            yield f"{stamp} WARN  [gc] pause {below(200)} ms, heap {below(99)} %"
        else:
            failed = f"cannot {invent.verb()} {invent.noun()} {invent.hexes(12)}"
            yield f"{stamp} ERROR [w-{below(8)}] {failed}"
            yield from _traceback(invent)


def _traceback(invent: Inventor) -> Iterator[str]:
    yield "Traceback (most recent call last):"
    for _ in range(invent.randint(2, 4)):
        path, line = invent.path(".py"), invent.randrange(900)
        yield f'  File "/srv/edge/{path}", line {line}, in {invent.name()}'
        yield f"    {invent.code().strip()}"
    yield f"LeaseLost: {invent.phrase(3, 6)}"


def _service_log(invent: Inventor, size: int) -> ToolOutput:
    return _bash("service_log", "tail -c 20000 edge.log", _lines(_service_lines(invent), size))


def _build_log(invent: Inventor, size: int) -> ToolOutput:
    """A coloured build with a progress bar that a terminal would overwrite."""

    def lines() -> Iterator[str]:
        for at in count(1):
            name = invent.path(".go")
            yield f"\x1b[32m[{at:4}]\x1b[0m Compiling {name}"
            if at % 9 == 0:
                yield "".join(f"\rlinking {done:3} %" for done in range(0, 101, 20)) + "   "
            if invent.random() < 0.1:
                where = f"{name}:{invent.randrange(400)}:{invent.randrange(80)}"
                yield f"\x1b[33mwarning\x1b[0m: {where}: unused variable `{invent.noun()}`"

    return _bash("build_log", "make -j4 2>&1", _lines(lines(), size))


def _test_run(invent: Inventor, size: int) -> ToolOutput:
    failed = [f"{invent.path('.py')}::test_{invent.name()}" for _ in range(3)]

    def cases() -> Iterator[str]:
        yield "=" * 30 + " test session starts " + "=" * 30
        yield "platform linux -- Python 3.11.7, pytest-9.2.0, pluggy-1.7.0"
        yield from (f"{name} FAILED" for name in failed)
        for at in count():
            name = f"{invent.path('.py')}::test_{invent.name()}[{at}]"
            yield f"{name} PASSED                  [{at % 100:3}%]"

    end = ["=" * 35 + " FAILURES " + "=" * 35]
    for name in failed:
        end += [
            f"_____ {name} _____",
            "",
            f"    {invent.code().strip()}",
            f">   assert {invent.noun()} == {invent.noun()}",
        ]
        end += ["E   AssertionError: assert 4 == 5", "", *_traceback(invent)]
    end += [f"FAILED {name} - AssertionError" for name in failed] + ["===== 3 failed, 412 passed in 8.02s ====="]
    return _bash("test_run", "pytest -v", _lines(cases(), size) + "\n".join(end) + "\n", is_error=True)


# --- source and its history -----------------------------------------------------------------------


def _read(invent: Inventor, size: int) -> ToolOutput:
    """A file as the Read tool shows it: `cat -n` gutters, some with a reminder of the client
    behind the text.
    """
    gutter = invent.choice(["{:6}\t{}", "{:6}→{}", "{}\t{}"])
    body = _lines((gutter.format(at, invent.code()) for at in count(1)), size).removesuffix("\n")
    if invent.random() < 0.3:
        told = "Consider whether what you read would be considered malware."
        body += f"\n\n<system-reminder>\n{told}\n</system-reminder>\n"
    return ToolOutput(kind="read", tool="Read", tool_input={"file_path": f"/repo/{invent.path('.py')}"}, text=body)


def _source(invent: Inventor, size: int) -> ToolOutput:
    text = _lines((invent.code() + invent.choice(["", "", "", "  "]) for _ in count()), size)
    return _bash("source", f"cat {invent.path('.py')}", text)


def _diff(invent: Inventor, size: int) -> ToolOutput:
    def lines() -> Iterator[str]:
        while True:
            path = invent.path(".py")
            yield f"diff --git a/{path} b/{path}"
            yield f"index {invent.hexes(7)}..{invent.hexes(7)} 100644"
            yield from (f"--- a/{path}", f"+++ b/{path}")
            for _ in range(invent.randint(1, 4)):
                yield from _hunk(invent)

    return _bash("diff", "git diff", _lines(lines(), size))


def _hunk(invent: Inventor) -> Iterator[str]:
    signs = [" "] * 3 + invent.choices("+-", k=invent.randint(1, 8)) + [" "] * 3
    at, old, new = (
        invent.randrange(900),
        len(signs) - signs.count("+"),
        len(signs) - signs.count("-"),
    )
    yield f"@@ -{at},{old} +{at},{new} @@ def {invent.name()}(self):"
    yield from (sign + invent.code() for sign in signs)


def _history(invent: Inventor, size: int) -> ToolOutput:
    def lines() -> Iterator[str]:
        while True:
            person = invent.choice(invent.PEOPLE)
            yield f"commit {invent.hexes(40)}"
            yield from (
                f"Author: {person} <{person.lower()}@edge.test>",
                f"Date:   Mon Feb 3 10:00:{invent.randrange(60):02} 2031 +0100",
                "",
            )
            yield from (f"    {invent.phrase()}", "")

    return _bash("history", "git log -n 200", _lines(lines(), size))


def _blame(invent: Inventor, size: int) -> ToolOutput:
    marks = [(invent.hexes(8), f"{invent.choice(invent.PEOPLE):<7}", invent.day()) for _ in range(6)]

    def lines() -> Iterator[str]:
        for at in count(1):
            sha, person, day = marks[at // 7 * 5 % 6]
            yield f"{sha} ({person} {day} 10:00:00 +0100 {at:4}) {invent.code()}"

    return _bash("blame", f"git blame {invent.path('.py')}", _lines(lines(), size))


def _prose(invent: Inventor, size: int) -> ToolOutput:
    def lines() -> Iterator[str]:
        for at in count(1):
            yield from (f"## {at}. {invent.phrase(2, 4)}", "")
            yield from (". ".join(invent.phrase(6, 16).capitalize() for _ in range(4)) + ".", "")

    return ToolOutput(
        kind="prose",
        tool="WebFetch",
        tool_input={"url": "https://docs.test/edge"},
        text=_lines(lines(), size),
    )


def _failure(invent: Inventor, size: int) -> ToolOutput:
    def lines() -> Iterator[str]:
        yield "Exit code 1"
        while True:
            yield from _traceback(invent)

    return _bash("failure", f"python tools/{invent.noun()}.py", _lines(lines(), size), is_error=True)


KINDS: Mapping[str, Maker] = {
    "json_uniform": _json_uniform,
    "json_nested": _json_nested,
    "json_ragged": _json_ragged,
    "json_lines": _json_lines,
    "package_lock": _package_lock,
    "search": _search,
    "search_context": _search_context,
    "search_headings": _search_headings,
    "paths": _paths,
    "long_listing": _long_listing,
    "table": _table,
    "service_log": _service_log,
    "build_log": _build_log,
    "test_run": _test_run,
    "read": _read,
    "source": _source,
    "diff": _diff,
    "history": _history,
    "blame": _blame,
    "prose": _prose,
    "failure": _failure,
}


def invented(kind: str, seed: int = 0, size: int = 8_000) -> ToolOutput:
    """One output of a kind of KINDS with about `size` characters."""
    return KINDS[kind](Inventor(f"{kind} {seed}"), size)


def mixed(seed: int, amount: int, least: int = 2_000, most: int = 30_000) -> list[ToolOutput]:
    """`amount` outputs of between `least` and `most` characters; every kind comes once before any
    comes again.
    """
    dice = Random(f"mixed {seed}")
    kinds: list[str] = []
    while len(kinds) < amount:
        kinds += dice.sample(sorted(KINDS), len(KINDS))
    return [invented(kind, dice.randrange(10**9), dice.randint(least, most)) for kind in kinds[:amount]]


def recorded() -> list[ToolOutput]:
    """The real outputs of tests/corpus/outputs, in the order in which the runs got them."""
    rows = json.loads((CORPUS / "index.json").read_text("utf-8"))
    return [
        ToolOutput(
            kind=row["kind"],
            tool="Bash",
            tool_input={"command": row["command"]},
            text=(CORPUS / row["file"]).read_bytes().decode("utf-8"),
            is_error=row["is_error"],
        )
        for row in rows
    ]
