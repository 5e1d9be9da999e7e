/*
 * Memory by an allocator of the program's choice, with an account of what is handed out.
 *
 * In front of each block lies a note of ours: how long it is, who frees it and whose account it is
 * on. So nothing is asked of the allocator but memory: it needs no malloc_usable_size(), may align
 * as it likes, and may be exchanged while blocks of it are in use.
 */
#include <errno.h>
#include <stdlib.h>

#include "api/api-internal.h"

/*
 * The account outlives its kernel as long as a block is on it. `bytes` and `references` are atomic;
 * the lock keeps the two functions together.
 */
struct api_memory {
    atomic_uint references;
    atomic_uint_fast64_t bytes;
    pthread_mutex_t lock;
    void *(*malloc_fn)(size_t size);
    void (*free_fn)(void *memory);
};

/* Ends where the block begins. */
struct note {
    struct api_memory *account;
    size_t size;
    void (*free_fn)(void *memory);
    void *start; /* what the allocator gave */
};

#define ALIGNMENT ((size_t) _Alignof(max_align_t))
#define OVERHEAD  (sizeof(struct note) + ALIGNMENT - 1)
_Static_assert(sizeof(struct note) % _Alignof(max_align_t) == 0, "a block behind it is aligned");

struct api_memory *api_memory_new(void)
{
    struct api_memory *account = calloc(1, sizeof(*account));

    if (account == NULL)
        return NULL;
    atomic_init(&account->references, 1);
    pthread_mutex_init(&account->lock, NULL);
    account->malloc_fn = malloc;
    account->free_fn = free;
    return account;
}

void api_memory_unref(struct api_memory *account)
{
    if (atomic_fetch_sub(&account->references, 1) > 1)
        return;
    pthread_mutex_destroy(&account->lock);
    free(account);
}

uint64_t api_memory_allocated(const struct api_memory *account)
{
    return atomic_load(&account->bytes);
}

static process_kernel_t *this_or_current(process_kernel_t *kernel)
{
    if (kernel == NULL)
        kernel = pk_get_current();
    if (kernel == NULL)
        api_fail(EINVAL, "name a kernel; NULL is the handler's own", "there is no current kernel");
    return kernel;
}

PK_API int pk_register_allocator(process_kernel_t *kernel, void *(*malloc_fn)(size_t),
                                 void (*free_fn)(void *))
{
    struct api_memory *account;

    kernel = this_or_current(kernel);
    if (kernel == NULL)
        return -EINVAL;
    if ((malloc_fn == NULL) != (free_fn == NULL))
        return api_fail(EINVAL, "give both functions, or neither",
                        "an allocator is two functions, one that allocates and one that frees");
    account = kernel->memory;
    pthread_mutex_lock(&account->lock);
    account->malloc_fn = malloc_fn ? malloc_fn : malloc;
    account->free_fn = free_fn ? free_fn : free;
    pthread_mutex_unlock(&account->lock);
    return 0;
}

/* The allocator runs without the lock: it may wait, or end in a fault that the fence catches. */
static struct note *allocate(struct api_memory *account, size_t size)
{
    void *(*malloc_fn)(size_t size);
    void (*free_fn)(void *memory);
    uintptr_t block;
    struct note *note;
    void *start;

    pthread_mutex_lock(&account->lock);
    malloc_fn = account->malloc_fn;
    free_fn = account->free_fn;
    pthread_mutex_unlock(&account->lock);
    start = malloc_fn(size + OVERHEAD);
    if (start == NULL)
        return NULL;
    block = ((uintptr_t)start + OVERHEAD) / ALIGNMENT * ALIGNMENT;
    note = (struct note *)block - 1;
    *note = (struct note){.account = account, .size = size, .free_fn = free_fn, .start = start};
    return note;
}

PK_API void *pk_malloc(process_kernel_t *kernel, size_t size)
{
    struct note *note;

    kernel = this_or_current(kernel);
    if (kernel == NULL) {
        errno = EINVAL;
        return NULL;
    }
    note = size <= PTRDIFF_MAX - OVERHEAD ? allocate(kernel->memory, size) : NULL;
    if (note == NULL) {
        api_fail(ENOMEM, NULL, "the allocator of kernel %s has no %zu bytes", kernel->name, size);
        errno = ENOMEM;
        return NULL;
    }
    atomic_fetch_add(&note->account->references, 1);
    atomic_fetch_add(&note->account->bytes, size);
    return note + 1;
}

PK_API void pk_free(process_kernel_t *kernel, void *memory)
{
    struct note note;

    (void)kernel; /* the note knows better */
    if (memory == NULL)
        return;
    note = ((struct note *)memory)[-1];
    atomic_fetch_sub(&note.account->bytes, note.size);
    note.free_fn(note.start);
    api_memory_unref(note.account);
}
