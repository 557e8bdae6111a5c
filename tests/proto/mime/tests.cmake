ringmail_test(test_mime_summary proto/mime/test_mime_summary.c LIBS ringmail_proto)
ringmail_test(test_mime_limits proto/mime/test_mime_limits.c LIBS ringmail_proto)
ringmail_test(test_mime_boundary proto/mime/test_mime_boundary.c LIBS ringmail_proto)
ringmail_test(test_mime_address proto/mime/test_mime_address.c LIBS ringmail_proto)
ringmail_test(test_mime_header proto/mime/test_mime_header.c LIBS ringmail_proto)
ringmail_test(test_mime_date proto/mime/test_mime_date.c LIBS ringmail_proto)
ringmail_test(test_mime_decode proto/mime/test_mime_decode.c LIBS ringmail_proto)
ringmail_test(test_mime_vector proto/mime/test_mime_vector.c LIBS ringmail_proto)
ringmail_test(test_mime_encode proto/mime/test_mime_encode.c LIBS ringmail_proto)
ringmail_test(test_mime_convert proto/mime/test_mime_convert.c LIBS ringmail_proto)
ringmail_test(test_convert_corpus proto/mime/test_convert_corpus.c LIBS ringmail_proto)
ringmail_test(test_mime_search proto/mime/test_mime_search.c LIBS ringmail_proto)

# The corpus of real mail is found through the environment (RINGMAIL_SHARED).
find_package(Python3 COMPONENTS Interpreter)
add_executable(summary_dump proto/mime/summary_dump.c)
target_link_libraries(summary_dump PRIVATE ringmail_proto)
if(Python3_FOUND)
    add_test(NAME test_corpus_summary
        COMMAND ${Python3_EXECUTABLE}
            ${CMAKE_CURRENT_SOURCE_DIR}/proto/mime/corpus_summary.py
            $<TARGET_FILE:summary_dump>)
endif()
ringmail_fuzz(fuzz_mime fuzz/fuzz_mime.c LIBS ringmail_proto)
ringmail_fuzz(fuzz_mime_decode fuzz/fuzz_mime_decode.c LIBS ringmail_proto)
ringmail_fuzz(fuzz_convert fuzz/fuzz_convert.c LIBS ringmail_proto)
