ringmail_test(test_imap_collect proto/imap/test_imap_collect.c LIBS ringmail_proto)
ringmail_test(test_imap_parse proto/imap/test_imap_parse.c proto/imap/dump.c
    LIBS ringmail_proto)
ringmail_test(test_imap_set proto/imap/test_imap_set.c proto/imap/dump.c
    LIBS ringmail_proto)
ringmail_test(test_imap_name proto/imap/test_imap_name.c LIBS ringmail_proto)
ringmail_test(test_imap_search proto/imap/test_imap_search.c LIBS ringmail_proto)
ringmail_test(test_imap_write proto/imap/test_imap_write.c LIBS ringmail_proto)
ringmail_fuzz(fuzz_imap fuzz/fuzz_imap.c LIBS ringmail_proto)
