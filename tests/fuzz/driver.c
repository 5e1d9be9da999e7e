/*
 * Runs a fuzz target where the compiler has no libFuzzer: mutations of seeds, for a given time.
 *
 *   fuzz_NAME [-seconds=N] [-seed=N] [-max_len=N] [FILE|DIRECTORY...]
 *
 * A FILE alone is run once, unchanged (to look at a crash again). The input in hand is written to
 * the file crash-NAME in the current directory when the process is about to die of it.
 */
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#if defined(__SANITIZE_ADDRESS__)
void __sanitizer_set_death_callback(void (*callback)(void));
#endif

#define SEEDS_MAX     4096
#define INPUT_SECONDS 10 /* an input that takes longer is a finding */

struct input {
    uint8_t *bytes;
    size_t size;
};

struct driver {
    struct input seeds[SEEDS_MAX];
    size_t seed_count;
    size_t max_size;
    uint64_t state;
    uint8_t *scratch;
};

/* What the signal handler writes out. */
static struct input in_hand;
static char crash_name[64] = "crash-input";

static uint64_t next_random(struct driver *driver)
{
    uint64_t x = driver->state;

    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    driver->state = x;
    return x * 2685821657736338717ULL;
}

static size_t below(struct driver *driver, size_t limit)
{
    return limit ? (size_t)(next_random(driver) % limit) : 0;
}

