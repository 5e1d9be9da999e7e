/* Changing what is looked at between check and use: names, directories, the path in memory. */
#include "attack.h"

#include <linux/fs.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

enum { TRIES = 100000, SECONDS = 4 };

static volatile int stop;
static char *volatile buffer;
static const char *good;
static const char *bad;

static bool goes_on(int try, uint64_t start)
{
    return try < TRIES && guest_now_ns() - start < SECONDS * 1000000000ULL;
}

static void check_content(int fd, const char *what)
{
    char text[64] = "";

    if (fd < 0)
        return;
    if (pread(fd, text, sizeof(text) - 1, 0) > 0 && strstr(text, "SECRET"))
        FAIL("ESCAPED: %s read the secret", what);
    close(fd);
}

static void *exchange(void *argument)
{
    const char *const *names = argument;

    while (!stop)
        syscall(SYS_renameat2, AT_FDCWD, names[0], AT_FDCWD, names[1], RENAME_EXCHANGE);
    return NULL;
}

static pthread_t start_thread(void *(*body)(void *), void *argument)
{
    pthread_t thread;

    CHECK_EQ(pthread_create(&thread, NULL, body, argument), 0);
    return thread;
}

static void finish(pthread_t thread, const char *what, int tries, int opened)
{
    stop = 1;
    pthread_join(thread, NULL);
    attack_tried(what, guest_format("%d tries, %d opened the harmless one", tries, opened));
    CHECK(tries > 100);
}

/* The last component is now a file, now a link to the secret. */
static void file_and_link(void)
{
    static const char *names[] = {"thing", "other"};
    uint64_t start = guest_now_ns();
    pthread_t thread;
    int opened = 0;
    int try = 0;

    guest_write("thing", "harmless");
    OK(symlink(attack_env("GUEST_SECRET"), "other"));
    thread = start_thread(exchange, names);
    for (; goes_on(try, start); try++) {
        int fd = open("thing", try % 2 ? O_RDONLY | O_NOFOLLOW : O_RDONLY);

        opened += fd >= 0;
        check_content(fd, "a link exchanged during open");
    }
    finish(thread, "a file exchanged for a link", try, opened);
}

/* A directory on the way is now a directory, now a link to a directory outside. */
static void directory_and_link(void)
{
    static const char *names[] = {"dir", "other"};
    const char *secret = attack_env("GUEST_SECRET");
    const char *base = strrchr(secret, '/') + 1;
    char *parent = strndup(secret, (size_t)(base - secret));
    char *path = guest_format("dir/%s", base);
    char *fresh = guest_format("dir/made-by-race-%d", getpid());
    uint64_t start = guest_now_ns();
    pthread_t thread;
    int opened = 0;
    int try = 0;

    OK(mkdir("dir", 0777));
    guest_write(path, "harmless");
    OK(symlink(parent, "other"));
    thread = start_thread(exchange, names);
    for (; goes_on(try, start); try++) {
        int fd = open(path, O_RDONLY);

        opened += fd >= 0;
        check_content(fd, "a directory exchanged during open");
        /* Made things must stay inside: the test looks at the host. */
        fd = open(fresh, O_WRONLY | O_CREAT, 0666);
        if (fd >= 0) {
            close(fd);
            unlink(fresh);
        }
    }
    finish(thread, "a directory exchanged for a link", try, opened);
}

static void *move_about(void *argument)
{
    while (!stop) {
        rename("a/b/c", "c");
        rename("c", "a/b/c");
    }
    return argument;
}

/* ".." of a directory that is moved towards the root at the same time. */
static void moving_directory(void)
{
    const char *secret = attack_env("GUEST_SECRET");
    char up[400] = "a/b/c";
    uint64_t start = guest_now_ns();
    pthread_t thread;
    int opened = 0;
    int try = 0;

    OK(mkdir("a", 0777));
    OK(mkdir("a/b", 0777));
    OK(mkdir("a/b/c", 0777));
    for (int i = 0; i < 40; i++)
        strncat(up, "/..", sizeof(up) - strlen(up) - 1);
    thread = start_thread(move_about, NULL);
    for (; goes_on(try, start); try++) {
        int fd = open(guest_format("%s%s", up, secret), O_RDONLY);

        opened += fd >= 0;
        check_content(fd, "a moving directory");
        fd = open("a/b/c/../../../a/b/../../.", O_RDONLY | O_DIRECTORY);
        if (fd >= 0)
            check_content(openat(fd, guest_format("../../../../../../../..%s", secret), O_RDONLY),
                          "a directory that moved");
        if (fd >= 0)
            close(fd);
    }
    finish(thread, "a directory that moves", try, opened);
}

