ringmail_test(test_next_hop server/test_next_hop.c LIBS ringmail_server)
ringmail_test(test_queue_state server/test_queue_state.c LIBS ringmail_server)

# The queue on threads, stores, hops and DNS that the test plays.
set(QUEUE_TEST_SOURCES)
foreach(file queue queue_destination queue_entry queue_local queue_permit queue_readable
        queue_report queue_session queue_settle queue_state next_hop envelope file network
        address pages)
    list(APPEND QUEUE_TEST_SOURCES ${PROJECT_SOURCE_DIR}/server/${file}.c)
endforeach()
ringmail_test(test_server_queue server/test_server_queue.c server/queue_fake.c ${QUEUE_TEST_SOURCES}
    LIBS ringmail_proto)
