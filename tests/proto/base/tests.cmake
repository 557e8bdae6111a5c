ringmail_test(test_slice proto/base/test_slice.c LIBS ringmail_proto)
ringmail_test(test_arena proto/base/test_arena.c LIBS ringmail_proto)
ringmail_test(test_line proto/base/test_line.c LIBS ringmail_proto)
ringmail_test(test_scan proto/base/test_scan.c LIBS ringmail_proto)
