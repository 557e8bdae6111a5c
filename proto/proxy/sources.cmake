list(APPEND PROTO_SOURCES proxy/proxy.c)
