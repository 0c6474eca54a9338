"""What clients put around a tool's output: kept as it is, so that what it wraps can be told and pressed.

Heads name the run (its id, time, exit code), tails remind the model of something; neither is the tool's.
"""

from __future__ import annotations

import re

HEAD_LIMIT = 2000  # characters of a head; a longer one is no head
MOST_LAYERS = 4  # wrappers around wrappers

_TAGS = (
    r"(?:bash|local-command)-std(?:out|err)|stdout|stderr|output|result|tool_result|tool_output|tool_output_masked"
    r"|response|file|file_content|content|persisted-output|untrusted_context"
)
_HEADS = (
    # One `Name: value` line each, then the output.
    re.compile(
        r"(?:(?:Chunk ID|Wall time|Process exited with code|Exit code|Duration|Original token count"
        r"|Total output lines)\b[^\n]*\n)+Output:\n"
        r"(?:Warning: truncated output[^\n]*\n(?:Total output lines: \d+\n)?\n?)?"
    ),
    re.compile(r"Total output lines: \d+\n\n"),
    re.compile(r"(?:Error: )?Exit code:? -?\d+\n+(?:(?:Command output|Output):\n+)?"),
    re.compile(r"<path>[^\n]*</path>\n<type>[^\n]*</type>\n<content>\n"),
    re.compile(r"<returncode>-?\d+</returncode>\n"),
    re.compile(rf"<(?:{_TAGS})>\n?"),
    re.compile(r"Command: [^\n]*\nDirectory: [^\n]*\n"),
    re.compile(r"(?:Output|Stdout): (?!\(empty\))"),
    re.compile(r"Output too large\b[^\n]*\n+(?:Preview [^\n]*:\n)?"),
    re.compile(r"\.\.\.output truncated\.\.\.\n+Full output saved to: [^\n]*\n+"),
    re.compile(r"\[[a-z_]+ for '[^\n]*'\] Result:\n+(?:Command executed[^\n]*\n+)?(?:Output:\n)?"),
    re.compile(r"Command executed[^\n]*\n(?:Output:\n)?"),
    re.compile(r"EXECUTION RESULT of \[[^\n]*\]:\n|OBSERVATION:\n"),
)
# What must be in a text for the pattern to be looked for, which is far dearer; and the pattern.
_TAILS = (
    (
        ("\nBackground PIDs: ", "\nProcess Group PGID: ", "\nExit Code: ", "\nSignal: ", "\nStderr: ", "\nError: "),
        re.compile(
            r"(?:\n(?:Background PIDs|Process Group PGID|Exit Code|Signal|Stderr|Error): [^\n]*)+"
            r"(?:\n</untrusted_context>)?\s*\Z"
        ),
    ),
    (("\n</content>",), re.compile(r"(?:\n{1,3}\([^\n]*\))?\n</content>\s*\Z")),
    (("</",), re.compile(rf"\n?</(?:{_TAGS})>(?:\n?<(?:bash-)?stderr>[^<]*</(?:bash-)?stderr>)?\s*\Z")),
    (
        ("\n[The command", "\n[Command", "\n[Current", "\n[Python"),
        re.compile(
            r"(?:\n\[(?:The command completed|Command finished|Command timed out|Current working directory"
            r"|Python interpreter)\b[^\n]*\])+\s*\Z"
        ),
    ),
    (("\n(",), re.compile(r"(?:\n\((?:Open file|Current directory): [^\n]*\))+\n(?:bash-)?\$\s*\Z")),
    (("truncated",), re.compile(r"\n{1,3}\((?:Output|Results?|Listing)\b[^\n]*\btruncated\b[^\n]*\)\s*\Z")),
    (("NOTE: do any",), re.compile(r"\n{1,3}NOTE: do any of the files above seem malicious\?[^\n]*\s*\Z")),
)
_REMINDER = "<system-reminder>"
_REMINDER_END = "</system-reminder>"


def peel(text: str) -> tuple[str, str, str]:
    """A head, the output, and a tail, which joined are `text`; head and tail may be empty. Cost: a bounded look."""
    begin = headed(text)
    core = text[begin:]
    for _ in range(MOST_LAYERS):
        at = _tail(core)
        if at is None:
            break
        core = core[:at]
    return text[:begin], core, text[begin + len(core) :]


def headed(text: str) -> int:
    """Where the output begins behind what a client has put before it. Cost: a bounded look."""
    begin = 0
    for _ in range(MOST_LAYERS):
        match = next((match for head in _HEADS if (match := head.match(text, begin, begin + HEAD_LIMIT))), None)
        if match is None or match.end() == begin:
            break
        begin = match.end()
    return begin


def _tail(core: str) -> int | None:
    """Where the last wrapper's tail begins; None without one."""
    if core[-HEAD_LIMIT:].rstrip().endswith(_REMINDER_END):
        at = core.rfind(_REMINDER)
        if at >= 0:
            return len(core[:at].rstrip("\n"))
    from_here = max(0, len(core) - HEAD_LIMIT)
    end = core[from_here:]
    for signs, pattern in _TAILS:
        if any(map(end.__contains__, signs)) and (match := pattern.search(end)) is not None:
            return from_here + match.start()
    return None
