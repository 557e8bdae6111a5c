ringmail_test(test_policy THREADS server/test_policy.c LIBS ringmail_server_test)
ringmail_test(test_policy_rates server/test_policy_rates.c LIBS ringmail_server)
