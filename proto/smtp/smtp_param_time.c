/* Parameters of MAIL that name a time: when to send on (RFC 4865), and until when it is
 * to be there (RFC 2852). */
#include "proto/smtp/smtp_param.h"

#include "proto/smtp/smtp_trace.h"

enum { SECONDS_DIGITS = 9 };

/* 1 to 9 digits; -1 when that is not what it is. */
static int64_t take_seconds(struct slice text)
{
    uint64_t seconds;

    if (text.len == 0 || text.len > SECONDS_DIGITS || !slice_u64(text, &seconds))
        return -1;
    return (int64_t)seconds;
}

/* The one hold parameter a message may have (RFC 4865, 4.2, 9). */
static enum smtp_reply hold(struct slice value, int64_t until_s,
    const struct smtp_rules *rules, struct smtp_cmd *cmd)
{
    if (cmd->hold_until_s || until_s <= rules->now_s ||
        until_s > rules->now_s + rules->hold_max_s)
        return SMTP_REPLY_BAD_PARAM;
    cmd->hold_until_s = until_s;
    cmd->hold = value;
    return SMTP_REPLY_NONE;
}

enum smtp_reply smtp_param_hold_for(
    struct slice value, const struct smtp_rules *rules, struct smtp_cmd *cmd)
{
    int64_t seconds = take_seconds(value);

    if (seconds <= 0 || value.at[0] == '0')
        return SMTP_REPLY_BAD_PARAM;
    return hold(value, rules->now_s + seconds, rules, cmd);
}

enum smtp_reply smtp_param_hold_until(
    struct slice value, const struct smtp_rules *rules, struct smtp_cmd *cmd)
{
    int64_t until_s;

    if (!smtp_utc(value, &until_s))
        return SMTP_REPLY_BAD_PARAM;
    return hold(value, until_s, rules, cmd);
}

/* by-time;by-mode[by-trace]. With mode N it may have passed already. */
enum smtp_reply smtp_param_by(
    struct slice value, const struct smtp_rules *rules, struct smtp_cmd *cmd)
{
    struct slice time;
    bool negative;
    int64_t seconds;

    if (value.len == 0)
        return SMTP_REPLY_BAD_PARAM;
    time = slice_take(&value, slice_find(value, ';'));
    negative = time.len && time.at[0] == '-';
    if (time.len && (negative || time.at[0] == '+'))
        slice_take(&time, 1);
    seconds = take_seconds(time);
    if (seconds < 0 || value.len < 2 || value.len > 3)
        return SMTP_REPLY_BAD_PARAM;
    cmd->by_notify = ascii_lower(value.at[1]) == 'n';
    cmd->by_trace = value.len == 3;
    if ((!cmd->by_notify && ascii_lower(value.at[1]) != 'r') ||
        (cmd->by_trace && ascii_lower(value.at[2]) != 't'))
        return SMTP_REPLY_BAD_PARAM;
    if (!cmd->by_notify && (negative || seconds == 0))
        return SMTP_REPLY_BAD_PARAM;
    cmd->by_s = rules->now_s + (negative ? -seconds : seconds);
    return SMTP_REPLY_NONE;
}
