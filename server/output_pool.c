#include "server/output_pool.h"

#include <stdlib.h>

#include "server/conn_state.h"

enum { FREE_BLOCKS_MAX = 256, FREE_OUTPUTS_MAX = 256, FREE_PIECES_MAX = 1024 };

struct output_block *output_take_block(struct thread *t)
{
    struct thread_state *s = t->state;
    struct output_block *block = s->free_blocks;

    if (block) {
        s->free_blocks = block->next;
        s->free_block_count--;
    } else {
        block = aligned_alloc(64, sizeof *block);
        if (!block)
            return NULL;
    }
    t->stats.buffered += BLOCK_BYTES;
    block->refs = 1;
    block->used = 0;
    return block;
}

void output_drop_block(struct thread *t, struct output_block *block)
{
    struct thread_state *s = t->state;

    if (!block || --block->refs > 0)
        return;
    t->stats.buffered -= BLOCK_BYTES;
    if (s->free_block_count >= FREE_BLOCKS_MAX) {
        free(block);
        return;
    }
    block->next = s->free_blocks;
    s->free_blocks = block;
    s->free_block_count++;
}

struct output_piece *output_take_piece(struct thread *t)
{
    struct thread_state *s = t->state;
    struct output_piece *piece = s->free_pieces;

    if (!piece)
        return calloc(1, sizeof *piece);
    s->free_pieces = piece->next;
    s->free_piece_count--;
    return memset(piece, 0, sizeof *piece);
}

void output_drop_piece(struct thread *t, struct output_piece *piece)
{
    struct thread_state *s = t->state;

    if (piece->release)
        piece->release(piece->arg);
    output_drop_block(t, piece->block);
    if (s->free_piece_count >= FREE_PIECES_MAX) {
        free(piece);
        return;
    }
    piece->next = s->free_pieces;
    s->free_pieces = piece;
    s->free_piece_count++;
}

struct conn_output *output_take(struct thread *t)
{
    struct thread_state *s = t->state;
    struct conn_output *o = s->free_outputs;

    if (o) {
        s->free_outputs = o->next;
        s->free_output_count--;
    } else {
        o = malloc(sizeof *o);
    }
    if (!o)
        return NULL;
    memset(o, 0, offsetof(struct conn_output, iov));
    o->plain.tail = &o->plain.head;
    o->wire.tail = &o->wire.head;
    return o;
}

void output_drop(struct thread *t, struct conn_output *o)
{
    struct thread_state *s = t->state;

    output_drop_block(t, o->window);
    output_drop_block(t, o->sealing);
    if (s->free_output_count >= FREE_OUTPUTS_MAX) {
        free(o);
        return;
    }
    o->next = s->free_outputs;
    s->free_outputs = o;
    s->free_output_count++;
}

void conn_pools_close(struct thread *t)
{
    struct thread_state *s = t->state;

    while (s->free_blocks) {
        struct output_block *block = s->free_blocks;

        s->free_blocks = block->next;
        free(block);
    }
    while (s->free_pieces) {
        struct output_piece *piece = s->free_pieces;

        s->free_pieces = piece->next;
        free(piece);
    }
    while (s->free_outputs) {
        struct conn_output *o = s->free_outputs;

        s->free_outputs = o->next;
        free(o);
    }
}
