"""What breaks the delivery to readers."""

from tests.sabotage.mutation import Mutation

MUTATIONS = (
    Mutation(
        promise="G4",
        name="an event twice on every reconnect",
        path="chat/event_log.py",
        old="seq__gt=after, seq__lte=after + PAGE_EVENTS",
        new="seq__gte=after, seq__lte=after + PAGE_EVENTS",
        tests=(
            "tests/chat/test_hub.py::test_a_reader_begins_after_its_position",
            "tests/chat/test_consumers.py"
            "::test_a_socket_that_comes_back_in_mid_run_is_told_exactly_the_rest",
        ),
    ),
    Mutation(
        promise="G4",
        name="an event less on every reconnect",
        path="chat/reading.py",
        old="session_id=self.session.session_id, after=self.after\n",
        new="session_id=self.session.session_id, after=self.after + 1\n",
        tests=(
            "tests/chat/test_consumers.py"
            "::test_a_socket_that_comes_back_in_mid_run_is_told_exactly_the_rest",
        ),
    ),
    Mutation(
        promise="G4",
        name="reset not sent",
        path="chat/positions.py",
        old="return Start(_anew(session), reason) if reason else Start(wanted.seq)",
        new="return Start(wanted.seq)",
        tests=(
            "tests/chat/test_consumers.py"
            "::test_G4_a_reset_tells_the_messages_and_then_the_active_run_from_its_beginning",
            "tests/chat/test_compaction.py"
            "::test_G4_who_asks_for_what_is_gone_gets_the_messages_instead",
        ),
    ),
    Mutation(
        promise="G5",
        name="the log is not compared",
        path="chat/hub.py",
        old="        if is_behind and self._compared_at == self.position:\n",
        new="        if False:\n",
        tests=(
            "tests/chat/test_hub.py::test_a_last_event_that_was_lost_comes_two_comparisons_later",
        ),
    ),
    Mutation(
        promise="G5",
        name="a hole is not seen",
        path="chat/hub.py",
        old="        if fresh[-1].seq - subscription.position != len(fresh):\n            return\n",
        new="",
        tests=(
            "tests/chat/test_hub.py::test_a_hole_is_filled_as_soon_as_a_later_event_betrays_it",
        ),
    ),
    Mutation(
        promise="G5",
        name="an error ends the hub's task",
        path="chat/hub.py",
        old="broadcast.failures.add(error)\n                await asyncio.sleep(RETRY_S)\n",
        new="return\n",
        tests=(
            "tests/chat/test_hub_outages.py::test_a_reader_who_comes_while_redis_is_away_is_told_live_once_it_is_back",
        ),
    ),
    Mutation(
        promise="G6",
        name="the epoch is not looked at",
        path="chat/positions.py",
        old="    if wanted.epoch not in (None, session.epoch):\n",
        new="    if False:\n",
        tests=(
            "tests/chat/test_consumers.py::test_G6_a_position_of_a_former_log_is_told_so",
            "tests/chat/test_sse_positions.py::test_G6_a_position_of_a_former_log_is_told_so",
        ),
    ),
    Mutation(
        promise="G7",
        name="queues without a limit",
        path="chat/hub.py",
        old="        if len(self._queue) > QUEUE_EVENTS or self._characters > QUEUE_CHARACTERS:\n",
        new="        if False:\n",
        tests=(
            "tests/chat/test_hub_queues.py"
            "::test_G7_of_a_reader_that_takes_nothing_no_more_than_a_limit_waits",
        ),
    ),
    Mutation(
        promise="G7",
        name="a stalled client is kept",
        path="project/flow.py",
        old="            if self._is_stalled():\n                return False\n",
        new="",
        tests=(
            "tests/process/test_back_pressure.py::test_F18_C1f_a_client_that_stops_reading_is_dropped",
        ),
    ),
    Mutation(
        promise="G13",
        name="a message of another version ends all streams",
        path="chat/hub.py",
        old="        except (TypeError, ValueError):\n",
        new="        except KeyError:\n",
        tests=(
            "tests/chat/test_hub_outages.py"
            "::test_a_message_of_another_version_stops_no_reader_and_leaks_no_channel",
        ),
    ),
)
