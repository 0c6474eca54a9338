"""Settings: one table, four sources, and errors a person can act on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from headroom import config
from headroom.config import BY_NAME, SETTINGS, Config, ConfigError, load

README = Path(__file__).parent.parent / "README.md"


def test_a_flag_beats_the_environment_which_beats_the_file_which_beats_the_default(tmp_path: Path) -> None:
    file = tmp_path / "headroom.toml"
    file.write_text("port = 1\nworkers = 2\nlog-level = 'error'\n")
    found = load(["--port", "3", f"--config={file}"], {"HEADROOM_PORT": "4", "HEADROOM_WORKERS": "5"})
    assert (found.whole("port"), found.whole("workers"), found.text("log_level")) == (3, 5, "error")
    assert found.text("compression_mode") == "live_zone"


def test_the_environment_may_name_the_file(tmp_path: Path) -> None:
    file = tmp_path / "h.toml"
    file.write_text("workers = 7\n")
    assert load([], {"HEADROOM_CONFIG": str(file)}).whole("workers") == 7


def test_the_names_that_providers_use_are_read_too_and_ours_is_stronger() -> None:
    found = load([], {"ANTHROPIC_TARGET_API_URL": "https://a.test/v1/"})
    assert str(found.origin("anthropic_api_url")) == "https://a.test"
    both = {"ANTHROPIC_FOUNDRY_BASE_URL": "https://f.test", "ANTHROPIC_TARGET_API_URL": "https://a.test"}
    assert str(load([], both).origin("anthropic_api_url")) == "https://a.test"
    ours = {**both, "HEADROOM_ANTHROPIC_API_URL": "http://h.test:81/x"}
    assert str(load([], ours).origin("anthropic_api_url")) == "http://h.test:81/x"


def test_an_empty_variable_counts_as_unset() -> None:
    assert load([], {"HEADROOM_PORT": ""}).whole("port") == 8787


@pytest.mark.parametrize(
    ("arguments", "environment", "words"),
    [
        (["--prot", "1"], {}, ["--prot", "--port"]),
        (["serve"], {}, ["serve"]),
        (["--port"], {}, ["port", "0 to 65535"]),
        (["--port", "70000"], {}, ["port", "'70000'", "0 to 65535"]),
        (["--compression-mode=fast"], {}, ["compression_mode", "'fast'", "live_zone", "observe", "off"]),
        (["--header-timeout", "soon"], {}, ["header_timeout", "'soon'", "1.5s"]),
        (["--body-limit", "-1"], {}, ["body_limit", "64KiB"]),
        (["--anthropic-api-url", "ftp://x"], {}, ["anthropic_api_url", "https://"]),
        (["--tool-policy", "Read=never"], {}, ["tool_policy", "lossless"]),
        ([], {"HEADROOM_PROT": "1"}, ["HEADROOM_PROT", "HEADROOM_PORT"]),
        ([], {"HEADROOM_MODE": "token"}, ["HEADROOM_MODE"]),
        ([], {"HEADROOM_FRESH_TURN": "never"}, ["fresh_turn", "environment", "'never'", "live"]),
        (["--host", "0.0.0.0"], {}, ["host", "proxy_token"]),
        (["--host", "example.com"], {}, ["host", "IP address"]),
        (["--proxy-token", "short"], {}, ["proxy_token", "16"]),
        (["--config", "/no/such/file.toml"], {}, ["/no/such/file.toml"]),
    ],
)
def test_what_is_wrong_is_named_with_its_value_and_what_is_allowed(
    arguments: list[str], environment: dict[str, str], words: list[str]
) -> None:
    with pytest.raises(ConfigError) as error:
        load(arguments, environment)
    assert all(word in str(error.value) for word in words)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("arguments", "environment"), [(["--bogus", "1"], {}), (["--verbose", "1"], {}), ([], {"HEADROOM_HOME": "x"})]
)
def test_a_name_that_is_like_none_is_not_taken_for_one(arguments: list[str], environment: dict[str, str]) -> None:
    with pytest.raises(ConfigError) as error:
        load(arguments, environment)
    assert "nearest" not in str(error.value)


def test_a_token_is_never_shown() -> None:
    with pytest.raises(ConfigError) as error:
        load(["--proxy-token", "secret\x07word-that-is-long"], {})
    assert "secret" not in str(error.value)


@pytest.mark.parametrize("text", ["port = true", "port = [1]", "prot = 1", "port = "])
def test_a_bad_file_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "h.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=r"port|prot|TOML"):
        load(["--config", str(file)], {})


@pytest.mark.parametrize("section", ["limits", "learning", "no-such-section"])
def test_tables_in_a_file_are_told_to_be_left_out(tmp_path: Path, section: str) -> None:
    file = tmp_path / "h.toml"
    file.write_text(f"[{section}]\nport = 80\n")
    with pytest.raises(ConfigError, match=rf"\[{section}\]; settings stand at the top, as in port = 8787"):
        load(["--config", str(file)], {})


def test_a_value_of_a_file_is_shown_as_it_is_written(tmp_path: Path) -> None:
    file = tmp_path / "h.toml"
    file.write_text("learning = true\n")
    with pytest.raises(ConfigError, match="true is not allowed; allowed is enabled or disabled"):
        load(["--config", str(file)], {})


@pytest.mark.parametrize(
    ("text", "size"), [("65536", 65536), ("64KiB", 65536), ("1.5MB", 1_500_000), ("2 MiB", 2 << 20), ("4096b", 4096)]
)
def test_sizes_are_read_with_their_units(text: str, size: int) -> None:
    assert Config.of(head_limit=text).whole("head_limit") == size


@pytest.mark.parametrize(
    ("text", "seconds"), [("2", 2.0), ("200ms", 0.2), ("2m", 120.0), ("1.5s", 1.5), ("7d", 604800.0)]
)
def test_times_are_read_with_their_units(text: str, seconds: float) -> None:
    assert Config.of(silence_timeout=text).seconds("silence_timeout") == pytest.approx(seconds)


@pytest.mark.parametrize("setting", SETTINGS, ids=[setting.name for setting in SETTINGS])
def test_every_default_is_allowed(setting: config.Setting) -> None:
    setting.kind.parse(setting.default)
    assert setting.help and setting.kind.allowed


def test_a_store_in_memory_is_no_folder_of_that_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "memory").mkdir()
    monkeypatch.chdir(tmp_path)
    assert Config.of(store="memory").text("store") == "memory"
    for name in ("memory_store", "log_file"):
        with pytest.raises(ConfigError, match="memory is a folder"):
            Config.of(**{name: "memory"})


def test_a_value_is_not_handed_out_as_another_type() -> None:
    with pytest.raises(TypeError, match="port"):
        Config.of().text("port")


def test_help_and_readme_are_made_from_the_table() -> None:
    usage = config.usage("headroom serve")
    readme = README.read_text()
    assert config.table() in readme, "run `headroom settings` and put its output into README.md"
    for setting in BY_NAME.values():
        assert setting.flag + " " in usage
        assert f"| `{setting.name}`" in readme


def test_a_bad_setting_ends_the_process_with_78_and_one_line() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "headroom.serve", "--port", "x"], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 78
    assert done.stderr.count("\n") == 1 and "port" in done.stderr and "'x'" in done.stderr
