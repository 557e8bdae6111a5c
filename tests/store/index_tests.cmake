set(STORE_KIT ${CMAKE_CURRENT_LIST_DIR}/memdisk.c ${CMAKE_CURRENT_LIST_DIR}/storekit.c)
ringmail_test(test_store ${CMAKE_CURRENT_LIST_DIR}/test_store.c ${STORE_KIT}
    LIBS ringmail_store)
ringmail_test(test_many ${CMAKE_CURRENT_LIST_DIR}/test_many.c ${STORE_KIT}
    LIBS ringmail_store)
ringmail_test(test_model ${CMAKE_CURRENT_LIST_DIR}/test_model.c ${STORE_KIT}
    LIBS ringmail_store)
ringmail_test(test_check ${CMAKE_CURRENT_LIST_DIR}/test_check.c
    ${CMAKE_CURRENT_LIST_DIR}/queuekit.c ${STORE_KIT}
    LIBS ringmail_store)
ringmail_test(test_memory ${CMAKE_CURRENT_LIST_DIR}/test_memory.c LIBS ringmail_store)
target_link_options(test_memory PRIVATE
    -Wl,--wrap=malloc -Wl,--wrap=calloc -Wl,--wrap=realloc -Wl,--wrap=cell_take)
ringmail_test(test_uids ${CMAKE_CURRENT_LIST_DIR}/test_uids.c LIBS ringmail_store)
ringmail_test(test_view ${CMAKE_CURRENT_LIST_DIR}/test_view.c ${STORE_KIT}
    LIBS ringmail_store)
ringmail_test(test_user ${CMAKE_CURRENT_LIST_DIR}/test_user.c ${STORE_KIT}
    LIBS ringmail_store)
ringmail_test(test_compact ${CMAKE_CURRENT_LIST_DIR}/test_compact.c ${STORE_KIT}
    LIBS ringmail_store)
ringmail_test(test_body ${CMAKE_CURRENT_LIST_DIR}/test_body.c ${STORE_KIT}
    LIBS ringmail_store)
ringmail_test(test_cells ${CMAKE_CURRENT_LIST_DIR}/test_cells.c LIBS ringmail_store)
ringmail_test(test_heads ${CMAKE_CURRENT_LIST_DIR}/test_heads.c LIBS ringmail_store)
ringmail_test(test_queued ${CMAKE_CURRENT_LIST_DIR}/test_queued.c LIBS ringmail_store)
ringmail_test(test_queue ${CMAKE_CURRENT_LIST_DIR}/test_queue.c
    ${CMAKE_CURRENT_LIST_DIR}/queuekit.c ${STORE_KIT} LIBS ringmail_store)
ringmail_test(test_queue_crash ${CMAKE_CURRENT_LIST_DIR}/test_queue_crash.c
    ${CMAKE_CURRENT_LIST_DIR}/queuekit.c ${STORE_KIT} LIBS ringmail_store)
ringmail_fuzz(fuzz_queue_records ${CMAKE_CURRENT_LIST_DIR}/../fuzz/fuzz_queue_records.c
    ${CMAKE_CURRENT_LIST_DIR}/memdisk.c LIBS ringmail_store)
