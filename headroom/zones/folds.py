"""Long runs of added or of removed lines of a diff, without the sign before each.

+def take(self):          +++ all
+    self.n += 1      →   def take(self):
+    …                        self.n += 1
                              …
                          +++ end
"""

from __future__ import annotations

LEAST_LINES = 12  # that a run must have: the two lines around it are to be worth it, to readers too
LEAST_GAIN = 24  # lines that the runs of a text must have beyond their marks, to be worth the first line's words
OPTION = "; +++ all to +++ end: added lines without their +, --- likewise"
_MARKS_COST = 6  # lines
_SIGNS = "+-"
_BEGIN = {sign: sign * 3 + " all" for sign in _SIGNS}
_END = {sign: sign * 3 + " end" for sign in _SIGNS}


def fold(lines: list[str]) -> list[str] | None:
    """`lines` with long runs folded; None where there is none, or where a line would be taken for a run's mark."""
    out: list[str] = []
    at = 0
    gain = 0
    while at < len(lines):
        line = lines[at]
        sign = line[:1]
        if not sign or sign not in _SIGNS:
            out.append(line)
            at += 1
            continue
        end = at
        while end < len(lines) and lines[end][:1] == sign:
            end += 1
        run = lines[at:end]
        if _BEGIN[sign] in run or sign + _END[sign] in run:
            return None
        if len(run) >= LEAST_LINES:
            out += [_BEGIN[sign], *[line[1:] for line in run], _END[sign]]
            gain += len(run) - _MARKS_COST
        else:
            out += run
        at = end
    return out if gain >= LEAST_GAIN else None


def unfold(lines: list[str]) -> list[str]:
    """What `fold` was given. Raises ValueError for a run without its end."""
    out: list[str] = []
    inside = ""
    for line in lines:
        if inside:
            if line == _END[inside]:
                inside = ""
            else:
                out.append(inside + line)
        elif line in _BEGIN.values():
            inside = line[0]
        else:
            out.append(line)
    if inside:
        raise ValueError("a run of lines has no end")
    return out
