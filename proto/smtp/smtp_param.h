/* smtp_param.h -- private to proto/smtp: parameters of MAIL and RCPT. */
#pragma once
#include "proto/smtp/smtp.h"

/* One parameter: its value (empty where it has none) into *cmd. */
typedef enum smtp_reply smtp_param_fn(
    struct slice value, const struct smtp_rules *rules, struct smtp_cmd *cmd);

/* smtp_param_time.c */
smtp_param_fn smtp_param_hold_for, smtp_param_hold_until, smtp_param_by;

/* Reads all of `in`, "SP keyword[=value]" any number of times, into *cmd, whose verb
 * says which keywords there are. NONE, or the answer to the first bad one. */
enum smtp_reply smtp_params(
    struct slice in, const struct smtp_rules *rules, struct smtp_cmd *cmd);
