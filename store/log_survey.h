/* log_survey.h -- what the recovery knows before it replays, and how it reports. */
#pragma once
#include "store/log_recover.h"

/* Opens the file of the segment as r->in. */
enum status survey_open(struct recovery *r, const struct found *s, enum input_use use);

/* The block at `at` holds nothing. */
bool survey_zero(const char *at);

/* Something does not read as it was written; the start goes on. */
void survey_damage(struct recovery *r, uint32_t segment, uint64_t offset, uint64_t bytes,
    const char *what);

/* Something that must stop the start: told, and returned as `status`, or OK when the
 * caller has agreed to losses. */
enum status survey_refuse(struct recovery *r, enum status status, uint32_t segment,
    uint64_t offset, const char *what);

/* A segment number is in use, or was: no new segment may have it. */
static inline void survey_number(struct recovery *r, uint32_t number)
{
    if (number > r->highest_segment)
        r->highest_segment = number;
}

/* The payload of a seal of segment s: the next one must be there. */
enum status survey_sealed(struct recovery *r, struct found *s, struct slice payload);
