"""The command line: `memos remember`, `memos recall` and what belongs to them.

Only this package reads or sets the environment (MEMOS_STORE, MEMOS_PRINCIPAL, how loud gRPC is): a
program may, the library below it may not. Exit codes: 0 all is well, 1 an
error with its remedy, 2 a mistake in how the command was typed, 3 not found, 4 the folder is in use
by another process, 130 interrupted.
"""

import os

from memos_core.cli.app import app

__all__ = ["main"]


def main() -> None:
    """Run the command that was typed."""
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")  # Milvus Lite's farewells would stand on stderr
    app(prog_name="memos")
