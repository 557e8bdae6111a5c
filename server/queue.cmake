# The way out: entries of the queue, destinations, retries, reports.
list(APPEND SERVER_SOURCES command_queue.c next_hop.c queue.c queue_control.c queue_destination.c queue_entry.c queue_local.c
    queue_permit.c queue_readable.c queue_report.c queue_session.c queue_settle.c queue_show.c
    queue_state.c)
