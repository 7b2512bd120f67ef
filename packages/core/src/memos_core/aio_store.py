"""The awaited skin of a place where cubes are published: each verb is run in a thread."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from memos_core.aio import AsyncMemCube, AsyncMemOS
from memos_core.interchange.fates import OnConflict
from memos_core.interchange.manifest import Load, Terms
from memos_core.interchange.signing import SigningKey
from memos_core.store import Published, Store


class AsyncStore:
    """A place where cubes are published, awaited. `blocking` is the store itself."""

    def __init__(self, blocking: Store) -> None:
        self.blocking = blocking

    def __repr__(self) -> str:
        return f"Async{self.blocking!r}"

    async def publish(
        self,
        cube: AsyncMemCube,
        *,
        name: str | None = None,
        version: int | None = None,
        terms: Terms | None = None,
        sign: SigningKey | None = None,
        passphrase: str | None = None,
    ) -> Published:
        """Write what you may see of a cube as the next version of `name`; see `Store.publish`."""
        return await asyncio.to_thread(
            self.blocking.publish,
            cube.blocking,
            name=name,
            version=version,
            terms=terms,
            sign=sign,
            passphrase=passphrase,
        )

    async def cubes(self) -> Sequence[Published]:
        """Return the newest version of every cube that is published here, by name."""
        return await asyncio.to_thread(self.blocking.cubes)

    async def versions(self, name: str) -> Sequence[Published]:
        """Return every version of a cube, oldest first; NotFound where there is none."""
        return await asyncio.to_thread(self.blocking.versions, name)

    async def subscribe(
        self,
        memos: AsyncMemOS,
        name: str,
        *,
        version: int | None = None,
        cube: str | None = None,
        on_conflict: OnConflict | str = OnConflict.FAIL,
        verify_key: str | None = None,
        passphrase: str | None = None,
    ) -> AsyncMemCube:
        """Load a published cube into a cube of yours; return that. See `Store.subscribe`."""
        found = await asyncio.to_thread(
            self.blocking.subscribe,
            memos.blocking,
            name,
            version=version,
            cube=cube,
            on_conflict=on_conflict,
            verify_key=verify_key,
            passphrase=passphrase,
        )
        return AsyncMemCube(found)

    async def update(
        self,
        cube: AsyncMemCube,
        *,
        on_conflict: OnConflict | str = OnConflict.FAIL,
        verify_key: str | None = None,
        passphrase: str | None = None,
    ) -> Load | None:
        """Bring a subscribed cube to the newest version; see `Store.update`."""
        return await asyncio.to_thread(
            self.blocking.update,
            cube.blocking,
            on_conflict=on_conflict,
            verify_key=verify_key,
            passphrase=passphrase,
        )
