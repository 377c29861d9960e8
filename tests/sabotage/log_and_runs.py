"""What breaks the log, the runs and the workers."""

from tests.sabotage.mutation import Mutation

MUTATIONS = (
    Mutation(
        promise="G1",
        name="ack before commit",
        path="chat/runs.py",
        old="    return started, stored, cancelled\n",
        new="    transaction.set_rollback(True)\n    return started, stored, cancelled\n",
        tests=(
            "tests/chat/test_api_messages.py"
            "::test_a_message_is_stored_and_in_the_log_when_it_is_accepted",
        ),
    ),
    Mutation(
        promise="G1",
        name="idempotency key ignored",
        path="chat/runs.py",
        old="    if known := _run_of_key(session, command.idempotency_key):\n",
        new="    if known := None:\n",
        tests=(
            "tests/chat/test_api_messages.py"
            "::test_the_same_key_gives_the_same_answer_and_no_second_run",
        ),
    ),
    Mutation(
        promise="G2",
        name="a second end",
        path="chat/runs.py",
        old="_request_cancel(run, reason) if run.is_active else []",
        new="_request_cancel(run, reason)",
        tests=("tests/chat/test_runs.py::test_a_cancel_of_a_run_that_has_ended_changes_nothing",),
    ),
    Mutation(
        promise="G2",
        name="tools called before it is stored",
        path="chat/agent/agent.py",
        old="        await stored()\n",
        new="",
        tests=(
            "tests/chat/test_manifest_agent.py"
            "::test_no_tool_is_called_before_it_is_stored_that_the_run_may_not_start_again",
        ),
    ),
    Mutation(
        promise="G2",
        name="reaper off",
        path="chat/worker.py",
        old="for run_id in await database.read(recovery.dead):",
        new="for run_id in ():",
        tests=(
            "tests/chat/test_runs.py"
            "::test_a_run_whose_end_could_not_be_stored_is_ended_by_the_reaper",
        ),
    ),
    Mutation(
        promise="G2",
        name="nobody looks for runs that were not heard of",
        path="chat/worker.py",
        old="for run_id in (await database.read(recovery.unclaimed))[: max(room, 0)]:",
        new="for run_id in ():",
        tests=("tests/chat/test_recovery.py::test_the_reaper_finds_what_the_bell_did_not_reach",),
    ),
    Mutation(
        promise="G3",
        name="a gap in seq",
        path="chat/event_log.py",
        old="next_seq = {pk: last - counts[pk] + 1 for",
        new="next_seq = {pk: last * 2 - counts[pk] + 1 for",
        tests=(
            "tests/chat/test_execution.py::test_a_plain_answer_tells_these_events_in_this_order",
        ),
    ),
    Mutation(
        promise="G3",
        name="publish before commit",
        path="chat/committer.py",
        old="        stored = iter(event_log.append(with_events) if with_events else [])\n",
        new="""\
        appended = event_log.append(with_events) if with_events else []
        told = [(p.session_pk, e) for (p, _), e in zip(with_events, appended, strict=True)]
        asyncio.run(broadcast.publish(*told))
        stored = iter(appended)
""",
        tests=("tests/chat/test_committer.py::test_C3_what_readers_are_told_is_stored_by_then",),
    ),
    Mutation(
        promise="G3",
        name="events of a lost answer stored twice",
        path="chat/committer.py",
        old="return found if any(found) else self._store(batches)",
        new="return self._store(batches)",
        tests=(
            "tests/chat/test_committer.py::test_P4_a_commit_whose_answer_is_lost_is_not_stored_twice",
        ),
    ),
    Mutation(
        promise="G8",
        name="cancel only in memory",
        path="chat/runs.py",
        old="""\
        Run.objects.filter(pk=run.pk).update(
            cancel_requested_at=Coalesce("cancel_requested_at", Now()), cancel_reason=reason
        )
""",
        new="",
        tests=("tests/chat/test_execution.py::test_a_cancel_is_heard_without_the_layer",),
    ),
    Mutation(
        promise="G8",
        name="the text so far is thrown away",
        path="chat/execution.py",
        old="                    parts=self._draft.parts,\n",
        new="                    parts=[],\n",
        tests=(
            "tests/chat/test_execution.py"
            "::test_a_cancel_stops_the_provider_keeps_the_text_and_charges_it",
        ),
    ),
    Mutation(
        promise="G9",
        name="claim without condition",
        path="chat/leases.py",
        old="        free,\n        is_next(),\n",
        new="        is_next(),\n",
        tests=("tests/chat/test_leases.py::test_a_queued_run_can_be_claimed_once",),
    ),
    Mutation(
        promise="G9",
        name="no fence",
        path="chat/leases.py",
        old="return {place.run_id for place in places if held.get(place.run_id) == place.attempt}",
        new="return {place.run_id for place in places}",
        tests=(
            "tests/chat/test_attempts.py"
            "::test_a_zombie_writes_nothing_once_the_run_is_somebody_else_s",
        ),
    ),
    Mutation(
        promise="G9",
        name="attempts are not counted",
        path="chat/leases.py",
        old='attempt=F("attempt") + 1,',
        new='attempt=F("attempt"),',
        tests=("tests/chat/test_leases.py::test_after_three_attempts_nobody_claims_a_run",),
    ),
    Mutation(
        promise="G9",
        name="leases are not renewed",
        path="chat/leases.py",
        old="    mine.update(lease_expires_at=_expiry())\n",
        new="",
        tests=("tests/chat/test_leases.py::test_a_heartbeat_renews_and_tells_of_cancels",),
    ),
    Mutation(
        promise="G9b",
        name="a run is repeated behind the client's back",
        path="chat/leases.py",
        old="lease_expires_at__lt=Now(), has_effects=False\n",
        new="lease_expires_at__lt=Now()\n",
        tests=("tests/chat/test_leases.py::test_a_run_that_has_shown_output_is_not_taken_over",),
    ),
    Mutation(
        promise="G9b",
        name="a request is repeated although it has said something",
        path="chat/agent/metered.py",
        old="                failure.has_output = call.has_output\n",
        new="",
        tests=(
            "tests/process/test_faults.py"
            "::test_a_fault_in_the_stream_fails_the_run_and_keeps_the_text[rst@5-interrupted]",
        ),
    ),
    Mutation(
        promise="G9b",
        name="a new attempt is not told",
        path="chat/execution.py",
        old="        if self.claim.place.attempt > 1:\n            self.buffer.add(",
        new="        if False:\n            self.buffer.add(",
        tests=(
            "tests/chat/test_attempts.py"
            "::test_a_new_attempt_says_what_it_replaces_and_keeps_the_old_charges",
        ),
    ),
    Mutation(
        promise="G12",
        name="a worker leaves its runs at its end",
        path="chat/worker.py",
        old='            found.stop("shutdown")\n',
        new="            pass\n",
        tests=("tests/chat/test_attempts.py::test_a_shutdown_hands_back_what_has_shown_nothing",),
    ),
    Mutation(
        promise="G12",
        name="a server breaks its clients off",
        path="project/server.py",
        old="            _let_go(protocol, within_s=spread_s)\n",
        new="            protocol.transport.abortConnection()\n",
        tests=(
            "tests/process/test_drain.py::test_D2_sockets_are_closed_with_1012_one_after_another",
        ),
    ),
)
