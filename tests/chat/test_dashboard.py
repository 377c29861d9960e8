"""The operators' page about streams, through the admin."""

import re
from datetime import timedelta

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.urls import reverse
from django.utils import timezone

from chat import charts, counters, stream_statistics, vitals
from chat.models import Run
from costs import ledger
from tests import driving

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]


@pytest.fixture
def admin(client):
    client.force_login(get_user_model().objects.create_superuser("admin", password=None))
    return client


def figures(answer):
    return {figure.name: figure for figure in answer.context["figures"]}


def test_F70_the_dashboard_tells_what_happened_and_draws_it(worker, session, admin):
    done = driving.send(session, "[[tokens=30 delay_ms=1]]")
    worker.execute(done.run_id)
    worker.execute(driving.send(session, "[[fail=refused delay_ms=0]]").run_id)
    with counters.during("event_streams"):
        vitals.report("web")
    for period in ("hour", "day", "nonsense"):
        answer = admin.get(reverse("streams"), {"period": period})
        shown = figures(answer)
        assert (shown["finished"].value, shown["failed"].value) == ("1", "1")
        assert shown["failed"].detail == "50.0% of 2"
        assert 0 <= float(shown["seconds to the first output"].value) < 60
        assert float(shown["tokens/s of a model call"].value) > 0
    page = answer.content.decode()
    drawn = re.findall(r"<svg[^>]*pygal-chart.*?</svg>", page, re.DOTALL)
    assert len(drawn) == 2
    assert ledger.total_of_run(done.run_id).amount in page
    assert 'error_code=refused">refused</a></td><td>1</td>' in page
    # Allowed by the policy that is sent with it: nothing inline.
    assert answer["Content-Security-Policy"].startswith("default-src 'self'")
    assert not re.search("style|script", "".join(drawn))


def test_F70_with_nothing_to_show_it_says_so(redis, admin):
    redis.kill()
    answer = admin.get(reverse("streams"))
    page = answer.content.decode()
    assert "pygal-chart" not in page
    assert "No run ended in the last hour." in page
    assert "Redis does not answer" in page
    assert figures(answer)["seconds to the first output"].value == "–"


def test_F70_only_those_who_may_see_runs_get_it_and_find_it(redis, client):
    users = get_user_model().objects
    assert client.get(reverse("streams")).status_code == 302
    bob = users.create_user("bob", password=None, is_staff=True)
    client.force_login(bob)
    assert client.get(reverse("streams")).status_code == 403
    assert reverse("streams") not in client.get(reverse("admin:index")).content.decode()
    bob.user_permissions.add(Permission.objects.get(codename="view_run"))
    assert client.get(reverse("streams")).status_code == 200
    assert reverse("streams") in client.get(reverse("admin:index")).content.decode()


def test_runs_fall_into_the_piece_of_time_in_which_they_ended(session):
    start = timezone.now().replace(minute=0, second=0, microsecond=0)
    for number, minutes in enumerate((0, 4, 5, 59, 60)):
        ended_at = start + timedelta(minutes=minutes, seconds=30)
        Run.objects.create(
            session=session,
            queued_seq=number,
            model="scripted:demo",
            status=Run.Status.FINISHED,
            started_at=ended_at - timedelta(seconds=10),
            first_token_at=ended_at - timedelta(seconds=10 - number) if number else None,
            ended_at=ended_at,
        )
    pieces = stream_statistics.buckets(start=start, step=timedelta(minutes=5), count=12)
    assert [piece.counts.get("finished", 0) for piece in pieces] == [2, 1, *[0] * 8, 0, 1]
    medians = [piece.first_chunk_s.by_quantile.get(0.5) for piece in pieces]
    assert (medians[0], medians[1], medians[2], medians[11]) == (1, 2, None, 3)


def test_a_chart_escapes_what_it_is_given():
    drawn = charts.bars("<b>", labels=["<script>"], series={"<img>": [1]})
    assert "<b>" not in drawn
    assert "<script" not in drawn
    assert "<img" not in drawn
