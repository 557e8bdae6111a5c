# The pure parts of the load driver.
ringmail_test(test_bench_options bench/test_bench_options.c LIBS ringmail_bench)
ringmail_test(test_bench_load bench/test_bench_load.c LIBS ringmail_bench)
ringmail_test(test_bench_reply bench/test_bench_reply.c LIBS ringmail_bench)
ringmail_test(test_bench_letter bench/test_bench_letter.c LIBS ringmail_bench)
ringmail_test(test_bench_report bench/test_bench_report.c LIBS ringmail_bench)
