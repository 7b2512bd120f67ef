"""Where somebody's memories are: the one value that every class of this package is built on."""

from __future__ import annotations

import atexit
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Self, TypeVar

from pydantic import PlainSerializer, PlainValidator

from memos_core import InvalidInput, MemCube, MemOS, NotFound, Principal, Settings

R = TypeVar("R")

CUBE = "memory"


class Home:
    """A user's cube in a store, by names: folder, user, cube and, if it is somebody else's, owner.

    Made from an open store it uses that one, and says Closed when that is closed. Pickled or written
    as JSON it is names only. Restored, it finds its store at the first use: the one that this process
    has open in the folder, else it opens the folder itself, until the process ends.
    """

    def __init__(
        self,
        memos: MemOS | None = None,
        *,
        cube: str = CUBE,
        user: Principal | str | None = None,
        owner: Principal | str | None = None,
        folder: str | Path | None = None,
    ) -> None:
        if memos is None and (folder is None or user is None):
            raise InvalidInput("nobody says whose memory this is: pass memos=MemOS.open(...), and user=...")
        self._memos = memos
        self._cube: MemCube | None = None
        self.folder = str(folder if memos is None else memos.folder)
        named = user if user is not None or memos is None else memos.principal
        self.user = _named(named, "user")
        self.cube_name = _named(cube, "cube")
        self.owner = None if owner is None else _named(owner, "owner")
        if memos is not None:
            self._memos = memos.as_principal(self.user)

    def memos(self) -> MemOS:
        """Return the store as the user sees it."""
        if self._memos is None:
            self._memos = _connected(self.folder, self.user)
        return self._memos

    def open(self, *, create: bool = True) -> MemCube:
        """Return the cube. Rights are looked at now: what was revoked is NotFound."""
        return self.memos().cube(self.cube_name, owner=self.owner, create=create)

    def ask(self, verb: Callable[[MemCube], R], *, create: bool = True) -> R:
        """Do something with the cube: its verbs look at the rights by themselves, so a handle is held.

        Where that one leads nowhere any more, the cube is looked up by its name once again.
        """
        held = self._cube
        if held is not None:
            try:
                return verb(held)
            except NotFound:
                self._cube = None
        self._cube = found = self.open(create=create)
        return verb(found)

    def beside(self, cube: str) -> Home:
        """Return another cube of the same user in the same store."""
        return Home(self._memos, cube=cube, user=self.user, folder=self.folder)

    def names(self) -> dict[str, str | None]:
        """Return all that is written of it: no handle, no secret."""
        return {"folder": self.folder, "user": self.user, "cube": self.cube_name, "owner": self.owner}

    def __repr__(self) -> str:
        return f"Home({', '.join(f'{name}={each!r}' for name, each in self.names().items() if each)})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Home) and self.names() == other.names()

    def __hash__(self) -> int:
        return hash(tuple(self.names().values()))

    def __reduce__(self) -> tuple[Callable[..., Home], tuple[dict[str, str | None]]]:
        return home_of, (self.names(),)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self  # it never changes, and there is one store


def home_of(value: Home | Mapping[str, Any]) -> Home:
    """Return a home from what `names` wrote; a home is returned as it is."""
    if isinstance(value, Home):
        return value
    if not isinstance(value, Mapping) or not value.keys() >= {"folder", "user", "cube"}:
        raise InvalidInput(f"a home has a folder, a user and a cube: {value!r} is none")
    return Home(folder=value["folder"], user=value["user"], cube=value["cube"], owner=value.get("owner"))


HomeField = Annotated[Home, PlainValidator(home_of), PlainSerializer(Home.names)]
"""A home as a field of a pydantic model."""


def _connected(folder: str, user: str) -> MemOS:
    try:
        return MemOS.opened(folder, principal=user)  # however it was opened
    except NotFound:
        if not Path(folder).is_dir():
            raise NotFound("store in the folder", folder) from None
    memos = MemOS.connect(Settings(folder=folder), principal=user)
    atexit.register(memos.close)
    return memos


def _named(name: object, what: str) -> str:
    """Return a name that is one; the core looks at the rest."""
    text = name.name if isinstance(name, Principal) else name
    if not isinstance(text, str) or not text.strip():
        raise InvalidInput(f"{what} must be a str that is not blank, not {name!r}")
    return text
