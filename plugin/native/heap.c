/* malloc for a process that lives for milliseconds, in memory that is part of the snapshot (state.ld).
 *
 * Blocks below LARGE come in size classes from `region`, then from fresh mappings, and go back to a free list. Larger
 * blocks are mappings of their own; they must not exist when the snapshot is taken (heap_large_blocks tells). The plugin
 * has one thread, so nothing is locked. CPython's own small-object allocator sits on top and takes its arena here.
 */
#define _GNU_SOURCE
#include "native.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>

#define HEADER 16 /* holds the block's usable size, and keeps the payload aligned for any type */
#define SMALLEST 32
#define LARGE (512 << 10)
#define CLASSES 29 /* 32, 48, 64, 96, … 512 KiB */
#define MORE (1 << 20)
#define PAGE 4096

static char region[1 << 20] __attribute__((aligned(PAGE)));
static char *next = region;
static char *end = region + sizeof region;
static void *free_blocks[CLASSES];
static long large_blocks;

#define ARENA (1 << 20) /* size and alignment that CPython's small-object allocator wants */
#define ARENAS 2
static char arenas[ARENAS][ARENA] __attribute__((aligned(16 << 10)));
static int arenas_taken;

static size_t *header_of(void *block) { return (size_t *)((char *)block - HEADER); }

/* Powers of two from SMALLEST, and 1.5 times each: at most a third of a block is unused. */
static size_t class_size(unsigned class) {
    size_t size = (size_t)SMALLEST << (class / 2);
    return class % 2 ? size + size / 2 : size;
}

static unsigned class_for(size_t size) {
    unsigned class = 0;
    while (class_size(class) < size) {
        class ++;
    }
    return class;
}

static void *map(size_t size) {
    void *mapped = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED) {
        errno = ENOMEM;
        return NULL;
    }
    return mapped;
}

static void *large(size_t size) {
    size_t whole = (size + HEADER + PAGE - 1) & ~(size_t)(PAGE - 1);
    char *mapped = whole > size ? map(whole) : NULL;
    if (mapped == NULL) {
        errno = ENOMEM;
        return NULL;
    }
    large_blocks++;
    void *block = mapped + HEADER;
    *header_of(block) = whole - HEADER;
    return block;
}

void *malloc(size_t size) {
    if (size > LARGE) {
        return large(size);
    }
    unsigned class = class_for(size);
    size_t usable = class_size(class);
    void *block = free_blocks[class];
    if (block != NULL) {
        free_blocks[class] = *(void **)block;
        return block;
    }
    if ((size_t)(end - next) < HEADER + usable) {
        char *mapped = map(MORE); /* what is left of the old piece is lost; it is less than LARGE */
        if (mapped == NULL) {
            return NULL;
        }
        next = mapped;
        end = mapped + MORE;
    }
    block = next + HEADER;
    *header_of(block) = usable;
    next += HEADER + usable;
    return block;
}

void free(void *block) {
    if (block == NULL) {
        return;
    }
    size_t usable = *header_of(block);
    if (usable > LARGE) {
        large_blocks--;
        munmap(header_of(block), usable + HEADER);
        return;
    }
    unsigned class = class_for(usable);
    *(void **)block = free_blocks[class];
    free_blocks[class] = block;
}

void *calloc(size_t count, size_t size) {
    size_t whole;
    if (__builtin_mul_overflow(count, size, &whole)) {
        errno = ENOMEM;
        return NULL;
    }
    void *block = malloc(whole);
    return block ? memset(block, 0, whole) : NULL;
}

void *realloc(void *block, size_t size) {
    if (block == NULL) {
        return malloc(size);
    }
    size_t usable = *header_of(block);
    if (size <= usable) {
        return block;
    }
    void *moved = malloc(size);
    if (moved != NULL) {
        memcpy(moved, block, usable);
        free(block);
    }
    return moved;
}

/* Asked for arenas of small objects (ARENA bytes) and for the stack of Python frames (16 KiB pieces). */
void *heap_arena(void *context, size_t size) {
    (void)context;
    if (size == ARENA && arenas_taken < ARENAS) {
        return arenas[arenas_taken++];
    }
    if (size <= LARGE) {
        return malloc(size);
    }
    large_blocks++;
    return map(size);
}

void heap_arena_free(void *context, void *arena, size_t size) {
    (void)context;
    if ((char *)arena >= arenas[0] && (char *)arena < arenas[ARENAS]) {
        return; /* it is not used again; there are few */
    }
    if (size <= LARGE) {
        free(arena);
        return;
    }
    large_blocks--;
    munmap(arena, size);
}

int heap_is_in_state(void) { return large_blocks == 0 && end == region + sizeof region; }
