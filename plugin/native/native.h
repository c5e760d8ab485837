/* What the parts of the binary know of each other. */
#ifndef VPCCNI_NATIVE_H
#define VPCCNI_NATIVE_H

#include <stddef.h>

/* heap.c: arenas for CPython's allocator (PyObjectArenaAllocator), and whether all memory in use is in .pystate. */
void *heap_arena(void *context, size_t size);
void heap_arena_free(void *context, void *arena, size_t size);
int heap_is_in_state(void);

/* modules.c: makes import find the plugin's modules, and loads them all. 0, or -1 with a Python exception. */
int modules_install(void);
int modules_load(void);

#endif
