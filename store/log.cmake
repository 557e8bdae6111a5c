list(APPEND STORE_SOURCES
    format.c log_memory.c log_walk.c log_input.c log_image.c log_survey.c log_recover.c
    log_open.c log_add.c log_commit.c log_gather.c log_segment.c log_adopt.c log_prepare.c
    log_janitor.c log_file.c log_read.c log_scan.c log_checkpoint.c log_check.c)
