# Deliveries on stores, threads and timers that the test plays; the sessions on a
# connection that imap_fake_conn.c plays.
set(DELIVERY_SOURCES)
foreach(file delivery delivery_commit delivery_queue delivery_recover envelope)
    list(APPEND DELIVERY_SOURCES ${PROJECT_SOURCE_DIR}/server/${file}.c)
endforeach()
ringmail_test(test_delivery server/test_delivery.c server/delivery_fake.c ${DELIVERY_SOURCES}
    LIBS ringmail_proto)
ringmail_test(test_delivery_queue server/test_delivery_queue.c server/delivery_fake.c
    ${DELIVERY_SOURCES} LIBS ringmail_proto)

set(SMTP_SESSION_SOURCES server/smtp_fake.c server/imap_fake_conn.c)
foreach(file session_smtp session_smtp_auth session_smtp_command session_smtp_end
        session_smtp_names session_smtp_policy session_smtp_queue session_smtp_rcpt
        session_smtp_text session_smtp_verify session_smtp_xclient accounts
        accounts_domains accounts_users aliases file idn names network pages route senders
        srs_keys address password)
    list(APPEND SMTP_SESSION_SOURCES ${PROJECT_SOURCE_DIR}/server/${file}.c)
endforeach()
ringmail_test(test_session_smtp server/test_session_smtp.c server/smtp_dialogue.c
    ${SMTP_SESSION_SOURCES}
    LIBS ringmail_proto idn2 crypt)
ringmail_test(test_session_smtp_more server/test_session_smtp_more.c
    server/smtp_dialogue.c ${SMTP_SESSION_SOURCES} LIBS ringmail_proto idn2 crypt)
ringmail_fuzz(fuzz_session_smtp server/fuzz_session_smtp.c ${SMTP_SESSION_SOURCES}
    LIBS ringmail_proto idn2 crypt)

set(POP3_SESSION_SOURCES server/imap_fake_conn.c server/imap_fake_store.c)
foreach(file session_pop3 session_pop3_drop session_pop3_login session_pop3_read)
    list(APPEND POP3_SESSION_SOURCES ${PROJECT_SOURCE_DIR}/server/${file}.c)
endforeach()
ringmail_test(test_session_pop3 server/test_session_pop3.c ${POP3_SESSION_SOURCES}
    LIBS ringmail_proto)
ringmail_fuzz(fuzz_session_pop3 server/fuzz_session_pop3.c ${POP3_SESSION_SOURCES}
    LIBS ringmail_proto)
