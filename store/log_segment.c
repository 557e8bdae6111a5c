/* The table of segments: who is there, how much of each is alive, what holds it. */
#include "store/log_parts.h"

#include <stdlib.h>
#include <string.h>

struct log_segment *segment_new(
    uint32_t shard, uint32_t number, uint32_t epoch, uint32_t identity, uint32_t bytes)
{
    struct log_segment *s = log_alloc(sizeof *s);

    if (!s)
        return NULL;
    s->shard = shard;
    s->links = 1;
    s->number = number;
    s->epoch = epoch;
    s->identity = identity;
    s->bytes = bytes;
    s->end = FORMAT_BLOCK;
    s->writer = -1;
    return s;
}

/* --- the table --- */

enum status segment_table_room(struct log *log, unsigned more)
{
    unsigned room = log->segment_room ? log->segment_room * 2 : 64;
    struct log_segment **segments;
    uint32_t *numbers;

    if (log->segment_room - log->segment_count >= more)
        return STATUS_OK;
    while (room - log->segment_count < more)
        room *= 2;
    segments = log_alloc(room * sizeof *segments);
    numbers = log_alloc(room * sizeof *numbers);
    if (!segments || !numbers) {
        free(segments);
        free(numbers);
        return STATUS_NO_MEMORY;
    }
    if (log->segment_count) {
        memcpy(segments, log->segments, log->segment_count * sizeof *segments);
        memcpy(numbers, log->numbers, log->segment_count * sizeof *numbers);
    }
    free(log->segments);
    free(log->numbers);
    log->segments = segments;
    log->numbers = numbers;
    log->segment_room = room;
    return STATUS_OK;
}

/* Index of the first segment whose number is not below `number`. Numbers are dense but
 * for removed ones, so the answer is never right of where it would be without gaps. */
