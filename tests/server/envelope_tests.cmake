# What the queue keeps of a message beside its text.
ringmail_test(test_envelope server/test_envelope.c ${PROJECT_SOURCE_DIR}/server/envelope.c
    LIBS ringmail_proto)
ringmail_fuzz(fuzz_envelope server/fuzz_envelope.c ${PROJECT_SOURCE_DIR}/server/envelope.c
    LIBS ringmail_proto)
