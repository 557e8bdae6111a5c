/* config_flags.h -- every flag of `ringmail`, in one table.
 *
 * The parser, --help, the manual page and struct config are made from it.
 *
 *   GROUP(title)
 *   FLAG(type, field, name, value, default, min, max, help)
 *
 * Types: SWITCH (no value), TEXT (one string), TEXTS (repeatable), COUNT (a number), SIZE
 * (octets; K, M, G), SECONDS (s, m, h, d), LISTEN (ADDR:PORT, repeatable), NETWORKS
 * (repeatable), WORD (one of those in value, as its index). Defaults are what an operator
 * would write, and are parsed like it; "" means unset. min and max are hard bounds of
 * numbers.
 */
#define CONFIG_FLAGS(GROUP, FLAG)                                                        \
    GROUP("Store")                                                                       \
    FLAG(TEXT, data, "data", "DIR", "", 0, 0,                                            \
        "The folder that holds the mail. Made if it is missing.")                        \
    FLAG(COUNT, shards, "shards", "N", "0", 0, 256,                                      \
        "Parts of the store, fixed when it is created; 0: what the store has, else one " \
        "a core.")                                                                       \
    FLAG(SIZE, segment_size, "segment-size", "SIZE", "64M", 1 << 20, 1 << 30,            \
        "Size of a file of the log.")                                                    \
    FLAG(WORD, segment_zero, "segment-zero", "no|yes", "yes", 0, 0,                      \
        "Writes zeroes into new files ahead of use, which makes commits faster.")        \
    FLAG(COUNT, commit_wait, "commit-wait", "TIMES", "2", 0, 100,                        \
        "How long a commit waits for those that the last one answered, in times what a " \
        "commit takes, less often where they don't come; 0: never.")                     \
    FLAG(SIZE, recent_memory, "recent-memory", "SIZE", "64M", 4 << 20, 64ull << 30,      \
        "Memory a shard keeps for the newest mail.")                                     \
    FLAG(SIZE, index_memory, "index-memory", "SIZE", "256M", 4 << 20, 1ull << 40,        \
        "Memory a shard keeps for its index: 130 octets of every user, and users in "    \
        "use; cold ones are put away.")                                                  \
    FLAG(SIZE, checkpoint_size, "checkpoint-size", "SIZE", "64M", 1 << 20, 64ull << 30,  \
        "Bytes of log between checkpoints; a restart replays at most about twice this.") \
    FLAG(COUNT, compact_percent, "compact-percent", "N", "150", 110, 1000,               \
        "Disk use that starts compaction, in percent of the live mail.")                 \
    FLAG(SIZE, quota, "quota", "SIZE", "0", 0, 1ull << 50,                               \
        "Mail one user may keep; 0: no limit.")                                          \
    FLAG(TEXTS, folders, "folder", "NAME[=USE]",                                         \
        "Drafts=drafts,Sent=sent,Junk=junk,Trash=trash,Archive=archive", 0, 0,           \
        "A mailbox every new account gets; USE is one of archive, drafts, flagged, "     \
        "junk, sent, trash (RFC 6154). The first one given replaces the default list.")  \
    FLAG(COUNT, max_mailboxes, "max-mailboxes", "N", "10000", 10, 1000000,               \
        "Mailboxes of a user.")                                                          \
    FLAG(SIZE, max_mailbox_names, "max-mailbox-names", "SIZE", "960K", 16 << 10,         \
        64 << 20,                                                                        \
        "Octets of the names of all mailboxes of a user, and 48 for each. They are "     \
        "written in one piece: more than the default holds up other users for ms.")      \
    FLAG(COUNT, max_keywords, "max-keywords", "N", "256", 8, 256,                        \
        "Keywords in a mailbox.")                                                        \
                                                                                         \
    GROUP("Names")                                                                       \
    FLAG(TEXT, hostname, "hostname", "NAME", "", 0, 0,                                   \
        "The name of this host in greetings and trace fields; without it the system's.") \
    FLAG(TEXTS, domains, "domain", "NAME", "", 0, 0,                                     \
        "A domain whose mail is kept here; without any, the domains of the users file. " \
        "The first one completes names without a domain.")                               \
    FLAG(TEXT, users, "users", "FILE", "", 0, 0,                                         \
        "Accounts, one a line: user@domain:{SCHEME}hash. Without it DATA/users.")        \
    FLAG(TEXT, aliases, "aliases", "FILE", "", 0, 0,                                     \
        "Aliases, one a line: address target, target... Without it DATA/aliases where "  \
        "that exists.")                                                                  \
    FLAG(TEXT, senders, "senders", "FILE", "", 0, 0,                                     \
        "Sender addresses that accounts may use besides their own, one account a "       \
        "line: user@domain address, @domain...")                                         \
    FLAG(WORD, srs, "srs", "no|yes", "no", 0, 0,                                         \
        "Gives mail that an alias forwards a sender of this server, which leads back "   \
        "to the true one (SRS), so that SPF lets it pass. The key lies in "              \
        "DATA/srs.key.")                                                                 \
    FLAG(TEXT, srs_domain, "srs-domain", "NAME", "", 0, 0,                               \
        "The domain of such senders; its mail must come here. Without it the first "     \
        "--domain.")                                                                     \
    FLAG(TEXT, recipient_delimiter, "recipient-delimiter", "CHAR", "+", 0, 0,            \
        "Begins the detail of user+detail@domain; `none` turns that off.")               \
    FLAG(TEXTS, catch_alls, "catch-all", "DOMAIN=ADDRESS", "", 0, 0,                     \
        "Takes what a domain has no account and no alias for.")                          \
    FLAG(TEXT, postmaster, "postmaster", "ADDRESS", "", 0, 0,                            \
        "Takes mail to postmaster and abuse where neither is an account or an alias; "   \
        "without it the first account of the users file.")                               \
                                                                                         \
    GROUP("Ports (nothing listens that is not named)")                                   \
    FLAG(LISTEN, smtp, "smtp", "ADDR:PORT", "", PROTO_SMTP, 0,                           \
        "Mail from other servers.")                                                      \
    FLAG(LISTEN, submission, "submission", "ADDR:PORT", "", PROTO_SUBMISSION, 0,         \
        "Mail from users, with STARTTLS and AUTH.")                                      \
    FLAG(LISTEN, submissions, "submissions", "ADDR:PORT", "", PROTO_SUBMISSION, 1,       \
        "The same, TLS from the start.")                                                 \
    FLAG(LISTEN, lmtp, "lmtp", "ADDR:PORT|unix:PATH", "", PROTO_LMTP, 0,                 \
        "Mail from a server that has taken it already (RFC 2033): for mailboxes here,"   \
        " with an answer for each. Whoever reaches it may deliver; a socket file is "    \
        "open"                                                                           \
        " to the user and the group of the server.")                                     \
    FLAG(LISTEN, pop3, "pop3", "ADDR:PORT", "", PROTO_POP3, 0, "POP3, with STLS.")       \
    FLAG(LISTEN, pop3s, "pop3s", "ADDR:PORT", "", PROTO_POP3, 1,                         \
        "POP3, TLS from the start.")                                                     \
    FLAG(LISTEN, imap, "imap", "ADDR:PORT", "", PROTO_IMAP, 0, "IMAP, with STARTTLS.")   \
    FLAG(LISTEN, imaps, "imaps", "ADDR:PORT", "", PROTO_IMAP, 1,                         \
        "IMAP, TLS from the start.")                                                     \
    FLAG(TEXT, write_ports, "write-ports", "FILE", "", 0, 0,                             \
        "Writes `NAME ADDR:PORT` lines once all ports listen; for port 0, which picks "  \
        "a free one.")                                                                   \
    FLAG(NETWORKS, proxy_from, "proxy-from", "NETWORK", "", 0, 0,                        \
        "Connections from there, to any port, begin with a PROXY header (v1 or v2) that" \
        " names the client; without one they are closed.")                               \
                                                                                         \
    GROUP("TLS and logins")                                                              \
    FLAG(TEXTS, tls_certs, "tls-cert", "FILE", "", 0, 0,                                 \
        "Certificate chain in PEM; with several, the client's server name chooses.")     \
    FLAG(TEXTS, tls_keys, "tls-key", "FILE", "", 0, 0,                                   \
        "The key of the --tls-cert at the same place.")                                  \
    FLAG(NETWORKS, allow_plaintext, "allow-plaintext", "NETWORK", "", 0, 0,              \
        "Lets clients there log in without TLS.")                                        \
    FLAG(NETWORKS, unlimited_from, "unlimited-from", "NETWORK", "", 0, 0,                \
        "Lifts the limits per address and per user for clients there.")                  \
    FLAG(SECONDS, auth_cache, "auth-cache", "TIME", "5m", 0, 3600,                       \
        "How long a right password is remembered, so that a client that comes back "     \
        "costs no hash; 0: not at all.")                                                 \
    FLAG(COUNT, max_hashes, "max-hashes", "N", "200", 1, 10000,                          \
        "Password checks that may wait in a thread; more get \"try again later\".")      \
    FLAG(COUNT, max_failed_logins, "max-failed-logins", "N", "5", 1, 100,                \
        "Failed logins before a connection is closed.")                                  \
                                                                                         \
    GROUP("Policy")                                                                      \
    FLAG(NETWORKS, trust, "trust", "NETWORK", "", 0, 0,                                  \
        "Clients there may send to other domains without a login, and are spared the "   \
        "checks and limits of this group.")                                              \
    FLAG(WORD, helo_checks, "helo-checks", "no|yes", "no", 0, 0,                         \
        "Refuses clients that call themselves by this server's name or address, or by "  \
        "a number.")                                                                     \
    FLAG(WORD, sender_checks, "sender-checks", "no|yes", "no", 0, 0,                     \
        "Refuses senders whose domain does not exist or takes no mail; then mail needs " \
        "the DNS.")                                                                      \
    FLAG(WORD, from_check, "from-check", "no|yes", "no", 0, 0,                           \
        "Refuses submitted mail whose From names an address that the user may not send " \
        "as. The sender of the envelope is always checked.")                             \
    FLAG(COUNT, max_messages_address, "max-messages-address", "N", "0", 0, 1000000000,   \
        "Messages an hour from one address (IPv6: one /64); 0: any number.")             \
    FLAG(COUNT, max_recipients_address, "max-recipients-address", "N", "0", 0,           \
        1000000000, "Recipients an hour from one address; 0: any number.")               \
    FLAG(COUNT, max_errors_address, "max-errors-address", "N", "3600", 0, 1000000000,    \
        "Refused commands an hour from one address. In the second half replies get "     \
        "slower, then connections are refused. 0: any number.")                          \
    FLAG(COUNT, max_messages_user, "max-messages-user", "N", "0", 0, 1000000000,         \
        "Messages an hour of one user who is logged in; 0: any number.")                 \
    FLAG(COUNT, max_recipients_user, "max-recipients-user", "N", "0", 0, 1000000000,     \
        "Recipients an hour of one user; 0: any number.")                                \
    FLAG(NETWORKS, xclient_from, "xclient-from", "NETWORK", "", 0, 0,                    \
        "Proxies there may tell by XCLIENT for whom they speak, and are believed in all" \
        " of it, a login too.")                                                          \
    FLAG(WORD, vrfy, "vrfy", "no|yes", "no", 0, 0,                                       \
        "Answers VRFY for users who are logged in, and for --trust.")                    \
    FLAG(WORD, expn, "expn", "no|yes", "no", 0, 0,                                       \
        "Answers EXPN with what an alias stands for, to users who are logged in.")       \
                                                                                         \
    GROUP("Sending")                                                                     \
    FLAG(TEXT, relay, "relay", "HOST:PORT", "", 0, 0,                                    \
        "Takes all mail to other domains; without it the MX of each domain does.")       \
    FLAG(TEXT, relay_tls, "relay-tls", "LEVEL", "", 0, 0,                                \
        "TLS with it: none, may, encrypt, verify; without it as --tls-out.")             \
    FLAG(TEXT, relay_user, "relay-user", "NAME", "", 0, 0, "Logs in to it.")             \
    FLAG(TEXT, relay_password_file, "relay-password-file", "FILE", "", 0, 0,             \
        "Its first line is the password for it.")                                        \
    FLAG(TEXTS, routes, "route", "DOMAIN=HOST:PORT[,OPTION...]", "", 0, 0,               \
        "Another way for one domain, or, as .example.org, for all below it. HOST:PORT "  \
        "may be `mx`, or unix:PATH for LMTP. OPTION: tls=LEVEL, lmtp, smtps, "           \
        "source=ADDR, user=NAME, password-file=FILE.")                                   \
    FLAG(WORD, tls_out, "tls-out", "none|may|encrypt|verify", "may", 0, 0,               \
        "TLS with other servers: never, where offered, always, always and with a "       \
        "certificate for their name.")                                                   \
    FLAG(TEXTS, sources, "source", "ADDR", "", 0, 0,                                     \
        "The address to send from: one IPv4, one IPv6.")                                 \
    FLAG(SECONDS, queue_lifetime, "queue-lifetime", "TIME", "5d", 1, 365 * 86400,        \
        "How long a message is tried before it goes back to its sender.")                \
    FLAG(SECONDS, delay_notice, "delay-notice", "TIME", "4h", 0, 365 * 86400,            \
        "When the sender is told that a message is late; 0: never.")                     \
    FLAG(SECONDS, retry_first, "retry-first", "TIME", "5m", 1, 86400,                    \
        "The pause after a first failure; it doubles with each further one.")            \
    FLAG(SECONDS, retry_max, "retry-max", "TIME", "4h", 1, 7 * 86400,                    \
        "The longest pause.")                                                            \
    FLAG(COUNT, max_queue, "max-queue", "N", "200000", 100, 100000000,                   \
        "Messages that may wait to be sent; more are put off with 452. Each thread has " \
        "its share, and 2 KiB of memory for each.")                                      \
    FLAG(COUNT, destination_sessions, "destination-sessions", "N", "10", 1, 1000,        \
        "Connections to one destination at a time.")                                     \
    FLAG(COUNT, destination_rate, "destination-rate", "N", "0", 0, 1000000,              \
        "Messages a minute to one destination; 0: no limit.")                            \
    FLAG(COUNT, hop_messages, "hop-messages", "N", "100", 1, 100000,                     \
        "Messages on one connection.")                                                   \
    FLAG(COUNT, max_hops, "max-hops", "N", "1000", 1, 100000,                            \
        "Connections to other servers at a time, of all destinations.")                  \
    FLAG(SIZE, max_returned, "max-returned", "SIZE", "64K", 0, 50 << 20,                 \
        "Octets of a message that come back whole with a report; of larger ones the "    \
        "header does.")                                                                  \
    FLAG(TEXTS, resolvers, "resolver", "ADDR:PORT", "", 0, 0,                            \
        "A DNS server to ask, eight at most; without any, those of /etc/resolv.conf.")   \
    FLAG(WORD, resolver_trusted, "resolver-trusted", "none|loopback|all", "loopback", 0, \
        0,                                                                               \
        "Whose word counts that an answer was validated by DNSSEC, which mail with "     \
        "REQUIRETLS needs: nobody's; that of DNS servers on this host, if all are; "     \
        "everybody's, over a network where nobody can forge answers.")                   \
    FLAG(SECONDS, dns_timeout, "dns-timeout", "TIME", "5s", 1, 60,                       \
        "How long a DNS server has to answer before the next one is asked, or the same " \
        "again, twice as long.")                                                         \
    FLAG(TEXT, ca_bundle, "ca-bundle", "FILE", "", 0, 0,                                 \
        "Authorities in PEM that certificates of other servers are checked against; "    \
        "without it the system's.")                                                      \
    FLAG(SECONDS, hop_connect_timeout, "hop-connect-timeout", "TIME", "30s", 1, 600,     \
        "How long an address of another server has to take a connection before the "     \
        "next one is tried; and how long a host may take to greet while mail for "       \
        "others "                                                                        \
        "waits for a connection.")                                                       \
    FLAG(SECONDS, hop_timeout, "hop-timeout", "TIME", "5m", 1, 3600,                     \
        "How long another server has to answer a command.")                              \
    FLAG(SECONDS, hop_data_timeout, "hop-data-timeout", "TIME", "10m", 1, 7200,          \
        "How long it has to answer the end of a message.")                               \
    FLAG(SIZE, max_hop_line, "max-hop-line", "SIZE", "4K", 512, 32 << 10,                \
        "Octets of a line of its answers; with a longer one it is left.")                \
    FLAG(COUNT, max_hop_lines, "max-hop-lines", "N", "128", 16, 10000,                   \
        "Lines of an answer.")                                                           \
                                                                                         \
    GROUP("Limits")                                                                      \
    FLAG(SIZE, max_message_size, "max-message-size", "SIZE", "50M", 64 << 10,            \
        2ull << 30, "Octets of a message.")                                              \
    FLAG(COUNT, max_recipients, "max-recipients", "N", "1000", 100, 50000,               \
        "RCPT commands of a message (announced as RCPTMAX, RFC 9422).")                  \
    FLAG(COUNT, max_messages_connection, "max-messages-connection", "N", "0", 0,         \
        1000000,                                                                         \
        "MAIL commands of a connection (announced as MAILMAX, RFC 9422); 0: no limit.")  \
    FLAG(COUNT, max_recipient_domains, "max-recipient-domains", "N", "0", 0, 1000,       \
        "Domains that the recipients of a connection may have in all (RCPTDOMAINMAX);"   \
        " 0: no limit.")                                                                 \
    FLAG(SECONDS, max_hold, "max-hold", "TIME", "30d", 60, 365 * 86400,                  \
        "How long a user may have a message held back before it is sent (RFC 4865).")    \
    FLAG(COUNT, max_connections, "max-connections", "N", "20000", 10, 1000000,           \
        "Connections in all; fewer where ulimit -Hn does not leave 1,024 descriptors "   \
        "beside them. Half of what they leave keeps segments open.")                     \
    FLAG(COUNT, max_connections_address, "max-connections-address", "N", "100", 1,       \
        1000000, "Connections from one address (IPv6: one /64).")                        \
    FLAG(COUNT, max_connections_user, "max-connections-user", "N", "20", 1, 100000,      \
        "Connections logged in as one user.")                                            \
    FLAG(SIZE, max_unsent, "max-unsent", "SIZE", "256K", 64 << 10, 16 << 20,             \
        "Unsent output of a connection, beyond which its input is not read.")            \
    FLAG(COUNT, max_smtp_errors, "max-smtp-errors", "N", "20", 1, 1000,                  \
        "Refused commands before an SMTP connection is closed.")                         \
    FLAG(COUNT, max_pop3_errors, "max-pop3-errors", "N", "10", 1, 1000,                  \
        "Refused commands before a POP3 connection is closed.")                          \
    FLAG(COUNT, max_imap_errors, "max-imap-errors", "N", "25", 1, 1000,                  \
        "Refused commands before an IMAP connection is closed.")                         \
    FLAG(COUNT, max_imap_errors_login, "max-imap-errors-before-login", "N", "5", 1,      \
        1000, "The same before login.")                                                  \
    FLAG(SIZE, max_smtp_line, "max-smtp-line", "SIZE", "4K", 512, 32 << 10,              \
        "Octets of an SMTP command line.")                                               \
    FLAG(SIZE, max_smtp_auth_line, "max-smtp-auth-line", "SIZE", "12K", 1 << 10,         \
        32 << 10, "The same for lines of an AUTH exchange.")                             \
    FLAG(COUNT, max_received, "max-received", "N", "50", 10, 1000,                       \
        "Received fields of a message; one with more goes in a loop and is refused.")    \
    FLAG(SIZE, max_header_field, "max-header-field", "SIZE", "1M", 4 << 10,              \
        SUMMARY_FIELD_MAX,                                                               \
        "Octets of a header field that are looked at for ENVELOPE and BODYSTRUCTURE; "   \
        "what is beyond is kept as text. 256K of one reach them at most.")               \
    FLAG(SIZE, max_header, "max-header", "SIZE", "10M", 64 << 10, SUMMARY_HEADER_MAX,    \
        "The same for all fields of one header.")                                        \
    FLAG(COUNT, max_mime_depth, "max-mime-depth", "N", "100", 5, SUMMARY_DEPTH_MAX,      \
        "Parts of a message within each other; deeper ones are one opaque part.")        \
    FLAG(COUNT, max_mime_parts, "max-mime-parts", "N", "10000", 50, SUMMARY_PARTS_MAX,   \
        "Parts of a message in all.")                                                    \
    FLAG(COUNT, max_addresses, "max-field-addresses", "N", "1000", 10,                   \
        SUMMARY_ADDRESSES_MAX, "Addresses of a header field that ENVELOPE shows.")       \
    FLAG(COUNT, max_pieces, "max-parameter-pieces", "N", "128", 8, SUMMARY_PIECES_MAX,   \
        "Pieces of continued MIME parameters in a field (RFC 2231).")                    \
    FLAG(COUNT, max_imap_depth, "max-imap-depth", "N", "50", 5, IMAP_DEPTH_MAX,          \
        "Parentheses, NOT and OR within each other in a SEARCH.")                        \
    FLAG(COUNT, max_imap_ranges, "max-imap-ranges", "N", "1000", 100,                    \
        IMAP_SET_RANGES_MAX, "Ranges in a sequence set.")                                \
    FLAG(COUNT, max_mailbox_name, "max-mailbox-name", "N", "512", 64, IMAP_NAME_MAX,     \
        "Octets of a name of a mailbox.")                                                \
    FLAG(COUNT, max_mailbox_levels, "max-mailbox-levels", "N", "32", 2, IMAP_LEVELS_MAX, \
        "Levels of a name of a mailbox.")                                                \
    FLAG(SIZE, max_imap_command, "max-imap-command", "SIZE", "64K", 8 << 10, 1 << 20,    \
        "Octets of an IMAP command without its literals.")                               \
    FLAG(SIZE, max_imap_command_login, "max-imap-command-before-login", "SIZE", "8K",    \
        1 << 10, 64 << 10, "The same before login.")                                     \
    FLAG(SIZE, max_imap_literal, "max-imap-literal", "SIZE", "64K", 4 << 10, 1 << 20,    \
        "Octets of the literals of an IMAP command, without messages.")                  \
    FLAG(SIZE, max_imap_literal_login, "max-imap-literal-before-login", "SIZE", "4K",    \
        1 << 10, 64 << 10, "The same before login.")                                     \
    FLAG(SECONDS, login_timeout, "login-timeout", "TIME", "60s", 5, 600,                 \
        "Silence allowed before login.")                                                 \
    FLAG(SECONDS, handshake_timeout, "handshake-timeout", "TIME", "15s", 1, 120,         \
        "Time for a TLS handshake.")                                                     \
    FLAG(SECONDS, smtp_timeout, "smtp-timeout", "TIME", "5m", 10, 3600,                  \
        "Silence allowed between SMTP commands.")                                        \
    FLAG(SECONDS, pop3_timeout, "pop3-timeout", "TIME", "10m", 10, 7200,                 \
        "Silence allowed in a POP3 session (RFC 1939 asks for ten minutes).")            \
    FLAG(SECONDS, idle_timeout, "idle-timeout", "TIME", "30m", 60, 86400,                \
        "Silence allowed in an IMAP session, in IDLE too (RFC 9051 asks for half an "    \
        "hour).")                                                                        \
    FLAG(SECONDS, stop_timeout, "stop-timeout", "TIME", "8s", 1, 600,                    \
        "Time for sessions to end after SIGTERM.")                                       \
                                                                                         \
    GROUP("Threads")                                                                     \
    FLAG(COUNT, threads, "threads", "N", "0", 0, 256,                                    \
        "Threads that serve; 0: one a core.")                                            \
    FLAG(WORD, pin, "pin", "no|yes", "yes", 0, 0, "Binds each thread to a core.")        \
    FLAG(COUNT, workers, "workers", "N", "0", 0, 64,                                     \
        "Threads that hash passwords; 0: one a core, at most four.")                     \
    FLAG(COUNT, workers_queue, "workers-queue", "N", "256", 8, 65536,                    \
        "Jobs that may wait for them.")                                                  \
    FLAG(COUNT, spin, "spin", "MICROSECONDS", "0", 0, 1000,                              \
        "How long an idle thread looks for work before it sleeps, less where that was "  \
        "in vain; never with more threads than cores. For machines with idle cores, "    \
        "where calls between threads then wake nobody.")                                 \
    FLAG(SIZE, zero_copy, "zero-copy", "SIZE", "0", 0, 128 << 10,                        \
        "Sends of so many octets or more lend them to the kernel until the peer has "    \
        "them, in place of a copy; 0: none. The kernel copies all the same on loopback " \
        "and for many cards, which costs more; a connection where it does copies again " \
        "at once. For real cards measure, from 64K on, and raise --max-unsent: "         \
        "what the peer does not have yet counts as unsent. Needs Linux 6.3 and "         \
        "RLIMIT_MEMLOCK for what is lent.")                                              \
    FLAG(COUNT, ring_entries, "ring-entries", "N", "512", 64, 32768,                     \
        "Size of a thread's submission queue.")                                          \
    FLAG(COUNT, ring_completions, "ring-completions", "N", "8192", 128, 65536,           \
        "Size of its completion queue.")                                                 \
    FLAG(WORD, ring_features, "ring-features", "all|minimal", "all", 0, 0,               \
        "minimal: without the optional features of io_uring.")                           \
    FLAG(COUNT, receive_buffers, "receive-buffers", "N", "1024", 64, 32768,              \
        "Receive buffers of a thread.")                                                  \
    FLAG(SIZE, receive_buffer_size, "receive-buffer-size", "SIZE", "16K", 1 << 10,       \
        64 << 10, "Size of each.")                                                       \
    FLAG(SIZE, buffer_memory, "buffer-memory", "SIZE", "1G", 16 << 20, 1ull << 40,       \
        "Input and output held for all connections; near it new messages are put off.")  \
                                                                                         \
    GROUP("Running")                                                                     \
    FLAG(TEXT, user, "user", "NAME", "", 0, 0,                                           \
        "The account to run as when started as root; taken on before the first client.") \
    FLAG(WORD, log_level, "log-level", "error|warning|notice|info|debug", "info", 0, 0,  \
        "What is logged, to standard error.")                                            \
    FLAG(SWITCH, log_priority, "log-priority", "", "", 0, 0,                             \
        "Puts <6> and the like in front of each line, for journald.")                    \
    FLAG(COUNT, log_rate, "log-rate", "N", "1000", 1, 1000000,                           \
        "Lines a second of one kind and thread; more are counted, not written.")         \
    FLAG(TEXT, config_file, "config", "FILE", "", 0, 0,                                  \
        "Reads flags from a file, one a line, without the dashes or with them; # "       \
        "begins "                                                                        \
        "a comment. Flags of the command line that follow it win.")
