# A server that echoes, for what can only be seen over a socket.
add_library(ringmail_server_test STATIC server/echo.c server/server_test.c)
target_link_libraries(ringmail_server_test PUBLIC ringmail_server)

ringmail_test(test_ring server/test_ring.c LIBS ringmail_server)
target_link_options(test_ring PRIVATE -Wl,--wrap=io_uring_enter2
    -Wl,--wrap=io_uring_get_probe_ring)
ringmail_test(test_address server/test_address.c LIBS ringmail_server)
ringmail_test(test_timer server/test_timer.c LIBS ringmail_server)
ringmail_test(test_conn THREADS server/test_conn.c LIBS ringmail_server_test)
ringmail_test(test_zero_copy THREADS server/test_zero_copy.c LIBS ringmail_server_test)
ringmail_test(test_tls THREADS server/test_tls.c LIBS ringmail_server_test)
ringmail_test(test_call THREADS server/test_call.c LIBS ringmail_server_test)
ringmail_test(test_disk THREADS server/test_disk.c LIBS ringmail_server_test)
ringmail_test(test_client THREADS server/test_client.c LIBS ringmail_server_test)
ringmail_test(test_process THREADS server/test_process.c LIBS ringmail_server_test)
ringmail_test(test_stats server/test_stats.c LIBS ringmail_server)

# Nothing may bring in OpenSSL, whose names are the same as BoringSSL's; and the program is
# position-independent with everything bound at start (K07).
if(TARGET ringmail)
    add_test(NAME program_links_no_openssl
        COMMAND sh -c "! ldd $<TARGET_FILE:ringmail> | grep -E 'lib(ssl|crypto)\\.so\\.[1-9]'")
    add_test(NAME program_is_hardened
        COMMAND sh -c "readelf -h $<TARGET_FILE:ringmail> | grep -q 'DYN' && \
readelf -d $<TARGET_FILE:ringmail> | grep -q 'BIND_NOW\\|NOW PIE' && \
readelf -lW $<TARGET_FILE:ringmail> | grep -q GNU_RELRO && \
! readelf -lW $<TARGET_FILE:ringmail> | grep GNU_STACK | grep -q RWE")
endif()
