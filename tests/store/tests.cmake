# Two lists, so that work on one part of the store touches no file of the other.
include(${CMAKE_CURRENT_LIST_DIR}/log_tests.cmake OPTIONAL)
include(${CMAKE_CURRENT_LIST_DIR}/index_tests.cmake OPTIONAL)
include(${CMAKE_CURRENT_LIST_DIR}/reshard_tests.cmake)
