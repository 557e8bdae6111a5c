# The checks of the chain in policy.c, each a file.
list(APPEND SERVER_SOURCES policy_helo.c policy_rate.c policy_rates.c policy_sender.c)
