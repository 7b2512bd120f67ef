"""Whose memory a run may see: the user, the cube and the session that a runtime names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from memos_core import InvalidInput, MemCube, MemOS

USER, CUBE, SESSION = "user_id", "memory_cube", "thread_id"
DEFAULT_CUBE = "memory"


class NoUser(InvalidInput):
    """The run does not say who it is for."""


class SaysWho(Protocol):
    """What of a runtime is read; LangGraph's Runtime and ToolRuntime both have it."""

    @property
    def context(self) -> Any: ...
    @property
    def server_info(self) -> Any: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Whose:
    """The user whose memories these are, the name of their cube, and the conversation."""

    user: str
    cube: str
    session: str | None

    def open(self, memos: MemOS) -> MemCube:
        """Return the user's own cube, as the user sees it."""
        return memos.as_principal(self.user).cube(self.cube)


def whose(runtime: SaysWho | None, config: Mapping[str, Any], *, cube: str = DEFAULT_CUBE) -> Whose:
    """Return whose memory a run may see.

    The user is the one that the server authenticated, else `user_id` of the runtime's context, else
    of the config's `configurable`; `memory_cube` there names another cube than `cube`, `thread_id`
    the session. A chain has no runtime. Raises NoUser where nobody is named, InvalidInput where two
    users are.
    """
    configurable = config.get("configurable") or {}
    context = None if runtime is None else runtime.context
    named = [
        name
        for name in (_server_user(runtime), _said(context, USER), configurable.get(USER))
        if name is not None
    ]
    if not named:
        raise NoUser(
            f"nobody says whose memory this run may see: pass context={{{USER!r}: ...}} or "
            f"config={{'configurable': {{{USER!r}: ...}}}} to invoke"
        )
    users = {_name(user, USER) for user in named}
    if len(users) > 1:
        raise InvalidInput(f"the run names several users, {sorted(users)}: whose memory may it see?")
    chosen = _said(context, CUBE) or configurable.get(CUBE) or cube
    session = configurable.get(SESSION)
    return Whose(
        user=users.pop(), cube=_name(chosen, CUBE), session=None if session is None else str(session)
    )


def _server_user(runtime: SaysWho | None) -> Any:
    """Return whom LangGraph's server authenticated; only its word cannot be forged by a client."""
    user = None if runtime is None else getattr(runtime.server_info, "user", None)
    return None if user is None else getattr(user, "identity", None)


def _said(context: Any, name: str) -> Any:
    return context.get(name) if isinstance(context, Mapping) else getattr(context, name, None)


def _name(value: Any, what: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise NoUser(f"{what} must be a str that is not blank, not {value!r}")
    return value
