# The calibration of the machine.
add_executable(ringmail-ceiling ceiling.c ceiling_client.c ceiling_commit.c
    ceiling_late.c ceiling_net.c ceiling_server.c ceiling_text.c ceiling_tls.c)
target_link_libraries(ringmail-ceiling PRIVATE ringmail_flags ringmail_server)
set_target_properties(ringmail-ceiling PROPERTIES RUNTIME_OUTPUT_DIRECTORY
    ${PROJECT_BINARY_DIR})
