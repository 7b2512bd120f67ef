"""In which forms a state is stored: their names, and what each stores. Without torch."""

from __future__ import annotations

import re
from dataclasses import dataclass

from memos_core.errors import InvalidInput

_NAME = re.compile(r"(?:(exact|bfloat16|int8)(?:\+(?=s)|$))?(?:sparse-([1-9][0-9]?))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """What is stored: a `share` of the tokens; `elements` "exact" (the model's own), "bfloat16" or "int8"."""

    elements: str = "exact"
    share: float = 1.0

    @property
    def is_whole(self) -> bool:
        """Whether every token is stored, so that some may be computed anew among the others."""
        return self.share == 1


def form_of(name: str) -> Form:
    """Return what a name asks for: "exact", "bfloat16", "int8", "sparse-50", "int8+sparse-25" and the like.

    The number is the per cent of tokens that are kept, 1 to 99. InvalidInput for any other name.
    """
    match = _NAME.fullmatch(name)
    if not name or match is None:
        raise InvalidInput(
            f"form must be 'exact', 'bfloat16' or 'int8', with '+sparse-50' or alone 'sparse-50' for half of "
            f"the tokens, not {name!r}"
        )
    elements, share = match.groups()
    return Form(elements=elements or "exact", share=int(share) / 100 if share else 1.0)
