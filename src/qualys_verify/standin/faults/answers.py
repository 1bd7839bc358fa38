"""Faults of what the agent's scripts answer: to `status` (step 2.3) and to requests (steps 3 and 4)."""

from qualys_verify.standin.faults.base import Change, Dead, assessed, before, edit, fault, variant

_STATUS = 'printf \'Last assessment: %s\\n\' "$(cat "$notes/last-assessment")"'
_CONTROL_ID = 'echo "On-Demand-Request ControlId: $control_id"'
_SCAN = "echo 'Scan request submitted successfully'"
_POLICY = "echo 'Policy evaluation started'"


def _status(text: str) -> Change:
    """Another way to answer `status`; `$stamp` is the last assessment."""
    return edit("script", _STATUS, f'stamp=$(cat "$notes/last-assessment"); {text}')


def _answers(request: str, text: str) -> Change:
    """Another answer to `scan` or `policy_eval`, before anything is done."""
    return before("SCRIPT", f'if [ "${{1-}}" = {request} ]; then {text}; fi')


def _says(text: str) -> Change:
    """Another answer of cloudagentctl.sh to a request that it has taken."""
    return edit("control", _CONTROL_ID, text)


def _format(form: str) -> Change:
    return _status(f'echo "Last assessment: $(date -d "$stamp" \'+{form}\')"')


