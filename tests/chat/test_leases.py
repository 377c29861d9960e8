import threading
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from chat import leases, recovery
from chat.models import ChatSession, Run
from tests import driving

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]


@pytest.fixture
def run(session, redis):
    return Run.objects.get(pk=driving.send(session, "Hi").run_id)


def expire(run):
    Run.objects.filter(pk=run.pk).update(lease_expires_at=timezone.now() - timedelta(seconds=1))


def test_a_queued_run_can_be_claimed_once(run):
    claim = leases.claim(run.pk, worker="a")
    assert (claim.place.attempt, claim.model) == (1, "scripted:demo")
    assert leases.claim(run.pk, worker="b") is None


def test_of_many_claims_at_once_one_succeeds(run):
    claims = []

    def claim(number):
        claims.append(leases.claim(run.pk, worker=f"worker-{number}"))
        connection.close()

    threads = [threading.Thread(target=claim, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len([c for c in claims if c]) == 1


def test_L3_of_two_workers_given_the_same_run_a_thousand_times_one_executes(alice):
    sessions = ChatSession.objects.bulk_create(
        ChatSession(owner_key=alice.owner_key) for _ in range(1000)
    )
    run_ids = [
        run.pk
        for run in Run.objects.bulk_create(
            Run(session=session, queued_seq=1, model="scripted:demo") for session in sessions
        )
    ]
    together = threading.Barrier(2)
    claimed = {"a": set(), "b": set()}

    def claim_all(worker):
        for run_id in run_ids:
            together.wait()
            if leases.claim(run_id, worker=worker):
                claimed[worker].add(run_id)
        connection.close()

    threads = [threading.Thread(target=claim_all, args=(worker,)) for worker in claimed]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not claimed["a"] & claimed["b"]
    assert claimed["a"] | claimed["b"] == set(run_ids)
    assert set(Run.objects.values_list("attempt", flat=True)) == {1}


def test_a_lease_that_ran_out_can_be_taken_over_with_the_next_attempt(run):
    leases.claim(run.pk, worker="a")
    expire(run)
    assert leases.claim(run.pk, worker="b").place.attempt == 2


def test_a_run_that_has_shown_output_is_not_taken_over(run):
    leases.claim(run.pk, worker="a")
    Run.objects.update(has_effects=True)
    expire(run)
    assert leases.claim(run.pk, worker="b") is None


def test_after_three_attempts_nobody_claims_a_run(run):
    for worker in "abc":
        assert leases.claim(run.pk, worker=worker)
        expire(run)
    assert leases.claim(run.pk, worker="d") is None
    assert recovery.dead() == [run.pk]


def test_a_heartbeat_renews_and_tells_of_cancels(run):
    leases.claim(run.pk, worker="a")
    expire(run)
    assert leases.beat([run.pk], worker="a") == {run.pk: None}
    assert Run.objects.get().lease_expires_at > timezone.now() + timedelta(seconds=10)
    driving.cancel(run.pk)
    assert leases.beat([run.pk], worker="a") == {run.pk: "requested"}
    assert leases.beat([run.pk], worker="b") == {}


def test_the_fence_holds_for_another_worker_and_another_attempt(run):
    place = leases.claim(run.pk, worker="a").place
    from django.db import transaction

    with transaction.atomic():
        assert leases.still_held([place], worker="a") == {run.pk}
        assert leases.still_held([place], worker="b") == set()
    expire(run)
    leases.claim(run.pk, worker="a")
    with transaction.atomic():
        assert leases.still_held([place], worker="a") == set()


def test_a_run_that_is_handed_back_can_be_claimed_at_once(run):
    leases.claim(run.pk, worker="a")
    leases.release(run.pk)
    assert leases.claim(run.pk, worker="b").place.attempt == 2


def test_a_run_waits_for_the_one_before_it(run, session):
    second = driving.send(session, "two", if_running="enqueue")
    assert leases.claim(second.run_id, worker="a") is None
    assert leases.claim(run.pk, worker="a")
    assert leases.claim(second.run_id, worker="b") is None


def test_a_run_that_nobody_heard_of_is_found(run):
    assert recovery.unclaimed() == []
    Run.objects.update(created_at=timezone.now() - timedelta(seconds=4))
    assert recovery.unclaimed() == [run.pk]
