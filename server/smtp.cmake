# SMTP, POP3, and the way of a message to the stores.
list(APPEND SERVER_SOURCES delivery.c delivery_commit.c delivery_recover.c envelope.c policy.c session_pop3.c
    session_pop3_drop.c session_pop3_login.c session_pop3_read.c session_smtp.c
    session_smtp_auth.c session_smtp_command.c session_smtp_end.c session_smtp_names.c
    session_smtp_policy.c session_smtp_queue.c session_smtp_rcpt.c session_smtp_text.c
    session_smtp_verify.c session_smtp_xclient.c)
