# DNS against a server that the tests play, and the reader of answers alone.
ringmail_test(test_mx THREADS server/test_mx.c server/dns_fake.c LIBS ringmail_server_test)
ringmail_test(test_dns_message server/test_dns_message.c LIBS ringmail_server)
ringmail_fuzz(fuzz_dns_message server/fuzz_dns_message.c LIBS ringmail_server)
