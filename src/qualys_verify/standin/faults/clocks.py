"""Faults of the host's clock: the only one that its log and its timestamps may be compared with."""

from qualys_verify.standin.faults.base import HOUR, MINUTE, Clock, fault, program, variant

TITLE = "The host's clock"
FAULTS = (
    fault("clock-unreadable", "`date` answers as no date does.", program("date", "echo 'Mon Jan  1'")),
    fault(
        "date-absent",
        "There is no `date`.",
        program("date", 'echo "/bin/sh: 1: date: not found" >&2; exit 127'),
    ),
    variant(
        "date-without-yesterday",
        "The host's `date` cannot tell the time of another day.",
        program(
            "date",
            'PATH=${PATH#*:}; case "$*" in *-d*) echo "date: unrecognized option: d" >&2; exit 1 ;; esac; exec date "$@"',
        ),
        personality="vendor",
    ),
    variant(
        "clock-ahead",
        "The host's clock is three hours ahead of the controller's.",
        clock=Clock(ahead=3 * HOUR),
    ),
    variant(
        "clock-behind",
        "The host's clock is three days behind the controller's.",
        clock=Clock(ahead=-72 * HOUR),
        personality="vendor",
    ),
    variant("clock-seconds-behind", "The host's clock is 40 seconds behind.", clock=Clock(ahead=-40)),
    variant("zone-new-york", "The host is five hours west of UTC.", clock=Clock(east=-300)),
    variant(
        "zone-kathmandu", "The host is 5:45 hours east of UTC.", clock=Clock(east=345), personality="vendor"
    ),
    variant("zone-kiritimati", "The host is fourteen hours east of UTC.", clock=Clock(east=840)),
    variant(
        "clocks-put-forward",
        "The host's clocks were put forward half an hour ago.",
        clock=Clock(east=120, east_before=60, changed_ago=30 * MINUTE),
    ),
    variant(
        "clocks-put-back",
        "The host's clocks were put back half an hour ago: an hour came twice.",
        clock=Clock(east=60, east_before=120, changed_ago=30 * MINUTE),
    ),
    variant(
        "clocks-put-back-vendor",
        "The host's clocks were put back half an hour ago, and the requests are followed by the log.",
        clock=Clock(east=60, east_before=120, changed_ago=30 * MINUTE),
        personality="vendor",
    ),
    variant(
        "clocks-put-forward-vendor",
        "The host's clocks were put forward half an hour ago, and the requests are followed by the log.",
        clock=Clock(east=-240, east_before=-300, changed_ago=30 * MINUTE),
        personality="vendor",
    ),
)
