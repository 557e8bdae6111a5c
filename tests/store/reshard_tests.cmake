ringmail_test(test_reshard ${CMAKE_CURRENT_LIST_DIR}/test_reshard.c
    ${CMAKE_CURRENT_LIST_DIR}/queuekit.c ${STORE_KIT}
    LIBS ringmail_store)
ringmail_test(test_adopt ${CMAKE_CURRENT_LIST_DIR}/test_adopt.c
    ${CMAKE_CURRENT_LIST_DIR}/queuekit.c ${STORE_KIT}
    LIBS ringmail_store)
