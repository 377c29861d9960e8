"""Starting and ending: what is printed, what is refused, and that nothing is left behind."""

import os
import signal
import socket
import time
from collections.abc import Callable

import psutil
import pytest

from tests.process.client import Client
from tests.process.conftest import KEY
from tests.process.product import COMMANDS, READY, Product, is_alive, wait_for

pytestmark = pytest.mark.process

Maker = Callable[..., Product]


def check_all_gone(processes: list[psutil.Process], *, within_s: float) -> None:
    wait_for(lambda: not any(is_alive(p) for p in processes), timeout_s=within_s)


def test_the_url_and_once_the_password_are_printed(product: Product) -> None:
    found = READY.findall(product.output)
    assert found == [f"{product.url}/"]
    name, password = product.printed_password or ("", "")
    assert name == "admin"
    assert len(password) >= 12
    # Only on the terminal, not in the log.
    assert password not in product.log
    assert KEY not in product.output


def test_the_children_are_recognisable(product: Product) -> None:
    commands = [" ".join(process.cmdline()) for process in product.processes()]
    for word in COMMANDS.values():
        assert sum(word in command for command in commands) == 1, commands
    assert not any(KEY in command for command in commands)


def test_the_service_is_ready_and_serves_the_page(client: Client) -> None:
    assert client.get("/health/ready")["status"] == "ok"
    page = client.http.get("/")
    assert page.status_code == 200
    assert "Chatledger" in page.text
    assert client.http.get("/static/chat/app.js").status_code == 200


def test_private_files_are_private(product: Product) -> None:
    assert (product.data_dir / "secret_key").stat().st_mode & 0o077 == 0
    assert (product.data_dir / "valkey.sock").stat().st_mode & 0o077 == 0


def test_a_second_start_on_the_same_data_is_refused(product: Product, client: Client) -> None:
    second = Product(product.data_dir.with_name("second"), DATA_DIR=str(product.data_dir))
    before = product.port
    second.begin()
    try:
        assert second.wait(30) not in (0, None)
    finally:
        second.end()
    (line,) = second.output.strip().splitlines()
    assert "running" in line
    assert str(product.data_dir) in line
    assert product.port == before
    assert client.get("/health/ready")["status"] == "ok"


def test_who_ends_it_while_it_starts_is_shown_no_traceback(make_product: Maker) -> None:
    product = make_product()
    for pause_s in (0.1, 0.4, 1.0):
        product.begin()
        time.sleep(pause_s)
        assert product.stop(signal.SIGINT) in (0, 130, -signal.SIGINT)
        assert "Traceback" not in product.output


def test_who_ends_it_before_it_is_ready_has_the_admin_s_password(make_product: Maker) -> None:
    product = make_product(REDIS_URL="redis://127.0.0.1:9/0")
    product.begin()
    wait_for(lambda: product.printed_password, timeout_s=60)
    assert product.stop(signal.SIGINT) == 0
    assert "ready" not in product.output


def test_a_taken_port_is_told_in_one_line(make_product: Maker) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        product = make_product(PORT=str(port))
        product.begin()
        assert product.wait(30) != 0
    (line,) = product.output.strip().splitlines()
    assert f"Port {port}" in line


def test_a_database_that_is_not_there_is_told_in_one_line(make_product: Maker) -> None:
    product = make_product(DATABASE_URL="postgres://me:secret@127.0.0.1:9/none")
    product.begin()
    assert product.wait(30) != 0
    (line,) = product.output.strip().splitlines()
    assert "The database cannot be used" in line
    assert "secret" not in line


@pytest.mark.parametrize(
    ("name", "value"), [("PORT", "none"), ("LLM_TEMPERATURE", "9"), ("AUTH", "maybe")]
)
def test_a_wrong_setting_is_told_without_a_traceback(
    make_product: Maker, name: str, value: str
) -> None:
    product = make_product(**{name: value})
    product.begin()
    assert product.wait(30) != 0
    assert name in product.output
    assert "Traceback" not in product.output


def test_history_and_costs_survive_a_restart(
    make_product: Maker, provider_settings: dict[str, str]
) -> None:
    product = make_product(**provider_settings).start()
    assert product.printed_password
    client = Client(product)
    session_id = client.new_session()
    run = client.ask("one [[fake tokens=3]]", session_id=session_id)
    said, costs = client.answer_of(run), client.get(f"/api/sessions/{session_id}/costs")
    client.close()
    children = product.processes()
    started = time.monotonic()
    assert product.stop(signal.SIGTERM) == 0
    assert time.monotonic() - started < 10
    check_all_gone(children, within_s=0.5)
    assert not (product.data_dir / "port").exists()

    product.start()
    assert product.printed_password is None
    client = Client(product)
    assert client.run(run["run_id"]) == run
    assert client.get(f"/api/sessions/{session_id}/costs") == costs
    echo = client.ask("two [[fake echo=1]]", session_id=session_id)
    assert said in client.answer_of(echo)
    with client.socket(session_id) as socket:
        socket.ask("three [[fake tokens=2000 gap_ms=20]]")
        socket.read_until("text.delta")
        children = product.processes()
        assert product.stop(signal.SIGINT) == 0
    client.close()
    check_all_gone(children, within_s=0.5)
    # What the others need, they have to their end.
    assert "Traceback" not in product.output


def test_who_asks_twice_does_not_wait(make_product: Maker) -> None:
    product = make_product(LLM_PROVIDER="scripted").start()
    children = product.processes()
    worker = product.child("worker")
    worker.suspend()
    os.kill(product.pid, signal.SIGINT)
    wait_for(lambda: "stopping" in product.output, timeout_s=10)
    assert product.stop(signal.SIGINT) == 0
    assert "asked again: ending now" in product.output
    check_all_gone(children, within_s=0.5)
    product.start()
    client = Client(product)
    assert client.ask("again")["status"] == "finished"
    client.close()


def test_an_end_while_starting_leaves_nothing(make_product: Maker) -> None:
    product = make_product()
    product.begin()
    wait_for(lambda: len(product.processes()) >= len(COMMANDS), timeout_s=30)
    children = product.processes()
    assert product.stop(signal.SIGINT) == 0
    check_all_gone(children, within_s=0.5)
    assert "Traceback" not in product.output


def test_the_port_file_of_a_killed_start_is_not_believed(make_product: Maker) -> None:
    product = make_product()
    product.data_dir.mkdir()
    port_file = product.data_dir / "port"
    port_file.write_text("1")
    product.begin()
    wait_for(product.processes, timeout_s=30)
    assert not port_file.exists()
