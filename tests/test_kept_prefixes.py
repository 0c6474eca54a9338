"""What a conversation has sent is known again as the beginning of its next request, and another's is not."""

from __future__ import annotations

from headroom.kept_prefixes import RUNS, KeptPrefixes


def asked(kept: KeptPrefixes, items: str, conversation: bytes = b"c") -> bool:
    digests = [item.encode() for item in items]
    return kept.keeps(conversation, digests, 1, second=len(items) == 3)


def test_a_conversation_that_grows_keeps_its_prefix() -> None:
    kept = KeptPrefixes()
    assert [asked(kept, "abcdefghi"[:count]) for count in (1, 3, 3, 5, 9)] == [True] * 5


def test_one_that_changes_what_it_has_sent_does_not_until_it_goes_on() -> None:
    kept = KeptPrefixes()
    texts = ("a", "abc", "aXcde", "aXcde", "aYcdefg", "aYcdefghi", "aYcdefghi")
    assert [asked(kept, items) for items in texts] == [True, True, False, False, False, True, True]


def test_of_what_nothing_is_known_nothing_is_said_against() -> None:
    kept = KeptPrefixes(limit=1)
    assert asked(kept, "abcde") and asked(kept, "xyzuv", b"other") and asked(kept, "aXcde")
    assert asked(kept, "aXc"), "what was sent is longer than what is sent now"


def test_runs_that_open_alike_are_told_apart_as_many_as_are_remembered() -> None:
    kept = KeptPrefixes()
    runs = [chr(0x100 + run) for run in range(RUNS)]
    for count in (0, 2, 4, 6):
        assert all(asked(kept, "a" + run * count) for run in runs)
    assert len(kept._sent[b"c"]) == RUNS
