list(APPEND PROTO_SOURCES sasl/base64.c sasl/sasl.c)
