"""Logging in to the page: everybody who is active may, and nobody by guessing."""

import uuid

import pytest
from django.contrib.auth.models import User
from django.urls import reverse

pytestmark = pytest.mark.django_db
HTML = {"headers": {"Accept": "text/html"}}


@pytest.fixture
def carol(settings):
    settings.AUTH = "required"
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    return User.objects.create_user("carol", password="right one")


def log_in(client, password, *, name="carol", to="/", url=None):
    said = {"username": name, "password": password, "next": to}
    return client.post(url or reverse("login"), said, **HTML)


def test_who_is_not_staff_logs_in_chats_and_logs_out(client, carol):
    assert client.get("/s/mine", **HTML)["Location"] == "/login/?next=/s/mine"
    page = client.get("/login/?next=/s/mine", **HTML)
    assert b'name="next" value="/s/mine"' in page.content
    assert "default-src 'self'" in page["Content-Security-Policy"]
    assert log_in(client, "right one", to="/s/mine")["Location"] == "/s/mine"
    shown = client.get("/s/mine", **HTML).content.decode()
    assert "carol" in shown
    assert 'href="/admin/"' not in shown
    assert client.get("/login/", **HTML)["Location"] == "/"
    assert client.get("/admin/", **HTML)["Location"] == "/admin/login/?next=/admin/"
    assert client.post("/logout/", **HTML)["Location"] == "/"
    assert client.get("/", **HTML).status_code == 302


def test_staff_are_shown_the_way_to_the_admin(client, carol):
    client.force_login(User.objects.create_superuser("admin", password=None))
    assert 'href="/admin/"' in client.get("/", **HTML).content.decode()


def test_what_is_wrong_is_said_and_not_which(client, carol):
    refused = [log_in(client, "wrong", name=name).content for name in ("carol", "nobody")]
    assert all(b"enter a correct username and password" in page for page in refused)
    User.objects.update(is_active=False)
    assert b"enter a correct username and password" in log_in(client, "right one").content


@pytest.mark.parametrize(
    "target", ["//evil.example", "https://evil.example", "javascript:alert(1)"]
)
def test_A_9_a_login_leads_to_no_other_site(client, carol, target):
    assert log_in(client, "right one", to=target)["Location"] == "/"


@pytest.mark.parametrize("url", ["login", "admin:login"])
def test_A_9_guessing_is_slowed_down_for_each_name_and_address(client, carol, redis, url):
    User.objects.update(is_staff=True)
    client.defaults["REMOTE_ADDR"] = f"address-{uuid.uuid4()}"
    url = reverse(url)
    for _ in range(10):
        assert b"Too many tries" not in log_in(client, "wrong", url=url).content
    # Also with the right password.
    assert b"Too many tries" in log_in(client, "right one", url=url).content
    User.objects.create_user("dave", password="right one", is_staff=True)
    assert log_in(client, "right one", name="dave", url=url).status_code == 302
