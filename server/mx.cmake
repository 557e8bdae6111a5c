# From a domain to the hosts that take its mail.
list(APPEND SERVER_SOURCES dns.c dns_message.c dns_resolver.c mx.c mx_name.c mx_rank.c
    mx_self.c)
