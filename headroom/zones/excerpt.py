"""A text made shorter by leaving something out, where its original is kept and can be asked for.

First what can be left out is cut, then what is left is pressed without loss; both together must be clearly shorter
than pressing alone, since whoever needs the rest pays for asking.
"""

from __future__ import annotations

from headroom.zones import marker
from headroom.zones.cut import cut, with_marker
from headroom.zones.detect import sniff
from headroom.zones.forms import Style
from headroom.zones.gaps import Cut
from headroom.zones.hints import Hints
from headroom.zones.press import TITLES, Action, Floors, Verdict, press
from headroom.zones.wrappers import peel
from headroom.zones.yardstick import Yardstick

GAIN = 0.10  # of the tokens after pressing alone
SURE = 0.3  # of the characters that are left by a cut, for pressing alone not to be tried: it would not come near
_NO_FLOORS = Floors.flat(0)


def excerpt(
    text: str, floors: Floors, yardstick: Yardstick, style: Style = Style.PLAIN, hints: Hints | None = None
) -> Verdict:
    """Shorten `text`, leaving something out where that pays. `cut` of the verdict says that it was.

    `hints` are for pressing the whole of it. Whether it is cut no hint says, nor how what a cut leaves is pressed:
    that is another text, and a short one.

    The shorter text ends with a marker that names `text`'s hash, which is to be kept before the shorter text goes
    anywhere. Deterministic. Cost: that of a cut where it leaves little, else about twice that of `press`.
    """
    head, core, tail = peel(text)
    if marker.BEGIN in text or core.startswith(TITLES):  # it was cut or pressed before: that could not be read
        return press(text, floors, yardstick, style, hints=hints)
    kind = sniff(core)
    large = len(core.encode("utf-8", "replace")) >= floors.of(kind)
    made = cut(core, kind) if large else None
    if made is not None and len(made.body) <= SURE * len(core):
        before = yardstick.count(text)
        shorter, form = _written(made, head, tail, text, yardstick, style)
        after = yardstick.within(shorter, int(before * (1 - GAIN)))
        if after is not None:
            return Verdict(Action.PRESSED, kind, form, shorter, before, after, cut=True)
    whole = press(text, floors, yardstick, style, sniffed=kind, hints=hints)
    if whole.action is Action.BELOW_FLOOR or not large:
        return whole
    if whole.kind is not kind:
        made = cut(core, whole.kind)
    if made is None:
        return whole
    before = whole.before or yardstick.count(text)
    limit = int((whole.after if whole.action is Action.PRESSED else before) * (1 - GAIN))
    shorter, form = _written(made, head, tail, text, yardstick, style)
    after = yardstick.within(shorter, limit) if limit > 0 else None
    if after is None:
        return whole
    return Verdict(Action.PRESSED, whole.kind, form, shorter, before, after, cut=True)


def _written(made: Cut, head: str, tail: str, text: str, yardstick: Yardstick, style: Style) -> tuple[str, str]:
    """A cut as it is sent, pressed where that pays, and the names of its forms."""
    pressed = press(made.body, _NO_FLOORS, yardstick, style)
    body = pressed.text if pressed.action is Action.PRESSED else made.body
    form = f"{made.form}+{pressed.form}" if pressed.action is Action.PRESSED else made.form
    return with_marker(f"{head}{made.title}\n{body}{tail}", text, made), form
