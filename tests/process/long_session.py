"""A session with more events than anybody could wait for to be said."""

import json
import re
import sqlite3
from contextlib import closing

from tests.process.client import Client
from tests.process.product import Product

SEQ = re.compile(rb'"seq":(\d+),')
CHUNK_HEAD = re.compile(rb"\r\n[0-9a-f]+\r\n")


def make(product: Product, client: Client, *, events: int, event_bytes: int) -> str:
    """Give the id of a new session with so many events of so many bytes."""
    run = client.ask("[[fake tokens=1]]")
    session_id = str(run["session_id"])
    body = json.dumps({"type": "custom", "name": "filler", "data": "x" * event_bytes})
    path = product.data_dir / "chatledger.sqlite3"
    with closing(sqlite3.connect(path, timeout=20)) as database, database:
        found = database.execute(
            "SELECT id, last_seq FROM chat_chatsession WHERE session_id = ?", [session_id]
        )
        pk, last = found.fetchone()
        template = "SELECT run_id, attempt, at FROM chat_eventrecord WHERE session_id = ? LIMIT 1"
        run_id, attempt, at = database.execute(template, [pk]).fetchone()
        database.executemany(
            "INSERT INTO chat_eventrecord (session_id, seq, run_id, attempt, type, body, at)"
            " VALUES (?, ?, ?, ?, 'custom', ?, ?)",
            [(pk, last + n, run_id, attempt, body, at) for n in range(1, events + 1)],
        )
        statement = "UPDATE chat_chatsession SET last_seq = ? WHERE id = ?"
        database.execute(statement, [last + events, pk])
    return session_id


def seqs_in(received: bytes) -> list[int]:
    """The numbers of the events in what came over a WebSocket or an event stream."""
    return [int(seq) for seq in SEQ.findall(CHUNK_HEAD.sub(b"", received))]
