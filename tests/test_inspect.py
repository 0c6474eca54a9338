"""`headroom inspect`, `press` and `unpress`: what would be done to a body, shown to a person."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from headroom import inspect
from headroom.zones.detect import Kind
from tests.support.outputs import KINDS, invented, recorded
from tests.test_library import blocks

COLOUR = re.compile(r"\x1b\[[0-9;]*m")  # what a screen does not show
ROOT = Path(__file__).parent.parent


class Terminal(io.StringIO):
    """An output that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


def shown(body: bytes, tmp_path: Path, *words: str, out: io.StringIO | None = None) -> str:
    file = tmp_path / "body.json"
    file.write_bytes(body)
    out = out or io.StringIO()
    inspect.inspect([*words, str(file)], out)
    return out.getvalue()


def body_of(*texts: str) -> bytes:
    made = blocks([])
    for at, text in enumerate(texts):
        made.append(
            {"role": "assistant", "content": [{"type": "tool_use", "id": f"t{at}", "name": "Bash", "input": {}}]}
        )
        made.append({"role": "user", "content": [{"type": "tool_result", "tool_use_id": f"t{at}", "content": text}]})
    return json.dumps({"messages": made}).encode()


def pressed(text: str, *words: str) -> tuple[str, str]:
    out, told = io.StringIO(), io.StringIO()
    inspect.press_text(words, io.StringIO(text), out, told)
    return out.getvalue(), told.getvalue()


def test_each_result_is_shown_before_and_after_and_summed_up(tmp_path: Path) -> None:
    outputs = recorded()
    text = shown(json.dumps({"messages": blocks(outputs, "Bash")}).encode(), tmp_path)
    assert text.count("Bash: ") == text.count(", pressed, ") > 3
    assert "  - " in text and "  + " in text
    assert f"{len(outputs)} tool results, {text.count(', pressed, ')} of them shorter:" in text


def test_what_does_not_change_is_shown_where_all_is_asked_for(tmp_path: Path) -> None:
    body = body_of("short", invented("json_uniform").text)
    assert "  - short" not in shown(body, tmp_path)
    assert "no_form, " in shown(body, tmp_path, "--all") and "  - short" in shown(body, tmp_path, "--all")


def test_long_texts_are_shown_by_their_first_lines_unless_asked_for_whole(tmp_path: Path) -> None:
    text = invented("service_log", 1, 20_000).text + "x" * 500 + "\n"
    assert "more lines" in shown(body_of(text), tmp_path)
    whole = shown(body_of(text), tmp_path, "--whole")
    assert "more lines" not in whole and "x" * 500 in whole


@pytest.mark.parametrize("style", [[], ["--dense"]])
def test_control_characters_are_made_visible(style: list[str], tmp_path: Path) -> None:
    evil = "\x1b]0;title\x07\x1b[2Jgone\rover\x00\x85\u202e"
    body = body_of(evil, *(invented("service_log", at).text + evil for at in range(2)))
    text = shown(body, tmp_path, "--all", "--whole", *style)
    assert not any(c in text for c in "\x1b\x07\r\x00\x85\u202e")
    assert "\\x1b]0;title\\x07" in text


def test_colours_are_for_terminals(tmp_path: Path) -> None:
    body = body_of(invented("json_uniform").text)
    assert "\033[32m" in shown(body, tmp_path, out=Terminal()) and "\033" not in shown(body, tmp_path)


@pytest.mark.parametrize("body", [b"[]", b'{"messages":7}'])
def test_what_is_no_request_body_is_told(body: bytes, tmp_path: Path) -> None:
    assert "no request body" in shown(body, tmp_path)


@pytest.mark.parametrize("kind", KINDS)
def test_what_press_writes_unpress_gives_back(kind: str) -> None:
    text = invented(kind, 2).text
    short, told = pressed(text)
    assert "tokens" in told and told.endswith(" ms\n")
    if short == text:
        assert ": pressed," not in told
    else:
        out = io.StringIO()
        inspect.unpress_text(io.StringIO(short), out)
        assert _seen(out.getvalue()) == _seen(text)


def _seen(text: str) -> list[str]:
    """The lines as a screen shows them at their ends: without colours, and the last of what stood there."""
    return [line.rpartition("\r")[2].rstrip() for line in COLOUR.sub("", text).split("\n")]


def test_press_takes_a_kind_and_keeps_quiet_where_told() -> None:
    text = invented("service_log").text
    assert pressed(text, "--quiet")[1] == ""
    assert pressed(text, "--kind", "auto", "--quiet") == pressed(text, "--quiet")
    assert pressed(text, "--kind", Kind.LOG)[1].startswith("log")
    assert pressed(text, "--dense")[0] != text


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["inspect"], "one file"),
        (["inspect", "/nonexistent/body.json"], "No such file"),
        (["inspect", "--wohle", "x"], "--wohle"),
        (["press", "--kind", "poem"], "poem"),
        (["press", "--kind"], "auto"),
        (["press", "file"], "no file"),
        (["press", "--loud"], "--loud"),
        (["unpress", "--all"], "no arguments"),
        (["unpress"], "a damaged text"),
    ],
)
def test_a_call_that_is_wrong_ends_with_64_and_says_what_is_right(words: list[str], told: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "headroom", *words],
        input="[log: letter = line pattern]\nQ\n",
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
    )
    assert ended.returncode == 64 and told in ended.stderr.split("\n")[0] and ended.stdout == ""
    assert (
        ended.stderr.endswith(f"\n`headroom {words[0]} --help` tells what there is.\n")
        and ended.stderr.count("\n") == 2
    )


@pytest.mark.parametrize("command", ["inspect", "press", "unpress"])
def test_help_is_told_of_each_command(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert inspect.run(command, ["--help"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("usage: ") and f"headroom {command}" in shown
    assert all(kind.value in shown for kind in Kind) and max(map(len, shown.split("\n"))) <= 120


@pytest.mark.parametrize("body", [b"", b'{"messages": [', b"text", b"\xff\xfe"])
def test_a_body_that_is_not_json_is_named_as_such(tmp_path: Path, body: bytes) -> None:
    file = tmp_path / "body.json"
    file.write_bytes(body)
    with pytest.raises(inspect.Misused, match=f"{file} is not JSON"):
        inspect.inspect([str(file)], io.StringIO())


def test_of_a_body_that_no_release_knows_nothing_but_that_is_told(tmp_path: Path) -> None:
    file, out = tmp_path / "body.json", io.StringIO()
    file.write_text('{"a": 1}')
    inspect.inspect([str(file)], out)
    assert out.getvalue() == f"{file}: no request body with tool results that this release knows\n"


def test_the_commands_work_on_streams_whatever_the_locale() -> None:
    text = invented("service_log").text + "naïve 🙂 \u2028 text\n\r\nbare \r and \x85\n"
    run = {
        "capture_output": True,
        "timeout": 60,
        "cwd": ROOT,
        "env": {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0"},
    }
    words = [sys.executable, "-m", "headroom"]
    short = subprocess.run([*words, "press"], check=False, input=text.encode(), **run)  # type: ignore[call-overload]
    assert short.returncode == 0 and len(short.stdout) < len(text.encode())
    back = subprocess.run([*words, "unpress"], check=False, input=short.stdout, **run)  # type: ignore[call-overload]
    assert back.stdout == text.encode()
