/* Two threads or processes at one thing: what must hold whoever comes first. */
#define FAMILY "races"
#include "conform.h"

#include <sys/un.h>

#define ROUNDS 60

static volatile bool stop;
static int wins;
static pthread_barrier_t barrier;

/* Runs `run` in `count` threads at once. Returns how many returned something. */
static int together(void *(*run)(void *), int count)
{
    pthread_t threads[8];
    int found = 0;

    pthread_barrier_init(&barrier, NULL, (unsigned)count);
    for (int i = 0; i < count; i++)
        threads[i] = start(run, (void *)(intptr_t)i);
    for (int i = 0; i < count; i++)
        found += end_of(threads[i]) != NULL;
    return found;
}

static void *makes_directory(void *nothing)
{
    (void)nothing;
    pthread_barrier_wait(&barrier);
    if (mkdir("d", 0755) == 0)
        return &wins;
    is(errno, EEXIST);
    return NULL;
}

CHECK(mkdir_one_winner, "mkdir(2): EEXIST for all but one")
{
    for (int i = 0; i < ROUNDS / 3; i++) {
        is(together(makes_directory, 4), 1);
        ok(rmdir("d"));
    }
}

static void *makes_file(void *nothing)
{
    int fd;

    (void)nothing;
    pthread_barrier_wait(&barrier);
    fd = open("f", O_WRONLY | O_CREAT | O_EXCL, 0644);
    if (fd < 0)
        is(errno, EEXIST);
    return fd < 0 ? NULL : &wins;
}

CHECK(exclusive_one_winner, "open(2) O_EXCL: one winner")
{
    for (int i = 0; i < ROUNDS / 3; i++) {
        is(together(makes_file, 4), 1);
        ok(unlink("f"));
    }
}

static void *creates_and_reads(void *nothing)
{
    struct stat status;
    int fd;

    (void)nothing;
    pthread_barrier_wait(&barrier);
    fd = (int)ok(open("f", O_RDWR | O_CREAT, 0644));
    ok(fstat(fd, &status));
    return (void *)(uintptr_t)status.st_ino;
}

CHECK(create_one_inode, "open(2) O_CREAT: all get the same file")
{
    for (int i = 0; i < ROUNDS / 3; i++) {
        pthread_t threads[4];
        uintptr_t inode = 0;

        pthread_barrier_init(&barrier, NULL, 4);
        for (int k = 0; k < 4; k++)
            threads[k] = start(creates_and_reads, NULL);
        for (int k = 0; k < 4; k++) {
            uintptr_t found = (uintptr_t)end_of(threads[k]);

            must(inode == 0 || found == inode);
            inode = found;
        }
        ok(unlink("f"));
    }
}

static void *removes_file(void *nothing)
{
    (void)nothing;
    pthread_barrier_wait(&barrier);
    if (unlink("f") == 0)
        return &wins;
    is(errno, ENOENT);
    return NULL;
}

CHECK(unlink_one_winner, "unlink(2): ENOENT for all but one")
{
    for (int i = 0; i < ROUNDS / 3; i++) {
        file("f", "");
        is(together(removes_file, 4), 1);
    }
}

static void *renames_own(void *number)
{
    char name[8];

    snprintf(name, sizeof(name), "to%d", (int)(intptr_t)number);
    pthread_barrier_wait(&barrier);
    if (rename("f", name) == 0)
        return &wins;
    is(errno, ENOENT);
    return NULL;
}

CHECK(rename_one_winner, "rename(2): a name goes to one place")
{
    for (int i = 0; i < ROUNDS / 3; i++) {
        file("f", "");
        is(together(renames_own, 4), 1);
        is(count_names("."), 1);
        for (int k = 0; k < 4; k++) {
            char name[8];

            snprintf(name, sizeof(name), "to%d", k);
            unlink(name);
        }
    }
}

