ringmail_test(test_proxy proto/proxy/test_proxy.c LIBS ringmail_proto)
ringmail_fuzz(fuzz_proxy fuzz/fuzz_proxy.c LIBS ringmail_proto)