TITLE = "What the agent answers"
FAULTS = (
    fault(
        "status-unknown-answer",
        "`status` answers, and with no word that the runbook knows.",
        _status("echo 'Agent is OK'"),
    ),
    fault(
        "status-fails",
        "`status` cannot open its database.",
        _status("echo 'cannot open database' >&2; exit 1"),
    ),
    fault("status-silent", "`status` prints nothing.", _status("exit 0")),
    fault("status-hangs", "`status` never answers.", _status("exec sleep 600")),
    fault("status-floods", "`status` prints without end.", _status("exec yes 'Last assessment: soon'")),
    fault(
        "status-two-stamps",
        "`status` shows two different last assessments.",
        _status("echo \"Last assessment: $stamp\"; echo 'Last assessment: 2020-01-01 00:00:00'"),
    ),
    fault(
        "stamp-malformed",
        "`status` shows a last assessment that is no timestamp.",
        _status("echo 'Last assessment: 2026-13-45 99:99'"),
    ),
    fault(
        "stamp-ambiguous",
        "`status` shows day and month so that they cannot be told apart.",
        _status("echo 'Last assessment: 03/04/2026 10:11:12'"),
    ),
    fault(
        "stamp-frozen",
        "`status` shows the same old stamp for ever.",
        _status("echo 'Last assessment: 2020-01-01 00:00:00'"),
    ),
    fault(
        "status-needs-terminal",
        "`status` wants a terminal.",
        _status("echo 'the input device is not a TTY' >&2; exit 1"),
    ),
    fault(
        "scan-refused",
        "The agent refuses the scan.",
        _answers("scan", "echo 'Error: agent is not activated for this module'; exit 1"),
    ),
    fault(
        "policy-refused",
        "The agent takes the scan and refuses the policy evaluation.",
        _answers("policy_eval", "echo 'Error: PC is not activated'; exit 1"),
        personality="limited",
    ),
    fault(
        "scan-silent", "The agent answers nothing to `scan`, with exit status 0.", _answers("scan", "exit 0")
    ),
    fault(
        "scan-denied-in-words",
        "The answer to `scan` holds the expected phrase, and denies it.",
        _answers("scan", "echo 'Not true that: Scan request submitted successfully'; exit 0"),
    ),
    fault(
        "scan-accepted-with-error",
        "`scan` says that it was accepted, and ends with exit status 1.",
        _answers("scan", "echo 'Scan request submitted successfully'; exit 1"),
    ),
    fault(
        "scan-answers-otherwise",
        "`scan` answers in words that the runbook does not know.",
        _answers("scan", "echo 'Scananforderung wurde gesendet'; exit 0"),
        personality="limited",
    ),
    fault(
        "policy-answers-for-scan",
        "`policy_eval` answers with the sentence of `scan`.",
        _answers("policy_eval", "echo 'Scan request submitted successfully'; exit 0"),
    ),
    fault("scan-hangs", "`scan` never returns.", _answers("scan", "exec sleep 600")),
    fault("scan-floods", "`scan` prints without end.", _answers("scan", "exec yes scanning")),
    fault(
        "daemon-dead",
        "The vendor's tool says that the daemon does not run, with exit status 0.",
        daemon=Dead,
        personality="vendor",
    ),
    fault(
        "manifest-missing-answer",
        "The vendor's tool says that there is no manifest for the request.",
        before("CONTROL", 'case "$*" in *type=pc*) echo "Error: manifest for PC not found"; exit 1 ;; esac'),
        personality="vendor",
    ),
    fault(
        "type-refused",
        "The vendor's tool does not know the type.",
        before("CONTROL", "echo 'Invalid manifest type provided.'; echo 'valid values: inv'; exit 1"),
        personality="vendor",
    ),
    fault(
        "control-id-missing",
        "The vendor's tool takes a request and tells no ControlId.",
        _says("echo 'Request taken'"),
        personality="vendor",
    ),
    fault(
        "control-id-malformed",
        "The ControlId is not of the documented form.",
        _says("echo 'On-Demand-Request ControlId: 0x1F'"),
        personality="vendor",
    ),
    fault(
        "control-id-empty",
        "The ControlId is empty.",
        _says("echo 'On-Demand-Request ControlId: '"),
        personality="vendor",
    ),
    fault(
        "control-id-on-stderr",
        "The ControlId is printed on stderr.",
        _says(f"{_CONTROL_ID} >&2"),
        personality="vendor",
    ),
    fault(
        "control-id-in-sentence",
        "A ControlId stands in another sentence.",
        _says('echo "Error: cannot take $control_id, On-Demand-Request ControlId: $control_id is in use"'),
        personality="vendor",
    ),
    fault(
        "control-id-twice",
        "The vendor's tool answers with two ControlIds.",
        _says(f"{_CONTROL_ID}; echo 'On-Demand-Request ControlId: 20200101000000.0'"),
        personality="vendor",
    ),
    fault(
        "usage-instead",
        "The vendor's tool prints its usage, with exit status 0.",
        before("CONTROL", "echo 'Usage: cloudagentctl.sh action=demand type=<vm>'; exit 0"),
        personality="vendor",
    ),
    variant(
        "status-flaps",
        "`status` works once and fails once.",
        _status(
            'n=$(cat "$notes/n" 2>/dev/null || echo 0); echo $((n + 1)) >"$notes/n"; [ $((n % 2)) = 0 ] || { echo "database is locked" >&2; exit 1; }; echo "Last assessment: $stamp"'
        ),
    ),
    variant("never-assessed", "The agent has never assessed before.", assessed("never")),
    variant("never-assessed-empty", "The agent has never assessed before, and shows nothing.", assessed("")),
    variant(
        "stamp-iso",
        "`status` shows ISO 8601 in UTC.",
        _status('echo "Last assessment: $(date -u -d "$stamp" \'+%Y-%m-%dT%H:%M:%SZ\')"'),
    ),
    variant("stamp-mail", "`status` shows the date as mail does.", _format("%a, %d %b %Y %H:%M:%S %z")),
    variant("stamp-american", "`status` shows a date with AM and PM.", _format("%B %d, %Y %I:%M:%S %p")),
    variant("stamp-epoch", "`status` shows seconds since 1970.", _format("%s")),
    variant(
        "stamp-date-style", "`status` shows the date as `date` does.", _format("%a %b %d %H:%M:%S %Z %Y")
    ),
    variant("stamp-minutes", "`status` shows no seconds.", _format("%Y-%m-%d %H:%M")),
    variant(
        "status-among-others",
        "`status` shows the last assessment among other lines, in capitals and colour.",
        _status('printf "Agent: running\\n\\033[32mLAST ASSESSMENT:\\033[0m  %s\\nQueue: empty\\n" "$stamp"'),
    ),
    variant("status-on-stderr", "`status` answers on stderr.", _status('echo "Last assessment: $stamp" >&2')),
    variant(
        "status-limited-on-stderr",
        "The known limitation is printed on stderr.",
        before(
            "SCRIPT",
            'if [ "${1-}" = status ]; then echo "Error: Invalid key name in status" >&2; exit 255; fi',
        ),
        personality="limited",
    ),
    variant(
        "answers-with-time",
        "A wrapper puts a time and a level before its answers.",
        edit("script", _SCAN, 'echo "$(date) [INFO] Scan request submitted successfully."'),
        edit("script", _POLICY, 'echo "$(date) [INFO] Policy evaluation started."'),
    ),
    variant(
        "answers-in-colour",
        "A wrapper colours its answers.",
        edit("script", _SCAN, "printf '\\033[32mScan request submitted successfully\\033[0m\\n'"),
        edit("script", _POLICY, "printf '\\033[1;32mPolicy evaluation started\\033[0m\\n'"),
        personality="limited",
    ),
    variant(
        "control-id-among-others",
        "The ControlId's line stands between others, with CRLF.",
        _says(
            'echo "Reading settings"; printf "On-Demand-Request ControlId: %s\\r\\n" "$control_id"; echo done'
        ),
        personality="vendor",
    ),
)
