"""The words of a text that say something, made alike, for finding memories.

A term is a word in lower case without accents and without the endings of English (`tests`, `tested` and `testing` are
`test`). Writing without blanks between words (Chinese, Japanese, Korean, Thai and their neighbours) gives each pair of
neighbouring characters, and a character that stands alone. Words that stand in any text are left out.

Pure: no I/O, no locale, the same terms for ever. A change of what a term is needs a new schema of the stores.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Final

QUERY_CHARACTERS: Final = 4000  # of a query that are looked at: the first and the last half of them
QUERY_TERMS: Final = 48  # different terms of a query that are searched for
_LONGEST: Final = 40  # characters of a term; longer words are hashes, keys and paths of one text only

# English words that stand in any text, and what people say to any agent about anything.
_STOP: Final = """
    a about above after again against all also always am an and any are aren as at be because been before being below
    between both but by can cannot could couldn did didn do does doesn doing don done down during each either else etc
    ever every few for from further get gets getting give given go goes going gone got had hadn has hasn have haven
    having he her here hers him his how however i if in into is isn it its itself just keep kept know let lets like ll
    look make makes making many may maybe me might mine more most much must my myself need needs never no nor not now of
    off ok okay on once one only or other our ours out over own per please put quite rather re really same say says see
    she should shouldn show since so some something still such take tell than thank thanks that the their theirs them
    then there these they thing things this those through to too try two under until up upon us use used uses using ve
    very via want wants was wasn way we well were weren what whatever when where whether which while who whom whose why
    will with within without won would wouldn yes yet you your yours yourself
"""
# Words of the trade: in so many prompts that one of them alone says little of what a prompt is about.
_COMMON: Final = """
    add app call change check class code command create delete error fail file find fix function help implement
    improve issue line list method module new name number open problem project read refactor remove rename repo
    repository return review run script set start stop string test type update user value version work write
"""
# Everyday words: they say something of a text, but two texts that share one may be about anything.
_EVERYDAY: Final = """
    able accept access account across act action actual allow already amount answer apply area around arrive ask attempt
    available avoid away back bad base basic become before begin behave behaviour believe best better big bit block body
    bottom box break bring broken browser build button care carry case cause central certain choose clean clear click
    client close collect color colour column common compare complete condition connect consider contain content continue
    control copy correct cost count country create current customer cut data date day deal decide deep default define
    depend describe design detail develop different direct disable display document double drop early earlier easy edit
    effect empty enable end engineer ensure enter entry environment equal event exact example exist exit expect explain
    explicit extra fact fall fast feature feel field fill final fine first fit follow force form format found free
    friend front full future general global good great group grow guide half hand handle happen hard head header hear
    hidden high hold home host hour idea important include increase info information inner input inside install instead
    job join key kind label language large last late latest lead learn least leave left length less letter level life
    light limit link little load local lock long lose lot low main manage manual map mark match matter mean measure
    member memory mention menu message middle minute miss missing mode modern month move multiple near nice node normal
    note notice object old online order organise original outer output page parameter part partial pass path people
    place plain plan play point possible power prefer prepare present press prevent previous price print private process
    produce product program propose protect prove provide public pull push question quick raise random range rate reach
    real reason receive recent record reduce refer reject relate remain remember remote repeat replace reply report
    represent request require reserve reset resolve resource respond response rest result right role root round row rule
    safe sample save scale schedule screen search second secret section secure select send separate service setting
    share short side sign simple single site size skip slow small solve sort sound source space special specific split
    stage standard state status stay step store strict strong structure style sub submit succeed sudden sum super
    support sure switch system table tag task team temporary term text third time title today together tool top total
    track trigger true turn unit unknown unless usual valid verify view visible visit wait walk warn warning watch web
    week whole wide window word world wrap wrong year
"""
_STOP_WORDS: Final = frozenset(_STOP.split())
_WORD: Final = re.compile(r"[^\W_]+")
_DENSE: Final = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff"
    "\U00020000-\U0003ffff]+"
)


def terms(text: str) -> list[str]:
    """The terms of `text`, in order, each as often as it stands there. Never raises. Linear in the text."""
    plain = unicodedata.normalize("NFKC", text)
    plain = "".join(c for c in unicodedata.normalize("NFKD", plain.casefold()) if not unicodedata.combining(c))
    plain = unicodedata.normalize("NFC", plain)
    found: list[str] = []
    for word in _WORD.findall(plain):
        found.extend(_of_word(word))
    return found


def query_terms(text: str) -> list[str]:
    """The different terms of a query, at most QUERY_TERMS: of a long text those that begin and end it."""
    distinct = list(dict.fromkeys(terms(query_of(text))))
    if len(distinct) <= QUERY_TERMS:
        return distinct
    return distinct[: QUERY_TERMS // 2] + distinct[-(QUERY_TERMS - QUERY_TERMS // 2) :]


def query_of(text: str) -> str:
    """What of a prompt is looked at: all of it, or its first and last QUERY_CHARACTERS / 2 characters."""
    if len(text) <= QUERY_CHARACTERS:
        return text
    return f"{text[: QUERY_CHARACTERS // 2]}\n{text[-(QUERY_CHARACTERS // 2) :]}"


def _of_word(word: str) -> Iterable[str]:
    at = 0
    for dense in _DENSE.finditer(word):
        yield from _of_letters(word[at : dense.start()])
        run = dense[0]
        yield from (run[n : n + 2] for n in range(max(len(run) - 1, 1)))
        at = dense.end()
    yield from _of_letters(word[at:])


def _of_letters(word: str) -> Iterable[str]:
    if len(word) < 2 or len(word) > _LONGEST or word in _STOP_WORDS:
        return
    yield _stem(word)


def _stem(word: str) -> str:
    """An English word without its ending: crude, and alike for all its forms, which is all that matters."""
    if not word.isascii() or not word.isalpha():
        return word
    if word.endswith("ies") and len(word) > 4:
        word = word[:-3] + "y"
    elif word.endswith("s") and not word.endswith(("ss", "us", "is")) and len(word) > 3:
        word = word[:-1]
    for ending in ("ment", "ing", "ed", "ion"):
        if word.endswith(ending) and len(word) - len(ending) >= 4 - (ending == "ed"):
            word = word[: -len(ending)]
            if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "sl":
                word = word[:-1]
            break
    return word[:-1] if word.endswith("e") and len(word) > 3 else word


COMMON_TERMS: Final = frozenset(_stem(word) for word in _COMMON.split())
EVERYDAY_TERMS: Final = frozenset(_stem(word) for word in _EVERYDAY.split()) - COMMON_TERMS