static void save_input(void)
{
    int fd = open(crash_name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

    if (fd < 0)
        return;
    if (write(fd, in_hand.bytes, in_hand.size) == (ssize_t)in_hand.size)
        dprintf(STDERR_FILENO, "the input is in %s\n", crash_name);
    close(fd);
}

static void on_death(int number)
{
    dprintf(STDERR_FILENO, "signal %d%s\n", number, number == SIGALRM ? ": took too long" : "");
    save_input();
    signal(number, SIG_DFL);
    raise(number);
}

static void run(const uint8_t *bytes, size_t size)
{
    /* A copy of exactly this size, so that AddressSanitizer sees a read beyond it. */
    uint8_t *copy = malloc(size ? size : 1);

    if (copy == NULL)
        abort();
    memcpy(copy, bytes, size);
    in_hand = (struct input){copy, size};
    alarm(INPUT_SECONDS);
    LLVMFuzzerTestOneInput(copy, size);
    alarm(0);
    free(copy);
}

static void add_seed(struct driver *driver, const char *path)
{
    struct input *seed = &driver->seeds[driver->seed_count];
    struct stat stat_buf;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return;
    if (driver->seed_count < SEEDS_MAX && fstat(fd, &stat_buf) == 0 && S_ISREG(stat_buf.st_mode)) {
        size_t size = (size_t)stat_buf.st_size;

        seed->size = size < driver->max_size ? size : driver->max_size;
        seed->bytes = malloc(seed->size + 1);
        if (seed->bytes && read(fd, seed->bytes, seed->size) == (ssize_t)seed->size)
            driver->seed_count++;
        else
            free(seed->bytes);
    }
    close(fd);
}

static void add_seeds(struct driver *driver, const char *path)
{
    struct dirent *entry;
    DIR *dir = opendir(path);

    if (dir == NULL) {
        add_seed(driver, path);
        return;
    }
    while ((entry = readdir(dir))) {
        char name[PATH_MAX];

        if (entry->d_name[0] == '.')
            continue;
        snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
        add_seed(driver, name);
    }
    closedir(dir);
}

static void set_number(struct driver *driver, uint8_t *bytes, size_t size)
{
    static const uint64_t interesting[] = {
        0,          1,          2,      0x7f,       0x80,       0xff,       0x100,
        0xfff,      0x1000,     0x7fff, 0x8000,     0xffff,     0x7fffffff, 1ULL << 31,
        0xffffffff, 1ULL << 32, ~0ULL,  1ULL << 63, ~0ULL >> 1, ~0ULL - 63, ~0ULL - 4095,
        1ULL << 47};
    size_t width = (size_t)1 << below(driver, 4);
    uint64_t value = interesting[below(driver, sizeof(interesting) / sizeof(interesting[0]))];
    size_t at;

    if (size < width)
        return;
    at = below(driver, size - width + 1);
    if (below(driver, 2))
        at &= ~(width - 1);
    if (below(driver, 3) == 0)
        value += below(driver, 32) - 16;
    memcpy(bytes + at, &value, width);
}

static size_t insert(struct driver *driver, uint8_t *bytes, size_t size)
{
    size_t room = driver->max_size - size;
    size_t count = 1 + below(driver, 16);
    size_t at = below(driver, size + 1);

    if (count > room)
        return size;
    memmove(bytes + at + count, bytes + at, size - at);
    for (size_t i = 0; i < count; i++)
        bytes[at + i] =
            below(driver, 2) ? (uint8_t)next_random(driver) : bytes[below(driver, size)];
    return size + count;
}

static size_t cut(struct driver *driver, uint8_t *bytes, size_t size)
{
    size_t count = 1 + below(driver, size);
    size_t at = below(driver, size - count + 1);

    memmove(bytes + at, bytes + at + count, size - at - count);
    return size - count;
}

static size_t splice_seed(struct driver *driver, uint8_t *bytes, size_t size)
{
    const struct input *seed = &driver->seeds[below(driver, driver->seed_count)];
    size_t count = below(driver, seed->size + 1);
    size_t from = below(driver, seed->size - count + 1);
    size_t at = below(driver, size + 1);

    if (at + count > driver->max_size)
        count = driver->max_size - at;
    memcpy(bytes + at, seed->bytes + from, count);
    return at + count > size ? at + count : size;
}

static size_t mutate(struct driver *driver, uint8_t *bytes, size_t size)
{
    if (size == 0)
        return insert(driver, bytes, size);
    switch (below(driver, 8)) {
    case 0:
        bytes[below(driver, size)] ^= (uint8_t)(1 << below(driver, 8));
        return size;
    case 1:
        bytes[below(driver, size)] = (uint8_t)next_random(driver);
        return size;
    case 2:
    case 3:
    case 4:
        set_number(driver, bytes, size);
        return size;
    case 5:
        return insert(driver, bytes, size);
    case 6:
        return below(driver, 4) ? size : cut(driver, bytes, size);
    default:
        return splice_seed(driver, bytes, size);
    }
}

static uint64_t fuzz(struct driver *driver, unsigned seconds)
{
    time_t end = time(NULL) + (time_t)seconds;
    uint64_t runs = 0;

    for (; time(NULL) < end; runs++) {
        const struct input *seed = &driver->seeds[below(driver, driver->seed_count)];
        size_t size = seed->size;

        memcpy(driver->scratch, seed->bytes, size);
        for (size_t changes = 1 + below(driver, 6); changes > 0; changes--)
            size = mutate(driver, driver->scratch, size);
        run(driver->scratch, size);
    }
    return runs;
}

static void catch_death(void)
{
    static const int deadly[] = {SIGABRT, SIGALRM, SIGILL, SIGTRAP};

    for (size_t i = 0; i < sizeof(deadly) / sizeof(deadly[0]); i++)
        signal(deadly[i], on_death);
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_set_death_callback(save_input);
#else
    signal(SIGSEGV, on_death);
    signal(SIGBUS, on_death);
#endif
}

static unsigned long option(const char *word, const char *name, unsigned long otherwise)
{
    size_t length = strlen(name);

    return strncmp(word, name, length) == 0 ? strtoul(word + length, NULL, 10) : otherwise;
}

int main(int argc, char **argv)
{
    struct driver *driver = calloc(1, sizeof(*driver));
    const char *slash = strrchr(argv[0], '/');
    unsigned long seconds = 20;
    bool given = false;

    if (driver == NULL)
        return 1;
    snprintf(crash_name, sizeof(crash_name), "crash-%s", slash ? slash + 1 : argv[0]);
    driver->max_size = 65536;
    driver->state = 0x9e3779b97f4a7c15ULL ^ (uint64_t)time(NULL);
    for (int i = 1; i < argc; i++) {
        seconds = option(argv[i], "-seconds=", seconds);
        driver->max_size = option(argv[i], "-max_len=", driver->max_size);
        driver->state = option(argv[i], "-seed=", driver->state) | 1;
    }
    driver->scratch = malloc(driver->max_size + 1);
    catch_death();
    for (int i = 1; i < argc; i++)
        if (argv[i][0] != '-') {
            add_seeds(driver, argv[i]);
            given = true;
        }
    for (size_t i = 0; i < driver->seed_count; i++)
        run(driver->seeds[i].bytes, driver->seeds[i].size);
    if (given && driver->seed_count == 1 && argc == 2) {
        printf("one input, no crash\n");
        return 0;
    }
    if (driver->seed_count == 0)
        driver->seeds[driver->seed_count++] = (struct input){calloc(1, 64), 64};
    printf("%llu runs, %zu seeds\n", (unsigned long long)fuzz(driver, (unsigned)seconds),
           driver->seed_count);
    for (size_t i = 0; i < driver->seed_count; i++)
        free(driver->seeds[i].bytes);
    free(driver->scratch);
    free(driver);
    return 0;
}
