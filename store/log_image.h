/* log_image.h -- checkpoints as they are read. Blocks: start and check only. */
#pragma once
#include "store/format.h"
#include "store/log_input.h"

struct image {
    struct checkpoint_header header;
    struct checkpoint_segment *table; /* owned */
    uint32_t table_count;
    uint64_t bytes; /* of the file */
    uint64_t pieces;
    uint64_t bad_at; /* offset at which it is not valid */
};

typedef enum status image_piece_fn(void *arg, struct slice piece);

/* Reads checkpoint `number` from end to end, and hands each piece to `piece` unless that
 * is NULL. CORRUPT: not whole; IO; INVALID: of a newer version; NO_MEMORY; or what
 * `piece` returned. *image is filled as far as it goes; give it to image_free(). */
enum status image_read(struct input *in, uint32_t number, uint64_t bytes,
    image_piece_fn *piece, void *arg, struct image *image);

/* The header only. */
enum status image_peek(
    struct input *in, uint32_t number, uint64_t bytes, struct checkpoint_header *h);

void image_free(struct image *image);

/* True when the segment was part of the log when the checkpoint began. */
const struct checkpoint_segment *image_segment(
    const struct image *image, uint32_t number);