static void *links_file(void *number)
{
    char name[16];

    for (int i = 0; i < 10; i++) {
        snprintf(name, sizeof(name), "l%d-%d", (int)(intptr_t)number, i);
        ok(link("f", name));
        if (i % 2)
            ok(unlink(name));
    }
    return NULL;
}

CHECK(link_count, "link(2), unlink(2): the count is right in the end")
{
    file("f", "");
    together(links_file, 4);
    is(links_of("f"), 1 + 4 * 5);
    is(count_names("."), 1 + 4 * 5);
}

static void *replaces(void *nothing)
{
    char name[8];

    for (int i = 0; !stop; i++) {
        snprintf(name, sizeof(name), "n%d", i % 2);
        file(name, i % 2 ? "one" : "two");
        ok(rename(name, "f"));
    }
    return nothing;
}

CHECK(replace_is_atomic, "rename(2): there is no instant without newpath")
{
    pthread_t thread;

    file("f", "one");
    thread = start(replaces, NULL);
    for (int i = 0; i < ROUNDS * 4; i++) {
        char text[4] = "";
        int fd = (int)ok(open("f", O_RDONLY));

        is(read(fd, text, 3), 3);
        must(strcmp(text, "one") == 0 || strcmp(text, "two") == 0);
        close(fd);
    }
    stop = true;
    end_of(thread);
}

static void *exchanges(void *nothing)
{
    while (!stop)
        ok(renameat2(AT_FDCWD, "a", AT_FDCWD, "b", RENAME_EXCHANGE));
    return nothing;
}

CHECK(exchange_is_atomic, "renameat2(2) RENAME_EXCHANGE: both names are always there")
{
    pthread_t thread;

    file("a", "one");
    file("b", "two");
    thread = start(exchanges, NULL);
    for (int i = 0; i < ROUNDS * 4; i++) {
        ok(access("a", F_OK));
        ok(access("b", F_OK));
    }
    stop = true;
    end_of(thread);
    must(strcmp(slurp("a"), slurp("b")) != 0);
}

static void *appends(void *number)
{
    char line[32];
    int fd = (int)ok(open("f", O_WRONLY | O_APPEND));

    memset(line, 'a' + (int)(intptr_t)number, 31);
    line[31] = '\n';
    for (int i = 0; i < 100; i++)
        is(write(fd, line, 32), 32);
    close(fd);
    return NULL;
}

CHECK(append_is_atomic, "open(2) O_APPEND: no write is lost or torn")
{
    char *text;

    file("f", "");
    together(appends, 4);
    is(size_of("f"), 4 * 100 * 32);
    text = slurp("f");
    for (int i = 0; i < 400; i++)
        for (int k = 1; k < 31; k++)
            is(text[i * 32 + k], text[i * 32]);
}

static void *makes_and_removes(void *nothing)
{
    while (!stop) {
        mkdir("d", 0755);
        rmdir("d");
    }
    return nothing;
}

CHECK(mkdir_and_rmdir, "mkdir(2), rmdir(2): files are never made in a removed directory")
{
    pthread_t thread = start(makes_and_removes, NULL);

    for (int i = 0; i < ROUNDS * 4; i++) {
        int fd = open("d/f", O_WRONLY | O_CREAT, 0644);

        if (fd < 0) {
            is(errno, ENOENT);
            continue;
        }
        ok(access("d/f", F_OK));
        ok(unlink("d/f"));
        close(fd);
    }
    stop = true;
    end_of(thread);
}

static void *moves_directory(void *nothing)
{
    while (!stop) {
        ok(rename("a", "b"));
        ok(rename("b", "a"));
    }
    return nothing;
}

CHECK(open_while_directory_moves, "rename(2) of a directory and open(2) below it")
{
    pthread_t thread;
    int found = 0;
    int fd;

    ok(mkdir("a", 0755));
    file("a/f", "text");
    fd = (int)ok(open("a", O_RDONLY));
    thread = start(moves_directory, NULL);
    for (int i = 0; i < ROUNDS * 4; i++) {
        int inner = open("a/f", O_RDONLY);

        if (inner < 0)
            is(errno, ENOENT);
        else
            found++;
        if (inner >= 0)
            close(inner);
        ok(faccessat(fd, "f", F_OK, 0));
    }
    stop = true;
    end_of(thread);
    ok(access("a/f", F_OK));
}

