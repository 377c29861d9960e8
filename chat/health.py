"""Whether this process lives, and whether the parts that it needs answer."""

import asyncio

from channels.layers import get_channel_layer
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from chat import database, draining

TIMEOUT_S = 2.0


async def parts() -> dict[str, str]:
    """Ask each part; "ok" or one word that says what is wrong."""
    if draining.has_begun():
        return {"process": "draining"}
    names = ("database", "redis")
    found = await asyncio.gather(_ask(database.write(_ask_database)), _ask(_ask_redis()))
    return dict(zip(names, found, strict=True))


async def _ask(question: "asyncio.Future[None] | object") -> str:
    try:
        async with asyncio.timeout(TIMEOUT_S):
            await question  # type: ignore[misc]
    except _NotMigrated:
        return "not migrated"
    except Exception:  # noqa: BLE001 - the cause may name hosts and users
        return "down"
    return "ok"


class _NotMigrated(Exception):
    """The database has not all tables yet."""


def _ask_database() -> None:
    executor = MigrationExecutor(connection)
    if executor.migration_plan(executor.loader.graph.leaf_nodes()):
        raise _NotMigrated


async def _ask_redis() -> None:
    await get_channel_layer().group_send("chatledger.health", {"type": "ping"})
