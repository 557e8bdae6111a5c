#include "store/log_image.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum status image_peek(
    struct input *in, uint32_t number, uint64_t bytes, struct checkpoint_header *h)
{
    char name[DISK_NAME_MAX];

    snprintf(name, sizeof name, CHECKPOINT_NAME, number);
    TRY(input_open(in, name, bytes, INPUT_WHOLE));
    TRY(input_need_only(in, 0, sizeof *h));
    if (in->unreadable)
        return STATUS_IO;
    TRY(checkpoint_header_read(in->window, h));
    return h->number == number ? STATUS_OK : STATUS_CORRUPT;
}

static enum status add_table(struct image *image, struct slice payload)
{
    size_t more = payload.len / sizeof *image->table;
    size_t count = image->table_count + more;
    struct checkpoint_segment *table;

    if (payload.len % sizeof *table != 0)
        return STATUS_CORRUPT;
    table = log_alloc(count * sizeof *table);
    if (!table)
        return STATUS_NO_MEMORY;
    if (image->table_count)
        memcpy(table, image->table, image->table_count * sizeof *table);
    if (more)
        memcpy(table + image->table_count, payload.at, payload.len);
    free(image->table);
    image->table = table;
    image->table_count = (uint32_t)count;
    return STATUS_OK;
}

static enum status check_end(
    const struct image *image, uint64_t offset, uint32_t frames, struct slice payload)
{
    struct checkpoint_end end;

    if (payload.len != sizeof end)
        return STATUS_CORRUPT;
    memcpy(&end, payload.at, sizeof end);
    return end.bytes == offset && end.frames == frames &&
            end.segments == image->table_count
        ? STATUS_OK
        : STATUS_CORRUPT;
}

/* The frame at `offset`, whole in the window. */
static enum status frame_at(struct input *in, const struct image *image, uint64_t offset,
    uint32_t index, struct frame_header *h, struct slice *payload)
{
    size_t want = sizeof *h;
    enum record_check check = RECORD_CUT;

    for (int tries = 0; tries < 2 && check == RECORD_CUT; tries++) {
        TRY(input_need(in, offset, want));
        check = frame_check(input_at(in, offset),
            in->window.len - (size_t)(offset - in->from), image->header.identity, offset,
            index, h, payload);
        want = sizeof *h + h->length;
    }
    if (in->unreadable)
        return STATUS_IO;
    return check == RECORD_VALID ? STATUS_OK : STATUS_CORRUPT;
}

static enum status read_frames(
    struct input *in, image_piece_fn *piece, void *arg, struct image *image)
{
    uint64_t offset = sizeof image->header;

    for (uint32_t index = 0;; index++) {
        struct frame_header h;
        struct slice payload;

        image->bad_at = offset;
        TRY(frame_at(in, image, offset, index, &h, &payload));
        switch ((enum frame_kind)h.kind) {
        case FRAME_PIECE:
            image->pieces++;
            if (piece)
                TRY(piece(arg, payload));
            break;
        case FRAME_SEGMENTS:
            TRY(add_table(image, payload));
            break;
        case FRAME_END:
            return check_end(image, offset, index, payload);
        }
        offset += record_span(h.length);
    }
}

enum status image_read(struct input *in, uint32_t number, uint64_t bytes,
    image_piece_fn *piece, void *arg, struct image *image)
{
    *image = (struct image){.bytes = bytes};
    TRY(image_peek(in, number, bytes, &image->header));
    return read_frames(in, piece, arg, image);
}

void image_free(struct image *image)
{
    free(image->table);
    image->table = NULL;
    image->table_count = 0;
}

const struct checkpoint_segment *image_segment(const struct image *image, uint32_t number)
{
    uint32_t low = 0, high = image->table_count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (image->table[middle].number < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low < image->table_count && image->table[low].number == number
        ? &image->table[low]
        : NULL;
}
