# Each part lists its own tests in its own file.
foreach(part core admin session envelope imap smtp policy pop3 mx hop queue)
    include(${CMAKE_CURRENT_LIST_DIR}/${part}_tests.cmake OPTIONAL)
endforeach()
