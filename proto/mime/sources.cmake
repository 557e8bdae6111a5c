list(APPEND PROTO_SOURCES
    mime/octets.c mime/text.c mime/wire.c mime/lex.c mime/utf8.c mime/boundary.c
    mime/address.c mime/params.c mime/header.c mime/date.c
    mime/summary_build.c mime/summary_field.c mime/summary_render.c mime/summary_blob.c
    mime/decode_transfer.c mime/encode.c mime/decode_charset.c mime/decode_words.c
    mime/charset_tables.c mime/search.c mime/search_fold.c
    mime/convert.c mime/convert_scan.c mime/convert_part.c)
