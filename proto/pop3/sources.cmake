list(APPEND PROTO_SOURCES pop3/pop3.c pop3/pop3_top.c)