static void *rewrite(void *argument)
{
    size_t length = strlen(good) + 1;

    while (!stop) {
        memcpy(buffer, bad, length);
        memcpy(buffer, good, length);
    }
    return argument;
}

static void prepare_buffer(const char *harmless)
{
    const char *secret = attack_env("GUEST_SECRET");
    size_t length = strlen(secret);
    char *padded = malloc(length + strlen(harmless) + 2);
    size_t slashes;

    /* Both names have the same length: the harmless one gets more slashes. */
    CHECK(strlen(harmless) <= length);
    slashes = length - strlen(harmless);
    memset(padded, '/', slashes);
    memcpy(padded + slashes, harmless, strlen(harmless) + 1);
    good = padded;
    bad = secret;
    buffer = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memcpy(buffer, good, length + 1);
}

/* The path changes in memory while the call is being decided. */
static void path_in_memory(void)
{
    uint64_t start = guest_now_ns();
    pthread_t thread;
    int opened = 0;
    int try = 0;

    prepare_buffer("/etc/group");
    thread = start_thread(rewrite, NULL);
    for (; goes_on(try, start); try++) {
        struct stat stat_buf;
        int fd = open(buffer, O_RDONLY);

        opened += fd >= 0;
        check_content(fd, "a path rewritten during open");
        if (try % 4 == 0 && stat(buffer, &stat_buf) == 0 && stat_buf.st_size == 4711)
            FAIL("ESCAPED: stat of a rewritten path saw the secret");
    }
    finish(thread, "a path rewritten in memory", try, opened);
}

/* The same for a program: the host must never look up a name that a guest can write. */
static void program_in_memory(void)
{
    uint64_t start = guest_now_ns();
    pthread_t thread;
    int ran = 0;
    int try = 0;

    prepare_buffer("/bin/true");
    thread = start_thread(rewrite, NULL);
    for (; goes_on(try, start) && try < 3000; try++) {
        pid_t pid = vfork();
        int status;

        if (pid == 0) {
            execl(buffer, "x", NULL);
            _exit(9);
        }
        status = guest_wait(pid);
        /* The secret is a script that exits with 66. */
        if (WIFEXITED(status) && WEXITSTATUS(status) == 66)
            FAIL("ESCAPED: a program outside the view ran");
        ran += status == 0;
    }
    finish(thread, "a program's path rewritten in memory", try, ran);
}

static void *rewrite_flags(void *argument)
{
    volatile uint64_t *how = argument;

    while (!stop) {
        how[2] = 0x10; /* RESOLVE_IN_ROOT */
        how[2] = 0;
        how[0] = O_RDWR | O_CREAT;
        how[0] = O_RDONLY;
    }
    return NULL;
}

static void open_how_in_memory(void)
{
    static volatile uint64_t how[3];
    const char *secret = attack_env("GUEST_SECRET");
    uint64_t start = guest_now_ns();
    pthread_t thread = start_thread(rewrite_flags, (void *)how);
    int root = (int)OK(open("/", O_RDONLY | O_DIRECTORY));
    int try = 0;

    for (; goes_on(try, start) && try < 30000; try++)
        check_content((int)syscall(SYS_openat2, root, secret, how, sizeof(how)),
                      "openat2 with rewritten flags");
    finish(thread, "struct open_how rewritten in memory", try, 0);
}

static const struct guest_case cases[] = {
    {"file-and-link", file_and_link},         {"directory-and-link", directory_and_link},
    {"moving-directory", moving_directory},   {"path-in-memory", path_in_memory},
    {"program-in-memory", program_in_memory}, {"open-how-in-memory", open_how_in_memory},
};

GUEST_MAIN(cases)
