# A store of many users and messages, made quickly.
add_executable(ringmail-populate populate.c populate_feed.c populate_text.c populate_users.c)
target_link_libraries(ringmail-populate PRIVATE ringmail_server)
set_target_properties(ringmail-populate PROPERTIES
    RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR})
