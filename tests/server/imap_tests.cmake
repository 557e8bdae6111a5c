# The session's own sources, on a connection and a store that the test plays.
function(imap_session_sources out)
    set(SERVER_SOURCES)
    include(${PROJECT_SOURCE_DIR}/server/imap.cmake)
    list(TRANSFORM SERVER_SOURCES PREPEND ${PROJECT_SOURCE_DIR}/server/)
    set(${out} ${SERVER_SOURCES} PARENT_SCOPE)
endfunction()
imap_session_sources(IMAP_SESSION_SOURCES)
ringmail_test(test_imap_session server/test_imap_session.c server/imap_fake_conn.c
    server/imap_fake_store.c ${IMAP_SESSION_SOURCES} LIBS ringmail_proto)
ringmail_fuzz(fuzz_imap_session server/fuzz_imap_session.c server/imap_fake_conn.c
    server/imap_fake_store.c ${IMAP_SESSION_SOURCES} LIBS ringmail_proto)