static void *swaps_link(void *nothing)
{
    while (!stop) {
        symlink("one", "new");
        rename("new", "l");
        symlink("two", "new");
        rename("new", "l");
    }
    return nothing;
}

CHECK(link_swapped_while_read, "symlink(2), rename(2): a link always leads to one of both")
{
    pthread_t thread;

    file("one", "1");
    file("two", "2");
    ok(symlink("one", "l"));
    thread = start(swaps_link, NULL);
    for (int i = 0; i < ROUNDS * 4; i++) {
        char byte;
        int fd = (int)ok(open("l", O_RDONLY));

        is(read(fd, &byte, 1), 1);
        must(byte == '1' || byte == '2');
        close(fd);
    }
    stop = true;
    end_of(thread);
}

static char shared_path[32];

static void *scribbles(void *nothing)
{
    while (!stop) {
        memcpy(shared_path, "one", 4);
        memcpy(shared_path, "two", 4);
    }
    return nothing;
}

CHECK(path_changes_while_read, "open(2): a path that changes is one of both or missing")
{
    pthread_t thread;

    file("one", "1");
    file("two", "2");
    memcpy(shared_path, "one", 4);
    thread = start(scribbles, NULL);
    for (int i = 0; i < ROUNDS * 4; i++) {
        int fd = open(shared_path, O_RDONLY);

        must(fd >= 0 || errno == ENOENT);
        if (fd >= 0)
            close(fd);
    }
    stop = true;
    end_of(thread);
    is(count_names("."), 2);
}

static void *opens_and_closes(void *path)
{
    while (!stop) {
        int fd = open(path, O_RDONLY);

        if (fd >= 0)
            close(fd);
    }
    return NULL;
}

CHECK(fork_while_others_open, "fork(2): while other threads open and close")
{
    pthread_t threads[2];

    file("f", "");
    threads[0] = start(opens_and_closes, (void *)"f");
    threads[1] = start(opens_and_closes, (void *)".");
    for (int i = 0; i < 15; i++)
        IN_CHILD
        {
            ok(access("f", F_OK));
            ok(open("f", O_RDONLY));
        }
    stop = true;
    end_of(threads[0]);
    end_of(threads[1]);
}

CHECK(exec_while_others_open, "execve(2): while other threads open and close")
{
    for (int i = 0; i < 8; i++)
        IN_CHILD
        {
            start(opens_and_closes, (void *)"/dev/null");
            start(opens_and_closes, (void *)".");
            start(scribbles, NULL);
            execl("/bin/true", "true", NULL);
        }
}

static void *changes_directory(void *nothing)
{
    while (!stop) {
        ok(chdir("d"));
        ok(chdir(".."));
    }
    return nothing;
}

CHECK(directory_changes_while_resolved, "chdir(2): a relative path starts at one place")
{
    pthread_t thread;

    ok(mkdir("d", 0755));
    file("f", "outer");
    file("d/f", "inner");
    thread = start(changes_directory, NULL);
    for (int i = 0; i < ROUNDS * 4; i++) {
        char text[8] = "";
        int fd = (int)ok(open("f", O_RDONLY));

        is(read(fd, text, 5), 5);
        must(strcmp(text, "outer") == 0 || strcmp(text, "inner") == 0);
        close(fd);
    }
    stop = true;
    end_of(thread);
}

CHECK(directory_inherited_at_fork, "fork(2): the child's directory is that of the instant")
{
    ok(mkdir("d", 0755));
    file("d/f", "");
    for (int i = 0; i < 15; i++) {
        pid_t pid;

        ok(chdir("d"));
        pid = spawn();
        if (pid == 0) {
            ok(access("f", F_OK));
            _exit(0);
        }
        ok(chdir(".."));
        joins(pid);
    }
}

