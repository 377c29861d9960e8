"""Sessions: whose they are, their pages, their titles, and the history that a model gets."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection

from chat import endings, events, leases, sessions
from chat.models import ChatSession, Run
from tests import driving

pytestmark = pytest.mark.django_db(transaction=True)

SHORT = "[[tokens=2 delay_ms=0]]"


def said(messages):
    return [(m.role, "".join(part["text"] for part in m.parts)) for m in messages]


def history_of(started):
    """What a model is told for the answer to a message."""
    run = Run.objects.select_related("session").get(pk=started.run_id)
    return said(sessions.history_of(run))


def test_two_owners_may_choose_the_same_id(alice, charlie):
    hers, is_new = sessions.create(alice, session_id="default")
    his, is_new_too = sessions.create(charlie, session_id="default")
    assert (is_new, is_new_too) == (True, True)
    assert hers.pk != his.pk
    assert sessions.get_for(alice, "default").pk == hers.pk


def test_another_s_session_is_unknown(charlie, session):
    with pytest.raises(sessions.UnknownSession) as refused:
        sessions.get_for(charlie, session.session_id)
    assert str(refused.value) == "There is no such session"


@pytest.mark.parametrize("session_id", ["", "a b", "a/b", "x" * 129, "é", "a\n", "a\0b", "%"])
def test_an_id_that_no_session_has_is_unknown(alice, session_id):
    with pytest.raises(sessions.UnknownSession):
        sessions.get_for(alice, session_id)
    with pytest.raises(sessions.InvalidSessionId):
        sessions.create(alice, session_id=session_id)


def test_an_id_created_by_many_at_once_is_one_session(alice, transactional_db):
    def create(_):
        made = sessions.create(alice, session_id="x")
        connection.close()
        return made

    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(create, range(16)))
    assert len({session.pk for session, _ in made}) == 1
    assert [is_new for _, is_new in made].count(True) == 1


def pages(owner, limit):
    cursor, found = None, []
    while len(found) < 20:
        page = sessions.page_for(owner, limit=limit, cursor=cursor)
        found.append([session.session_id for session in page.sessions])
        cursor = page.next_cursor
        if cursor is None:
            return found
    raise AssertionError(f"the pages do not end: {found}")


@pytest.mark.parametrize("limit", [1, 2, 3, 9, 10, 11])
def test_pages_have_every_session_once_newest_first(alice, limit):
    names = [f"s{number}" for number in range(10)]
    for name in names:
        sessions.create(alice, session_id=name)
    found = pages(alice, limit)
    assert [name for page in found for name in page] == names[::-1]
    assert all(len(page) == limit for page in found[:-1])


@pytest.mark.parametrize("moment", ["03:04:05Z", "03:04:05.120Z", "03:04:05.123456Z"])
def test_pages_of_one_moment_have_every_session_once(alice, moment):
    for number in range(5):
        sessions.create(alice, session_id=f"s{number}")
    ChatSession.objects.update(updated_at=f"2026-01-02T{moment}")
    assert pages(alice, 2) == [["s4", "s3"], ["s2", "s1"], ["s0"]]


def test_a_session_that_is_used_between_two_pages_hides_no_other(alice):
    for number in range(5):
        sessions.create(alice, session_id=f"s{number}")
    first = sessions.page_for(alice, limit=2, cursor=None)
    sessions.touch(sessions.get_for(alice, "s0"), first_text="Hi")
    second = sessions.page_for(alice, limit=5, cursor=first.next_cursor)
    assert [session.session_id for session in second.sessions] == ["s2", "s1"]


def test_nobody_s_sessions_are_one_empty_page(alice, charlie):
    sessions.create(charlie)
    assert pages(alice, 3) == [[]]


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("Hi", "Hi"),
        ("  How\n\nare\tyou?  ", "How are you?"),
        ("x" * 60, "x" * 60),
        ("word " * 20, ("word " * 11).strip() + " word…"),
        ("x" * 100, "x" * 60 + "…"),
        ("<b>é😀</b>", "<b>é😀</b>"),
    ],
)
def test_the_first_message_gives_a_title(session, text, title):
    sessions.touch(session, first_text=text)
    session.refresh_from_db()
    assert session.title == title


def test_a_title_is_given_once(session):
    sessions.touch(session, first_text="First")
    session.refresh_from_db()
    sessions.touch(session, first_text="Second")
    session.refresh_from_db()
    assert session.title == "First"


def test_a_change_of_one_field_leaves_what_another_request_changed(alice, session):
    stale = sessions.get_for(alice, session.session_id)
    sessions.change(session, title="New", model=None)
    sessions.change(stale, title=None, model="scripted:demo")
    session.refresh_from_db()
    assert (session.title, session.model) == ("New", "scripted:demo")


def test_a_change_of_a_session_that_was_deleted_meanwhile_is_unknown(alice, session):
    stale = sessions.get_for(alice, session.session_id)
    sessions.delete(session)
    with pytest.raises(sessions.UnknownSession):
        sessions.change(stale, title="New", model=None)


def test_a_session_that_was_deleted_meanwhile_is_unknown_to_a_second_delete(alice, session):
    stale = sessions.get_for(alice, session.session_id)
    sessions.delete(session)
    with pytest.raises(sessions.UnknownSession):
        sessions.delete(stale)


def test_a_busy_session_is_not_deleted(session, redis):
    driving.send(session, SHORT)
    with pytest.raises(sessions.SessionBusy):
        sessions.delete(session)


def test_the_history_is_the_conversation_up_to_the_message(worker, session):
    first = driving.send(session, SHORT)
    worker.execute(first.run_id)
    second = driving.send(session, "Hi")
    assert history_of(second) == [("user", SHORT), ("assistant", "w0 w1 "), ("user", "Hi")]
    assert history_of(first) == [("user", SHORT)]


def test_the_history_of_a_queued_message_has_the_answer_it_waited_for(worker, session):
    first = driving.send(session, SHORT)
    second = driving.send(session, "Hi", if_running="enqueue")
    third = driving.send(session, "Ho", if_running="enqueue")
    worker.execute(first.run_id)
    assert history_of(second) == [("user", SHORT), ("assistant", "w0 w1 "), ("user", "Hi")]
    assert history_of(third)[:3] == history_of(second)


def test_the_history_has_nothing_of_messages_that_wait_behind(worker, session):
    first = driving.send(session, SHORT)
    driving.send(session, "Later", if_running="enqueue")
    assert history_of(first) == [("user", SHORT)]


def test_the_history_has_the_part_of_an_answer_that_was_cancelled(worker, session):
    started = driving.send(session, SHORT)
    driving.cancel(started.run_id)
    second = driving.send(session, "Hi")
    assert history_of(second) == [("user", SHORT), ("user", "Hi")]


def test_the_history_has_nothing_that_was_rolled_back(worker, session):
    driving.send(session, "Wrong")
    second = driving.send(session, "Hi", if_running="rollback")
    assert history_of(second) == [("user", "Hi")]
    assert said(sessions.messages_of(session, before=None, limit=10)) == [("user", "Hi")]
    assert Run.objects.filter(cancel_reason="rolled_back").count() == 1


def test_the_messages_of_another_session_are_not_in_the_history(worker, alice, session):
    other, _ = sessions.create(alice, session_id="other")
    driving.send(other, "Secret")
    assert history_of(driving.send(session, "Hi")) == [("user", "Hi")]


@pytest.mark.parametrize(
    "terminal",
    [
        events.RunFinished(stop_reason="stop"),
        events.RunCancelled(reason="requested"),
        events.RunFailed(code="timeout", message="m"),
    ],
    ids=lambda terminal: terminal.type,
)
def test_a_rollback_holds_however_the_run_ends_at_that_moment(worker, session, terminal):
    """The client was told that the run is rolled back; the worker hears of it too late."""
    wrong = driving.send(session, "Wrong")
    leases.claim(wrong.run_id, worker="somebody")
    driving.cancel(wrong.run_id)
    second = driving.send(session, "Hi", if_running="rollback")
    endings.end(Run.objects.get(pk=wrong.run_id), terminal)
    assert history_of(second) == [("user", "Hi")]
    assert said(sessions.messages_of(session, before=None, limit=10)) == [("user", "Hi")]
