"""The `headroom` command."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from headroom import __version__, config

_USAGE = """usage: headroom COMMAND

  serve      run the proxy; `headroom serve --help` lists its settings
  inspect    show what would be done to a request body
  press      press one text; unpress gives it back
  retrieve   print the original of a text that was cut, by its hash
  memory     list, search, add, forget and export what is remembered across sessions
  toin-publish
             write what the statistics recommend to a file that `serve` reads when it starts
  mcp        serve retrieve, compress and stats to an agent, over standard input and output
  settings   print all settings as a table
  version    print the version
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command. Exits with 64 for a command that does not exist."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    command = words[0] if words else "--help"
    if command == "serve":
        # Imported here, so that asking for the version does not load an event loop.
        from headroom import serve  # noqa: PLC0415

        serve.main(words[1:])
    elif command in ("inspect", "press", "unpress"):
        from headroom import inspect  # noqa: PLC0415

        status = inspect.run(command, words[1:])
        if status:
            raise SystemExit(status)
    elif command == "retrieve":
        from headroom import fetch  # noqa: PLC0415

        fetch.main(words[1:])
    elif command == "memory":
        from headroom import memory_command  # noqa: PLC0415

        memory_command.main(words[1:])
    elif command == "toin-publish":
        from headroom import publishing  # noqa: PLC0415

        publishing.main(words[1:])
    elif command == "mcp":
        from headroom import mcp_server  # noqa: PLC0415 - which few have the package for

        mcp_server.main(words[1:])
    elif command == "settings":
        sys.stdout.write(config.table())
    elif command in ("version", "--version"):
        sys.stdout.write(f"headroom {__version__}\n")
    elif command in ("help", "--help", "-h"):
        sys.stdout.write(_USAGE)
    else:
        sys.stderr.write(f"headroom: {command}: no such command\n`headroom --help` tells what there is.\n")
        raise SystemExit(64)
