/* stats_list.h -- every figure of `ringmail stat`, in three lists.
 *
 * What a thread counts, a shard, and the process are made from them: the structs that are
 * counted in, the lines of the control socket, JSON, text, and the list of figures in
 * `ringmail stat --help`.
 *
 *   GROUP(name)                         a heading
 *   COUNT(name, of, flag, help)         grows; seen since the start, or in an interval
 *   NOW(name, of, flag, help)           goes up and down; the value now
 *   TIMES(name, flag, help)             how long, in ns inside and us outside
 *   SIZES(name, flag, help)             how many, or how large
 *
 * `of` is the figure that this one is a part of (in the same list, or a limit of the
 * process), "" for none; `flag` the one that it speaks to. The help of what is counted in
 * octets begins with that word. Names are for programs: one that is out there does not
 * change its meaning, and no two are the same.
 */
#define THREAD_STATS(GROUP, COUNT, NOW, TIMES, SIZES)                                    \
    GROUP(loop)                                                                          \
    COUNT(cpu_us, "", "threads", "CPU time, user and system, in us")                     \
    COUNT(turns, "", "", "turns of the loop, one system call each")                      \
    COUNT(completions, "", "ring-completions", "answers of the kernel")                  \
    COUNT(spun, "turns", "spin", "turns without work, in place of sleep")                \
    TIMES(turn, "", "a turn, without its system call")                                   \
    TIMES(turn_cpu, "", "CPU time of the same, of one turn in sixteen")                  \
    GROUP(calls)                                                                         \
    COUNT(calls, "", "", "requests from threads and their answers")                      \
    COUNT(doorbells, "calls", "spin", "threads woken for them")                          \
    COUNT(calls_delayed, "calls", "", "that found the queue to a thread full")           \
    COUNT(connections_moved, "", "", "connections gone to the thread of their user")     \
    GROUP(traffic)                                                                       \
    COUNT(bytes_in, "", "", "octets received")                                           \
    COUNT(bytes_out, "", "", "octets sent")                                              \
    COUNT(                                                                               \
        sends_zero_copy, "", "zero-copy", "sends whose octets were lent to the kernel")  \
    COUNT(sends_copied, "sends_zero_copy", "zero-copy", "that it copied after all")      \
    COUNT(receive_starved, "completions", "receive-buffers", "found no buffer")          \
    NOW(buffered, "buffer_memory", "buffer-memory", "octets of input and output held")   \
    GROUP(connections)                                                                   \
    NOW(connections, "max_connections", "max-connections", "open, to other servers too") \
    NOW(connections_smtp, "connections", "", "of these, SMTP")                           \
    NOW(connections_submission, "connections", "", "of these, submission")               \
    NOW(connections_lmtp, "connections", "", "of these, LMTP")                           \
    NOW(connections_pop3, "connections", "", "of these, POP3")                           \
    NOW(connections_imap, "connections", "", "of these, IMAP")                           \
    NOW(connections_out, "connections", "max-hops", "of these, to other servers")        \
    NOW(connections_tls, "connections", "", "of these, with TLS")                        \
    COUNT(accepted, "", "", "accepted")                                                  \
    COUNT(accepted_smtp, "accepted", "", "of these, SMTP")                               \
    COUNT(accepted_submission, "accepted", "", "of these, submission")                   \
    COUNT(accepted_lmtp, "accepted", "", "of these, LMTP")                               \
    COUNT(accepted_pop3, "accepted", "", "of these, POP3")                               \
    COUNT(accepted_imap, "accepted", "", "of these, IMAP")                               \
    COUNT(connections_refused, "accepted", "max-connections-address", "turned away")     \
    COUNT(descriptors_short, "", "max-connections", "times that descriptors ran out")    \
    COUNT(handshakes, "", "", "TLS handshakes")                                          \
    COUNT(handshakes_resumed, "handshakes", "", "of these, resumed")                     \
    COUNT(handshakes_failed, "", "handshake-timeout", "that came to nothing")            \
    GROUP(logins)                                                                        \
    NOW(logins, "", "max-connections-user", "sessions logged in")                        \
    COUNT(password_checks, "", "", "passwords checked")                                  \
    COUNT(passwords_remembered, "password_checks", "auth-cache", "without a hash")       \
    COUNT(logins_failed, "password_checks", "max-failed-logins", "wrong ones")           \
    COUNT(logins_put_off, "password_checks", "max-hashes", "told to try later")          \
    NOW(hashes_waiting, "max_hashes", "workers", "hashes that wait for a worker")        \
    GROUP(mail)                                                                          \
    COUNT(recipients, "", "", "recipients taken, by SMTP, submission and LMTP")          \
    COUNT(recipients_refused, "", "", "refused, for good or for now")                    \
    COUNT(messages, "", "", "messages taken, by SMTP, submission and LMTP")              \
    COUNT(messages_refused, "", "", "refused after their text")                          \
    COUNT(fetched, "", "", "messages of which FETCH has told something")                 \
    COUNT(searched, "", "", "messages that SEARCH has looked at")                        \
    COUNT(retrieved, "", "", "messages sent by RETR and TOP")                            \
    COUNT(pop3_sessions, "", "", "POP3 sessions that were logged in")                    \
    COUNT(idle_pushes, "", "", "changes told to clients in IDLE")                        \
    GROUP(operations)                                                                    \
    TIMES(smtp_message, "", "SMTP: end of the text to its answer")                       \
    TIMES(submission_message, "", "submission: the same")                                \
    TIMES(lmtp_message, "", "LMTP: the same")                                            \
    TIMES(submission_login, "workers", "AUTH to its answer")                             \
    TIMES(pop3_login, "workers", "PASS or AUTH to the maildrop")                         \
    TIMES(pop3_retr, "recent-memory", "RETR and TOP, the body in the output")            \
    TIMES(pop3_quit, "", "QUIT that deletes, to its answer")                             \
    TIMES(imap_login, "workers", "LOGIN or AUTHENTICATE")                                \
    TIMES(imap_select, "index-memory", "SELECT and EXAMINE")                             \
    TIMES(imap_fetch, "recent-memory", "FETCH, its answer in the output")                \
    TIMES(imap_store, "", "STORE")                                                       \
    TIMES(imap_append, "", "APPEND, from the end of the message")                        \
    TIMES(imap_search, "recent-memory", "SEARCH")                                        \
    TIMES(imap_copy, "", "COPY and MOVE")                                                \
    TIMES(imap_expunge, "", "EXPUNGE and CLOSE")                                         \
    TIMES(imap_status, "index-memory", "STATUS")                                         \
    TIMES(imap_list, "", "LIST and LSUB")                                                \
    TIMES(imap_other, "", "the other commands, but for IDLE")                            \
    TIMES(hop_message, "", "a message to another server, command to answer")             \
    GROUP(queue)                                                                         \
    NOW(queue_waiting, "max_queue", "max-queue", "messages for other servers")           \
    NOW(queue_held, "queue_waiting", "", "of these, held by an operator")                \
    NOW(queue_memory, "", "max-queue", "octets of memory for them")                      \
    NOW(queue_destinations, "", "", "hosts and domains they are for")                    \
    NOW(queue_resting, "queue_destinations", "retry-first", "of these, resting")         \
    NOW(queue_sessions, "max_hops", "max-hops", "sessions with other servers")           \
    NOW(queue_settling, "", "", "outcomes on their way to the disk")                     \
    COUNT(queue_delivered, "", "", "recipients who have it, by their server's word")     \
    COUNT(queue_relayed, "", "", "recipients passed on without such word")               \
    COUNT(queue_deferred, "", "destination-sessions", "tried in vain for now")           \
    COUNT(queue_refused, "", "", "refused for good")                                     \
    COUNT(queue_expired, "", "queue-lifetime", "given up")                               \
    COUNT(queue_reports, "", "delay-notice", "reports made")                             \
    COUNT(queue_unsure, "", "hop-data-timeout", "texts without an answer")               \
    GROUP(dns)                                                                           \
    COUNT(dns_lookups, "", "", "ways to a domain looked for")                            \
    COUNT(dns_cached, "", "", "questions answered from memory")                          \
    COUNT(dns_questions, "", "", "questions sent")                                       \
    COUNT(dns_failed, "dns_questions", "dns-timeout", "without a usable answer")         \
    NOW(dns_memory, "", "", "octets of answers kept")

