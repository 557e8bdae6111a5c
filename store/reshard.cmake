list(APPEND STORE_SOURCES reshard.c reshard_verify.c)
