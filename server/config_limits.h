/* config_limits.h -- what the parsers are told of the flags. Without a config: their
 * defaults, which are those of the flags. */
#pragma once
#include "proto/imap/imap.h"
#include "proto/mime/summary.h"
#include "proto/smtp/smtp.h"
#include "server/config.h"

static inline struct smtp_limits config_smtp_limits(const struct config *c)
{
    if (!c)
        return smtp_defaults;
    return (struct smtp_limits){
        .line = (uint32_t)c->max_smtp_line, .auth_line = (uint32_t)c->max_smtp_auth_line};
}

static inline struct summary_limits config_summary_limits(const struct config *c)
{
    if (!c)
        return summary_defaults;
    return (struct summary_limits){.field = (uint32_t)c->max_header_field,
        .header = (uint32_t)c->max_header,
        .depth = (uint32_t)c->max_mime_depth,
        .parts = (uint32_t)c->max_mime_parts,
        .addresses = (uint32_t)c->max_addresses,
        .pieces = (uint32_t)c->max_pieces};
}

static inline struct imap_parse_limits config_imap_limits(const struct config *c)
{
    if (!c)
        return imap_parse_defaults;
    return (struct imap_parse_limits){.depth = (uint32_t)c->max_imap_depth,
        .ranges = (uint32_t)c->max_imap_ranges,
        .name = {.octets = (uint16_t)c->max_mailbox_name,
            .levels = (uint16_t)c->max_mailbox_levels}};
}
