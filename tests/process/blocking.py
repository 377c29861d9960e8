"""A way to the product on which no WebSocket can be opened, as behind some proxies."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.chaos.loops import LoopThread
from tests.chaos.proxy import Proxy
from tests.process.product import Product


@contextmanager
def without_websockets(product: Product) -> Iterator[Proxy]:
    """Let everything through but the answers to those who ask for a WebSocket."""
    thread = LoopThread("proxy")
    proxy = Proxy(("127.0.0.1", product.port), thread=thread)
    proxy.lose_answers(b"Upgrade: websocket", times=1000)
    try:
        yield proxy
    finally:
        proxy.close()
        thread.close()