static unsigned table_at(const struct log *log, uint32_t number)
{
    unsigned low = 0, high = log->segment_count;

    if (high && number >= log->numbers[0] && number - log->numbers[0] < high) {
        high = number - log->numbers[0];
        if (log->numbers[high] == number)
            return high;
        high++;
    }
    while (low < high) {
        unsigned middle = low + (high - low) / 2;

        if (log->numbers[middle] < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void segment_table_add(struct log *log, struct log_segment *segment)
{
    unsigned at = table_at(log, segment->number), after = log->segment_count - at;

    CHECK(log->segment_count < log->segment_room);
    CHECK(after == 0 || log->numbers[at] != segment->number);
    memmove(log->segments + at + 1, log->segments + at, after * sizeof *log->segments);
    memmove(log->numbers + at + 1, log->numbers + at, after * sizeof *log->numbers);
    log->segments[at] = segment;
    log->numbers[at] = segment->number;
    log->segment_count++;
    log->adopted += segment->adopted;
}

void segment_table_drop(struct log *log, struct log_segment *segment)
{
    unsigned at = table_at(log, segment->number);
    unsigned after = log->segment_count - at - 1;

    CHECK(at < log->segment_count && log->segments[at] == segment);
    memmove(log->segments + at, log->segments + at + 1, after * sizeof *log->segments);
    memmove(log->numbers + at, log->numbers + at + 1, after * sizeof *log->numbers);
    log->segment_count--;
    log->adopted -= segment->adopted;
}

struct log_segment *segment_find(const struct log *log, uint32_t number)
{
    unsigned at;

    if (log->current && log->current->number == number)
        return log->current;
    at = table_at(log, number);
    return at < log->segment_count && log->numbers[at] == number ? log->segments[at]
                                                                 : NULL;
}

bool log_segment_at(const struct log *log, unsigned i, struct log_segment_info *info)
{
    const struct log_segment *s;

    if (i >= log->segment_count)
        return false;
    s = log->segments[i];
    *info = (struct log_segment_info){
        .number = s->number,
        .sealed = s->sealed,
        .retired = s->retired,
        .adopted = s->adopted,
        .used_bytes = s->end / s->links,
        .live_bytes = s->live_bytes,
    };
    return true;
}

void log_live(struct log *log, uint64_t place, int64_t bytes)
{
    struct log_segment *s = segment_find(log, PLACE_SEGMENT(place));

    if (!s)
        return;
    if (bytes < 0 && (uint64_t)-bytes > s->live_bytes)
        s->live_bytes = 0;
    else
        s->live_bytes += (uint64_t)bytes;
}

void log_live_is(struct log *log, uint32_t segment, uint64_t bytes)
{
    struct log_segment *s = segment_find(log, segment);

    if (s)
        s->live_bytes = bytes;
}

/* --- the list of segments as a record --- */

/* Puts an 8-byte entry at `at` + `bytes`, unless only the size is wanted. */
static size_t put_entry(char *at, size_t bytes, uint32_t first, uint32_t second)
{
    const uint32_t entry[2] = {first, second};

    if (at)
        memcpy(at + bytes, entry, sizeof entry);
    return bytes + sizeof entry;
}

static size_t put_ranges(const struct log *log, char *at, size_t bytes)
{
    struct segment_range range = {0};

    for (unsigned i = 0; i < log->segment_count; i++) {
        if (log->segments[i]->doomed || log->segments[i]->adopted)
            continue;
        if (range.count && log->numbers[i] == range.first + range.count) {
            range.count++;
            continue;
        }
        if (range.count)
            bytes = put_entry(at, bytes, range.first, range.count);
        range = (struct segment_range){log->numbers[i], 1};
    }
    return range.count ? put_entry(at, bytes, range.first, range.count) : bytes;
}

static size_t put_cuts(const struct log *log, char *at, size_t bytes)
{
    for (unsigned i = 0; i < log->segment_count; i++) {
        const struct log_segment *s = log->segments[i];

        if (s->cut && !s->doomed)
            bytes = put_entry(at, bytes, s->number, s->end);
    }
    return bytes;
}

static size_t put_run(char *at, size_t bytes, const struct segment_run *run)
{
    if (at && run->count)
        memcpy(at + bytes, run, sizeof *run);
    return run->count ? bytes + sizeof *run : bytes;
}

static size_t put_runs(const struct log *log, char *at, size_t bytes)
{
    struct segment_run run = {0};

    for (unsigned i = 0; i < log->segment_count; i++) {
        const struct log_segment *s = log->segments[i];

        if (s->doomed || !s->adopted)
            continue;
        if (run.count && s->number == run.first + run.count && s->shard == run.shard &&
            s->epoch == run.epoch) {
            run.count++;
            continue;
        }
        bytes = put_run(at, bytes, &run);
        run = (struct segment_run){s->number, 1, s->shard, s->epoch};
    }
    return put_run(at, bytes, &run);
}

size_t segment_list_write(const struct log *log, char *at)
{
    const size_t entry = sizeof(struct segment_range);
    size_t ranges = put_ranges(log, at, sizeof(struct segment_list));
    size_t cuts = put_cuts(log, at, ranges);
    size_t bytes = put_runs(log, at, cuts + sizeof(struct segment_adoption));
    size_t runs = (bytes - cuts) / sizeof(struct segment_run);

    put_entry(at, 0, (uint32_t)(ranges / entry - 1), (uint32_t)((cuts - ranges) / entry));
    put_entry(at, cuts, log->adopting ? 0 : log->own_from, (uint32_t)runs);
    return bytes;
}

/* --- what holds a segment --- */

void segment_release(struct log *log, struct log_segment *segment)
{
    CHECK(segment->holds > 0);
    segment->holds--;
    if (segment->holds == 0 && segment->retired)
        log->janitor.due = true;
}

void segment_settled(struct log *log, struct log_segment *segment)
{
    if (segment->writer < 0 || segment->closing)
        return;
    segment->closing = true;
    list_add(&log->closers, &segment->closing_link);
}

void log_pin(struct log *log, struct log_pin *pin)
{
    pin->epoch = ++log->pin_clock;
    list_add(&log->pins, &pin->link);
}

void log_unpin(struct log *log, struct log_pin *pin)
{
    list_remove(&pin->link);
    if (!list_empty(&log->retired))
        log->janitor.due = true;
}

void log_retire(struct log *log, uint32_t number)
{
    struct log_segment *s = segment_find(log, number);

    if (!s || s->retired)
        return;
    CHECK(s->sealed);
    s->retired = true;
    s->retired_at = log->checkpoints_begun;
    s->pin_stamp = ++log->pin_clock;
    list_add(&log->retired, &s->link);
    log->janitor.due = true;
}

uint64_t log_disk_bytes(const struct log *log)
{
    uint64_t bytes = log->prepare.segment ? log->prepare.segment->bytes : 0;

    for (unsigned i = 0; i < log->prepared_count; i++)
        bytes += log->prepared[i]->bytes;
    for (unsigned i = 0; i < log->segment_count; i++)
        bytes += log->segments[i]->bytes /
            (log->segments[i]->adopted ? log->segments[i]->links : 1);
    return bytes + log->kept[0].bytes + log->kept[1].bytes;
}
