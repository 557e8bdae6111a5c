# ringmail-bench, the load driver: everything but main in a library, so that the tests can
# have it.
add_library(ringmail_bench STATIC client.c client_tls.c engine.c engine_open.c engine_work.c
    imap.c ledger.c letter.c letter_files.c mode.c mode_idle.c mode_imap.c mode_mixed.c
    mode_pop3.c mode_sink.c mode_smtp.c options.c options_help.c options_table.c reply.c
    report.c room.c schedule.c sizes.c users.c verify.c watch.c)
target_link_libraries(ringmail_bench PUBLIC ringmail_server m)

add_executable(ringmail-bench main.c)
target_link_libraries(ringmail-bench PRIVATE ringmail_bench)
target_link_options(ringmail-bench PRIVATE -pie)
set_target_properties(ringmail-bench PROPERTIES
    RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR})
install(TARGETS ringmail-bench)
