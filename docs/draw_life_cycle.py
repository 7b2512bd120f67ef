"""Draw the life cycle anew into its page, from the table in `memos_core.lifecycle`."""

from __future__ import annotations

import re
from pathlib import Path

from memos_core.lifecycle import diagram

PAGE = Path(__file__).parent / "howto" / "life-cycle.md"


def main() -> None:
    """Replace the page's diagram."""
    page = PAGE.read_text(encoding="utf-8")
    drawn = re.sub(
        r"^```mermaid\n.*?^```$",
        lambda _: f"```mermaid\n{diagram()}\n```",
        page,
        flags=re.MULTILINE | re.DOTALL,
    )
    PAGE.write_text(drawn, encoding="utf-8")


if __name__ == "__main__":
    main()
