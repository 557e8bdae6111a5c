list(APPEND STORE_SOURCES
    records.c cells.c head_memory.c heads.c store_open.c store_turn.c store_change.c store_note.c store_message.c
    store_upload.c store_fanout.c store_queue.c queued.c store_adopt.c store_checkpoint.c
    user_open.c user_load.c user_apply.c user_delta.c user_names.c user_list.c user_rename.c user_tree.c
    user_fold.c mailbox_page.c mailbox_keyword.c mailbox_load.c mailbox_apply.c
    mailbox_ops.c uids.c view.c body.c summary.c compact.c compact_scan.c
    compact_move.c compact_user.c check.c check_disk.c check_repair.c)
