"""The admin takes nonsense from outside, and shows nothing to those who may see nothing."""

import json

import pytest
from django.contrib.auth.models import Permission, User
from django.urls import reverse

from chat.models import EventRecord, Message, Run
from tests import driving
from tests.chat.test_admin import COSTS, EVIL, MODELS

pytestmark = pytest.mark.django_db(transaction=True)

LISTS = [*(f"chat_{name}" for name in (*MODELS, "apikey")), *(f"costs_{name}" for name in COSTS)]
EVIL_TOOL = f'{EVIL} [x](javascript:alert(1)) </textarea></pre><script>alert(3)</script>"'


@pytest.fixture
def admin(client):
    client.force_login(User.objects.create_superuser("admin", password=None))
    return client


@pytest.fixture
def staff(client):
    """Logs a member of the staff in who has these permissions and no others."""

    def login(*codenames):
        user = User.objects.create_user("staff", is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
        client.force_login(user)
        return client

    return login


@pytest.fixture
def done(worker, session):
    """A run that says what it should not, in its text and in its model's name."""
    script = json.dumps(EVIL_TOOL)
    worker.execute(driving.send(session, f"[[text={script} delay_ms=0]] What is 6*7?").run_id)
    Run.objects.update(model=f"scripted:{EVIL}", error_detail=EVIL_TOOL)
    return Run.objects.get()


def pages_of(pk):
    for name, key in (("run", pk), ("message", None), ("eventrecord", None)):
        first = {"message": Message, "eventrecord": EventRecord}.get(name, Run).objects.first()
        for page in ("change", "history", "delete"):
            yield reverse(f"admin:chat_{name}_{page}", args=[key or first.pk])


def test_A_1_every_page_of_an_object_escapes_what_a_model_wrote(admin, done):
    for url in pages_of(done.pk):
        answer = admin.get(url)
        assert answer.status_code in (200, 403), url
        for hostile in (b"<img src=x", b"<svg onload", b"<script>alert", b'href="javascript'):
            assert hostile not in answer.content, url


def test_A_1_a_message_of_a_megabyte_is_short_in_the_list(admin, done):
    Message.objects.update(parts=[{"type": "text", "text": "x" * 2**20}])
    listed = admin.get(reverse("admin:chat_message_changelist"))
    assert (listed.status_code, len(listed.content) < 100_000) == (200, True)
    message = Message.objects.first()
    page = admin.get(reverse("admin:chat_message_change", args=[message.pk]))
    assert page.status_code == 200


QUERIES = [
    {"q": "\0"},
    {"q": "\ud800".encode("utf-8", "surrogatepass")},
    {"q": "x" * 100_000},
    {"q": "' OR 1=1 --"},
    {"q": str(2**70)},
    {"o": "999.-1"},
    {"o": "x"},
    {"p": "-1"},
    {"p": "999999"},
    {"p": "\0"},
    {"all": ""},
    {"created_at__gte": "abc"},
    {"at__gte": "9999-99-99"},
    {"id__exact": str(2**70)},
    {"user__password__startswith": "p"},
    {"session__owner_key__startswith": "u"},
    {"_to_field": "password"},
    {"_popup": "1"},
    {"x" * 5000: "1"},
]


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: ascii(query)[:40])
def test_A_3_a_nonsense_query_is_a_server_error_in_no_list(admin, done, query):
    for name in LISTS:
        answer = admin.get(reverse(f"admin:{name}_changelist"), query)
        assert answer.status_code in (200, 302, 400), name


@pytest.mark.parametrize(
    "pk", ["99999999999999999999", str(2**70), "_5F", "..%2F", "%00", "x" * 5000, "-1", "1 OR 1=1"]
)
def test_A_4_an_id_that_cannot_be_one_is_missing_in_every_list(admin, done, pk):
    for name in LISTS:
        app, _, model = name.partition("_")
        for page in ("change", "history", "delete"):
            answer = admin.get(f"/admin/{app}/{model}/{pk}/{page}/")
            assert answer.status_code in (302, 403, 404), name


def test_A_6_staff_without_permissions_see_nothing(staff, done):
    client = staff()
    for name in LISTS:
        assert client.get(reverse(f"admin:{name}_changelist")).status_code == 403
    for url in pages_of(done.pk):
        assert client.get(url).status_code == 403


def test_A_6_staff_who_may_view_one_kind_see_no_other(staff, done):
    client = staff("view_run")
    assert client.get(reverse("admin:chat_run_changelist")).status_code == 200
    page = client.get(reverse("admin:chat_run_change", args=[done.pk]))
    assert page.status_code == 200
    assert b'name="_save"' not in page.content
    assert client.get(reverse("admin:chat_message_changelist")).status_code == 403
    assert client.post(reverse("admin:chat_run_change", args=[done.pk]), {}).status_code == 403


def test_A_8_no_page_of_the_admin_may_be_framed_or_guessed(admin, client, done):
    for url in ("/admin/", reverse("admin:chat_run_changelist"), "/admin/login/"):
        answer = client.get(url)
        assert answer["X-Frame-Options"] == "DENY"
        assert answer["X-Content-Type-Options"] == "nosniff"
        assert answer["Referrer-Policy"] == "same-origin"


@pytest.mark.parametrize(
    "target", ["//evil.example", "https://evil.example", "javascript:alert(1)"]
)
def test_A_9_a_login_leads_to_no_other_site(client, target):
    User.objects.create_superuser("admin", password="right")
    answer = client.post(
        f"/admin/login/?next={target}",
        {"username": "admin", "password": "right", "next": target},
    )
    assert answer.status_code == 302
    assert answer["Location"].startswith("/")
    assert not answer["Location"].startswith("//")


def test_A_8_A_9_the_cookie_of_a_login_is_hidden_from_scripts_and_other_sites(client):
    User.objects.create_superuser("admin", password="right")
    client.post("/admin/login/", {"username": "admin", "password": "right"})
    cookie = client.cookies["sessionid"]
    assert (cookie["httponly"], cookie["samesite"]) == (True, "Lax")
