# The client's side of SMTP and LMTP.
list(APPEND SERVER_SOURCES hop.c hop_answer.c hop_convert.c hop_fit.c hop_greet.c hop_send.c hop_text.c)
