list(APPEND PROTO_SOURCES
    imap/imap_collect.c
    imap/imap_date.c
    imap/imap_lex.c
    imap/imap_name.c
    imap/imap_parse.c
    imap/imap_parse_fetch.c
    imap/imap_parse_list.c
    imap/imap_parse_search.c
    imap/imap_parse_store.c
    imap/imap_pattern.c
    imap/imap_search.c
    imap/imap_set.c
    imap/imap_words.c
    imap/imap_write.c)
