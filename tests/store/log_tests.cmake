set(LOG_KIT ${CMAKE_CURRENT_LIST_DIR}/memdisk.c ${CMAKE_CURRENT_LIST_DIR}/logkit.c)
ringmail_test(test_format ${CMAKE_CURRENT_LIST_DIR}/test_format.c LIBS ringmail_store)
ringmail_test(test_log ${CMAKE_CURRENT_LIST_DIR}/test_log.c ${LOG_KIT} LIBS ringmail_store)
ringmail_test(test_log_gather ${CMAKE_CURRENT_LIST_DIR}/test_log_gather.c ${LOG_KIT}
    LIBS ringmail_store)
ringmail_test(test_log_start ${CMAKE_CURRENT_LIST_DIR}/test_log_start.c ${LOG_KIT}
    LIBS ringmail_store)
ringmail_test(test_log_crash ${CMAKE_CURRENT_LIST_DIR}/test_log_crash.c ${LOG_KIT}
    LIBS ringmail_store)
ringmail_test(test_log_damage ${CMAKE_CURRENT_LIST_DIR}/test_log_damage.c ${LOG_KIT}
    LIBS ringmail_store)
ringmail_test(test_log_faults ${CMAKE_CURRENT_LIST_DIR}/test_log_faults.c ${LOG_KIT}
    LIBS ringmail_store)
target_link_options(test_log_faults PRIVATE
    -Wl,--wrap=log_alloc -Wl,--wrap=log_alloc_blocks
    -Wl,--wrap=log_alloc_huge)
ringmail_fuzz(fuzz_record ${CMAKE_CURRENT_LIST_DIR}/../fuzz/fuzz_record.c
    ${CMAKE_CURRENT_LIST_DIR}/memdisk.c LIBS ringmail_store)
