list(APPEND PROTO_SOURCES
    smtp/smtp_parse.c smtp/smtp_path.c smtp/smtp_param.c smtp/smtp_param_time.c
    smtp/smtp_xclient.c smtp/smtp_say.c smtp/smtp_text.c smtp/smtp_header.c
    smtp/smtp_trace.c smtp/smtp_answer.c smtp/smtp_repair.c smtp/srs.c
    smtp/dsn.c smtp/dsn_text.c smtp/dsn_clean.c smtp/dsn_returned.c)
