"""What the `openai` client raises, in our words: whoever talks to such a server says it through here."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

from memos_core.errors import BackendError, BackendUnavailable

_BUSY: Final = (408, 429)


@contextmanager
def translated(source: str, *, wanted: str) -> Generator[None]:
    """Raise what goes wrong in the block as ours; `source` names the server, `wanted` what it should give.

    BackendUnavailable if nothing answers in time or the status is 408, 429 or 5xx; BackendError for
    any other refusal and for a strange body.
    """
    import openai  # noqa: PLC0415 - imported with the client

    try:
        yield
    except openai.APIConnectionError as exc:  # a timeout is one, too
        raise BackendUnavailable(f"{source} does not answer: {exc}") from exc
    except openai.APIStatusError as exc:
        is_busy = exc.status_code in _BUSY or exc.status_code >= 500
        kind = BackendUnavailable if is_busy else BackendError
        raise kind(f"{source} refused with status {exc.status_code}: {exc.message}") from exc
    except openai.OpenAIError as exc:
        raise BackendError(f"{source}: {exc}") from exc
    except (AttributeError, TypeError, ValueError) as exc:  # what the client makes of a strange body
        raise BackendError(f"{source} gave no {wanted}: {exc}") from exc