#define SHARD_STATS(GROUP, COUNT, NOW, TIMES, SIZES)                                     \
    GROUP(commits)                                                                       \
    COUNT(batches, "", "", "batches written, a synced write each")                       \
    COUNT(records, "", "", "records in them")                                            \
    COUNT(bytes_written, "", "", "octets written to the log, padding too")               \
    TIMES(commit, "", "from the write of a batch until it is durable")                   \
    TIMES(commit_wait, "commit-wait", "its first record, from entering it to the write") \
    SIZES(batch_records, "", "records of a batch")                                       \
    SIZES(batch_bytes, "", "octets of a batch")                                          \
    GROUP(cache)                                                                         \
    COUNT(reads, "", "", "records read")                                                 \
    COUNT(reads_memory, "reads", "recent-memory", "of these, from memory")               \
    TIMES(read, "recent-memory", "a read that went to the disk")                         \
    NOW(recent_bytes, "recent_memory", "recent-memory", "octets of mail in memory")      \
    COUNT(users_read, "", "index-memory", "users brought into memory")                   \
    COUNT(users_evicted, "", "index-memory", "and put away again")                       \
    NOW(users_loaded, "users", "index-memory", "users in memory")                        \
    NOW(index_bytes, "index_memory", "index-memory", "octets of index in memory")        \
    GROUP(store)                                                                         \
    NOW(users, "", "", "users with mail or mailboxes")                                   \
    NOW(log_bytes, "", "", "octets of the log on the disk")                              \
    NOW(live_bytes, "log_bytes", "compact-percent", "octets of it in use")               \
    NOW(segments, "", "segment-size", "files of the log")                                \
    COUNT(compacted_bytes, "", "compact-percent", "octets that compaction has moved")    \
    COUNT(checkpoints, "", "checkpoint-size", "checkpoints begun")                       \
    NOW(queue_entries, "", "max-queue", "messages in the queue")                         \
    NOW(queue_bytes, "", "", "octets of these messages")                                 \
    NOW(damaged_ranges, "", "", "ranges of the log that cannot be read")                 \
    NOW(tail_cut_bytes, "", "", "octets of an unfinished end that the start dropped")    \
    NOW(read_only, "", "", "1 after a failed write: it takes no changes")

