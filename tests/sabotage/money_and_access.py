"""What breaks the costs, the walls between users, and the limits."""

from tests.sabotage.mutation import Mutation

SAFETY = "tests/browser/test_safety.py"
TOOLS = "tests/chat/agent/test_tools.py"

MUTATIONS = (
    Mutation(
        promise="G10",
        name="an entry without its key",
        path="costs/posting.py",
        old='f"call:{entry.call_id}:{phase}:{entry.token_class}"\n',
        new='f"call:{id(entry)}:{phase}:{entry.token_class}"\n',
        tests=("tests/costs/test_ledger.py::test_another_amount_under_the_same_key_is_an_alarm",),
    ),
    Mutation(
        promise="G10",
        name="an entry that is posted is not proven",
        path="costs/audit.py",
        old="        yield from _wrong_in_posting(posted, due)\n",
        new="        _ = due\n",
        tests=("tests/costs/test_ledger_audit.py::test_what_is_wrong_is_named",),
    ),
    Mutation(
        promise="G10",
        name="the database lets entries be deleted",
        path="costs/guards.py",
        old='        for event in ("update", "delete"):\n',
        new='        for event in ("update",):\n',
        tests=("tests/costs/test_guards.py::test_G10_the_database_refuses_to_change_or_delete",),
    ),
    Mutation(
        promise="G10",
        name="what has no rate is free",
        path="costs/lines.py",
        old="    rate = amount = None\n",
        new="    rate = amount = 0\n",
        tests=(
            "tests/costs/test_pricing.py::test_what_has_no_rate_is_unpriced_and_the_rest_is_not",
        ),
    ),
    Mutation(
        promise="G10",
        name="what was asked for is priced and not what was served",
        path="chat/call_meter.py",
        old="        model = self.served_model or self.target.model\n",
        new="        model = self.target.model\n",
        tests=("tests/process/test_costs.py::test_what_was_served_is_priced",),
    ),
    Mutation(
        promise="G10",
        name="what a dead worker used is not charged",
        path="chat/endings.py",
        old="    abandon_calls(run.pk)\n    values:",
        new="    values:",
        tests=(
            "tests/chat/test_recovery.py"
            "::test_a_run_with_output_ends_failed_with_the_text_it_had_shown",
        ),
    ),
    Mutation(
        promise="G10",
        name="a call without usage costs nothing",
        path="costs/tally.py",
        old="        return self._best(counted), Source.ESTIMATED, flags\n",
        new="        return Usage(), Source.PROVIDER, flags\n",
        tests=(
            "tests/chat/test_execution.py"
            "::test_a_failure_in_the_middle_keeps_the_text_and_charges_it",
        ),
    ),
    Mutation(
        promise="G10",
        name="usage that is told again is added",
        path="costs/wire_usage.py",
        old="    return _fold(snapshot, newer, lambda old, new: new)\n",
        new="    return _fold(snapshot, newer, lambda old, new: old + new)\n",
        tests=("tests/costs/test_wire_usage.py::test_what_a_provider_said_is_split_as_it_bills",),
    ),
    Mutation(
        promise="G10",
        name="retries inside the client",
        path="chat/agent/providers/openai_client.py",
        old="        max_retries=0,\n",
        new="        max_retries=2,\n",
        tests=("tests/process/test_faults.py::test_a_fault_before_the_first_token_is_tried_again",),
    ),
    Mutation(
        promise="G11",
        name="an end without a marker is a success",
        path="chat/agent/metered.py",
        old="        if not call.finish_reason:\n",
        new="        if False:\n",
        tests=(
            "tests/process/test_faults.py"
            "::test_a_fault_in_the_stream_fails_the_run_and_keeps_the_text[eof@5-truncated]",
        ),
    ),
    Mutation(
        promise="G11",
        name="comments keep a silent stream alive",
        path="chat/agent/silence.py",
        old="        elif self._task:\n",
        new="        elif False:\n",
        tests=(
            "tests/process/test_faults.py"
            "::test_a_fault_in_the_stream_fails_the_run_and_keeps_the_text[drip@5-timeout]",
        ),
    ),
    Mutation(
        promise="G14",
        name="sessions of all owners",
        path="chat/sessions.py",
        old="    return ChatSession.objects.filter(owner_key=principal.owner_key)\n",
        new="    return ChatSession.objects.all()\n",
        tests=("tests/chat/test_sessions.py::test_another_s_session_is_unknown",),
    ),
    Mutation(
        promise="G14",
        name="runs of all owners",
        path="chat/runs.py",
        old="            pk=uuid.UUID(run_id), session__owner_key=principal.owner_key\n",
        new="            pk=uuid.UUID(run_id)\n",
        tests=("tests/chat/test_runs.py::test_a_run_of_another_is_none",),
    ),
    Mutation(
        promise="G14",
        name="replay without a permission",
        path="chat/sessions.py",
        old="    return _get(_of(principal), session_id)\n",
        new="    return _get(ChatSession.objects.all(), session_id)\n",
        tests=(
            "tests/chat/test_consumers_access.py"
            "::test_WS_20_another_s_session_is_like_one_that_does_not_exist",
            "tests/chat/test_sse_access.py::test_S_5_another_s_session_is_not_found",
        ),
    ),
    Mutation(
        promise="G10",
        name="an answer goes on when its budget is used up",
        path="chat/agent/metered.py",
        old="                        await call.keep_to_budgets()\n",
        new="",
        tests=(
            "tests/chat/test_budgets.py"
            "::test_a_run_ends_at_the_token_that_uses_its_budget_up_and_goes_on_when_more_is_granted",
        ),
    ),
    Mutation(
        promise="G10",
        name="what is set aside is not counted as used",
        path="costs/budget_models.py",
        old="self.allowed_pico - self.spent_pico - self.held_pico",
        new="self.allowed_pico - self.spent_pico",
        tests=(
            "tests/costs/test_budgets.py"
            "::test_a_hundred_calls_that_start_at_once_cannot_spend_the_same_money",
        ),
    ),
    Mutation(
        promise="G14",
        name="a login never ends",
        path="chat/principals.py",
        old="    return of_user(user_of(login)) == login.principal\n",
        new="    return True\n",
        tests=(
            "tests/chat/test_consumers_access.py"
            "::test_WS_33_a_socket_is_closed_when_its_login_has_ended",
            "tests/chat/test_sse_access.py::test_G14_a_stream_ends_when_its_login_has_ended",
        ),
    ),
    Mutation(
        promise="G14",
        name="a revoked key opens everything",
        path="chat/api_keys.py",
        old="filter(digest=_digest(text), revoked_at=None)",
        new="filter(digest=_digest(text))",
        tests=(
            "tests/chat/test_api_keys.py"
            "::test_F30_a_revoked_key_and_one_of_a_disabled_user_open_nothing",
        ),
    ),
    Mutation(
        promise="G11",
        name="runs that nobody waits for go on",
        path="chat/worker.py",
        old="        for run in await database.read(attendance.unattended):\n",
        new="        for run in ():\n",
        tests=(
            "tests/chat/dialects/test_ossa.py::test_F11_F88_nobody_who_went_away_pays_for_the_rest",
        ),
    ),
    Mutation(
        promise="G4",
        name="who was told everything may ask for ever",
        path="chat/asking.py",
        old="    return None if encoder.is_over else Asked(",
        new="    return Asked(",
        tests=(
            "tests/chat/dialects/test_ossa.py"
            "::test_F66_whoever_was_told_everything_is_sent_away_and_nothing_runs_again",
        ),
    ),
    Mutation(
        promise="G15",
        name="as often as anybody likes",
        path="chat/rate_limit.py",
        old="        if not limiter.hit(limit, caller):\n",
        new="        if False:\n",
        tests=("tests/chat/test_rate_limit.py::test_F28_addresses_are_counted_apart",),
    ),
    Mutation(
        promise="G15",
        name="messages of any size",
        path="chat/commands.py",
        old="    if len(cleaned.encode()) > MAX_TEXT_BYTES:\n",
        new="    if False:\n",
        tests=(
            "tests/chat/test_commands.py::test_a_message_may_be_as_long_as_stated_and_no_longer",
        ),
    ),
    Mutation(
        promise="G15",
        name="frames of any size",
        path="chat/commands.py",
        old='    if len(text.encode(errors="surrogatepass")) > MAX_FRAME_BYTES:\n',
        new="    if False:\n",
        tests=(
            "tests/chat/test_commands.py::test_a_frame_of_a_megabyte_is_refused_before_it_is_read",
        ),
    ),
    Mutation(
        promise="G15",
        name="bodies of any size",
        path="project/settings.py",
        old="DATA_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024\n",
        new="DATA_UPLOAD_MAX_MEMORY_SIZE = None\n",
        tests=(
            "tests/chat/test_api_bad_input.py::test_R_1_a_body_of_more_than_a_megabyte_is_refused",
        ),
    ),
    Mutation(
        promise="G15",
        name="active runs without a limit",
        path="chat/runs.py",
        old="    _check_active_elsewhere(session)\n",
        new="",
        tests=(
            "tests/chat/test_runs.py::test_G15_a_user_has_active_runs_in_five_sessions_at_most",
        ),
    ),
    Mutation(
        promise="R-8",
        name="no token against forged requests",
        path="chat/rest.py",
        old="    if changes and is_known and check_csrf(request):\n",
        new="    if False:\n",
        tests=(
            "tests/chat/test_api_access.py::test_R_8_a_cookie_without_its_token_changes_nothing",
        ),
    ),
    Mutation(
        promise="WS-22",
        name="sockets from every page",
        path="chat/origins.py",
        old="    if not origin or settings.CORS_ALLOW_ALL_ORIGINS or origin in named:\n",
        new="    if True:\n",
        tests=(
            "tests/chat/test_consumers_access.py"
            "::test_WS_22_WS_25_a_page_of_another_site_is_refused",
        ),
    ),
    Mutation(
        promise="A-1",
        name="the admin trusts what a model wrote",
        path="chat/admin.py",
        old='format_html("<pre>{}</pre>", json.dumps(message.parts, indent=2, ensure_ascii=False))',
        new='SafeString(f"<pre>{json.dumps(message.parts)}</pre>")',
        tests=(
            "tests/chat/test_admin_input.py"
            "::test_A_1_every_page_of_an_object_escapes_what_a_model_wrote",
        ),
    ),
    Mutation(
        promise="M-1",
        name="markdown is not sanitised",
        path="chat/static/chat/markdown.js",
        old="purifier.sanitize(parser.parse(text), SAFE);",
        new="document.createRange().createContextualFragment(parser.parse(text));",
        tests=(f"{SAFETY}::test_M_1_hostile_text_is_inert",),
    ),
    Mutation(
        promise="M-11",
        name="a provider's words are passed on",
        path="chat/agent/errors.py",
        old="            return AgentError(code, retry_after_s=next(waits, None))\n",
        new="""\
            failure = AgentError(code, retry_after_s=next(waits, None))
            failure.args = (str(cause),)
            return failure
""",
        tests=("tests/process/test_faults.py::test_M_11_nothing_secret_gets_out",),
    ),
    Mutation(
        promise="M-3",
        name="the calculator evaluates Python",
        path="chat/agent/tools/calculator.py",
        old='        return _plain(evaluator.eval(expression.replace("^", "**")))\n',
        new='        return str(eval(expression.replace("^", "**")))\n',
        tests=(
            f"{TOOLS}::test_M_3_everything_else_is_an_error_that_the_model_can_read"
            "[__import__('os').system('id')]",
        ),
    ),
)