static void *writes_and_truncates(void *nothing)
{
    while (!stop) {
        ok(truncate("f", 0));
        ok(truncate("f", 8));
    }
    return nothing;
}

CHECK(truncate_and_stat, "truncate(2): every size is one of both")
{
    pthread_t thread;

    file("f", "12345678");
    thread = start(writes_and_truncates, NULL);
    for (int i = 0; i < ROUNDS * 4; i++) {
        off_t size = size_of("f");

        must(size == 0 || size == 8);
    }
    stop = true;
    end_of(thread);
}

static void *fills_directory(void *number)
{
    char name[16];

    for (int i = 0; i < 40; i++) {
        snprintf(name, sizeof(name), "d/%d-%d", (int)(intptr_t)number, i);
        file(name, "");
    }
    return NULL;
}

CHECK(list_while_filled, "getdents(2): what was there all the time is listed once")
{
    pthread_t thread;

    ok(mkdir("d", 0755));
    for (int i = 0; i < 20; i++) {
        char name[16];

        snprintf(name, sizeof(name), "d/old%d", i);
        file(name, "");
    }
    thread = start(fills_directory, (void *)1);
    for (int i = 0; i < 10; i++) {
        DIR *dir = opendir("d");
        struct dirent *entry;
        int old = 0;

        while ((entry = readdir(dir)) != NULL)
            old += entry->d_name[0] == 'o';
        closedir(dir);
        is(old, 20);
    }
    end_of(thread);
    is(count_names("d"), 60);
}

static void *binds(void *nothing)
{
    static const struct sockaddr_un address = {AF_UNIX, "s"};
    int fd = (int)ok(socket(AF_UNIX, SOCK_STREAM, 0));

    (void)nothing;
    pthread_barrier_wait(&barrier);
    if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
        return &wins;
    is(errno, EADDRINUSE);
    return NULL;
}

CHECK(bind_one_winner, "bind(2): EADDRINUSE for all but one")
{
    for (int i = 0; i < ROUNDS / 4; i++) {
        is(together(binds, 4), 1);
        ok(unlink("s"));
    }
}

CHECK(signals_while_calling, "signal(7): calls under a storm do what they say, once")
{
    struct itimerval timer = {{0, 100}, {0, 100}};

    handle(SIGALRM, count_signal, SA_RESTART);
    ok(setitimer(ITIMER_REAL, &timer, NULL));
    for (int i = 0; i < ROUNDS * 2; i++) {
        ok(mkdir("d", 0755));
        ok(rename("d", "e"));
        ok(rmdir("e"));
    }
    no_ticking();
    must(ticks > 0);
}

CHECK(killed_while_calling, "signal(7): SIGKILL in the middle of calls leaves whole files")
{
    for (int i = 0; i < 15; i++) {
        pid_t pid = spawn();

        if (pid == 0)
            for (;;) {
                file("n", "whole");
                rename("n", "f");
            }
        nap(1);
        ok(kill(pid, SIGKILL));
        killed(pid, SIGKILL);
        if (exists("f"))
            content("f", "whole");
    }
}

CHECK(counter_in_a_file, "fcntl(2): a counter under a lock loses nothing")
{
    pid_t pids[4];

    file("f", "0\n");
    for (int i = 0; i < 4; i++) {
        pids[i] = spawn();
        if (pids[i] == 0) {
            for (int k = 0; k < 15; k++) {
                struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
                char text[32] = "";
                int fd = (int)ok(open("f", O_RDWR));

                ok(fcntl(fd, F_SETLKW, &lock));
                ok(read(fd, text, 31));
                snprintf(text, sizeof(text), "%ld\n", strtol(text, NULL, 10) + 1);
                ok(pwrite(fd, text, strlen(text), 0));
                ok(close(fd));
            }
            _exit(0);
        }
    }
    for (int i = 0; i < 4; i++)
        joins(pids[i]);
    content("f", "60\n");
}