#define SERVER_STATS(GROUP, COUNT, NOW, TIMES, SIZES)                                   \
    GROUP(server)                                                                       \
    NOW(pid, "", "", "number of the process")                                           \
    NOW(uptime_s, "", "", "seconds since the start")                                    \
    NOW(threads, "", "threads", "threads that serve")                                   \
    NOW(shards, "", "", "parts of the store")                                           \
    NOW(accounts, "", "users", "accounts in the users file")                            \
    NOW(aliases, "", "aliases", "aliases")                                              \
    COUNT(process_cpu_us, "", "", "CPU time of all threads, workers too, in us")        \
    GROUP(memory)                                                                       \
    NOW(memory_bound, "", "", "octets that all limits together allow")                  \
    NOW(memory_resident, "memory_bound", "", "octets resident")                         \
    NOW(memory_allocated, "", "", "octets allocated, touched or not")                   \
    NOW(receive_memory, "memory_bound", "receive-buffers", "octets of receive buffers") \
    GROUP(limits)                                                                       \
    NOW(max_connections, "", "max-connections", "connections in all")                   \
    NOW(max_hashes, "", "max-hashes", "hashes that may wait, over all threads")         \
    NOW(max_queue, "", "max-queue", "messages that may wait for other servers")         \
    NOW(max_hops, "", "max-hops", "connections to other servers")                       \
    NOW(buffer_memory, "", "buffer-memory", "octets of input and output")               \
    NOW(recent_memory, "", "recent-memory", "octets of new mail, over all shards")      \
    NOW(index_memory, "", "index-memory", "octets of index, over all shards")
