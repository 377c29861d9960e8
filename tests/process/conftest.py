"""The product with a fake provider behind it, started once for the tests that do not break it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.fakes.provider import FakeProvider
from tests.process.client import Client, Socket, check_order
from tests.process.product import Product

#: The key must never be seen outside; it is looked for everywhere.
KEY = "sk-secret-of-the-operator"


@pytest.fixture(scope="package")
def provider() -> Iterator[FakeProvider]:
    with FakeProvider.in_thread() as fake:
        yield fake


@pytest.fixture(scope="package")
def provider_settings(provider: FakeProvider) -> dict[str, str]:
    """The environment that sends every request to the fake provider."""
    return {
        "LLM_PROVIDER": "openai",
        "OPENAI_BASE_URL": provider.base_url,
        "OPENAI_API_KEY": KEY,
        "OPENAI_MODEL": "gpt-4o-mini",
        "LLM_TIMEOUT_S": "2",
        "LLM_MAX_RETRIES": "1",
    }


@pytest.fixture(scope="package")
def product(
    tmp_path_factory: pytest.TempPathFactory, provider_settings: dict[str, str]
) -> Iterator[Product]:
    """The product for tests that leave it as it was."""
    with Product(tmp_path_factory.mktemp("shared") / "data", **provider_settings) as started:
        yield started


@pytest.fixture(scope="package")
def client(product: Product) -> Iterator[Client]:
    made = Client(product)
    yield made
    made.close()


@pytest.fixture
def bystander(client: Client, product: Product) -> Iterator[Socket]:
    """Somebody whose answer arrives meanwhile, in the same web process."""
    web = product.child("web")
    with client.socket(client.new_session()) as other:
        other.ask("[[fake tokens=50 gap_ms=10]]")
        other.read_until("text.delta")
        yield other
        assert other.read_to_end()["type"] == "run.finished"
    check_order(other.frames)
    assert web.is_running()
    assert client.http.get("/health/live").status_code == 200


@pytest.fixture
def make_product(tmp_path: Path) -> Iterator[Callable[..., Product]]:
    """Makes products of a test's own, which it may break; all of them are ended."""
    made: list[Product] = []

    def make(name: str = "data", **environment: str) -> Product:
        made.append(Product(tmp_path / name, **environment))
        return made[-1]

    yield make
    for item in made:
        item.end()
