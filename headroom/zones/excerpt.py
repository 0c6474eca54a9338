"""A text made shorter by leaving something out, where its original is kept and can be asked for.

First what can be left out is cut, then what is left is pressed without loss; both together must be clearly shorter
than pressing alone, since whoever needs the rest pays for asking.
"""

from __future__ import annotations

from headroom.zones import marker
from headroom.zones.cut import cut, with_marker
from headroom.zones.forms import Style
from headroom.zones.press import Action, Floors, Verdict, press
from headroom.zones.wrappers import peel
from headroom.zones.yardstick import Yardstick

GAIN = 0.10  # of the tokens after pressing alone
_NO_FLOORS = Floors.flat(0)


def excerpt(text: str, floors: Floors, yardstick: Yardstick, style: Style = Style.PLAIN) -> Verdict:
    """Shorten `text`, leaving something out where that pays. `cut` of the verdict says that it was.

    The shorter text ends with a marker that names `text`'s hash, which is to be kept before the shorter text goes
    anywhere. Deterministic. Cost: about twice that of `press`.
    """
    whole = press(text, floors, yardstick, style)
    if whole.action is Action.BELOW_FLOOR or marker.BEGIN in text:
        return whole
    head, core, tail = peel(text)
    made = cut(core, whole.kind)
    if made is None or len(core.encode()) < floors.of(whole.kind):
        return whole
    pressed = press(made.body, _NO_FLOORS, yardstick, style)
    body = pressed.text if pressed.action is Action.PRESSED else made.body
    shorter = with_marker(f"{head}{made.title}\n{body}{tail}", text, made)
    before = whole.before or yardstick.count(text)
    limit = int((whole.after if whole.action is Action.PRESSED else before) * (1 - GAIN))
    if limit <= 0 or yardstick.exceeds(shorter, limit):
        return whole
    form = f"{made.form}+{pressed.form}" if pressed.action is Action.PRESSED else made.form
    return Verdict(Action.PRESSED, whole.kind, form, shorter, before, yardstick.count(shorter), cut=True)
