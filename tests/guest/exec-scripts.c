/* Programs that begin with "#!". */
#include "guest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static void script(const char *path, const char *text)
{
    guest_write(path, text);
    OK(chmod(path, 0755));
}

static char *run(const char *path, int *ret_status)
{
    char *argv[] = {(char *)path, "one", "two words", NULL};

    return guest_output(argv, ret_status);
}

static int error_of(const char *path)
{
    pid_t pid = (pid_t)OK(fork());

    if (pid == 0) {
        char *argv[] = {(char *)path, NULL};

        close(1);
        execve(path, argv, environ);
        _exit(errno);
    }
    return WEXITSTATUS(guest_wait(pid));
}

static void plain(void)
{
    script("script", "#!/bin/sh\nprintf '%s|' \"$0\" \"$@\"\n");
    CHECK_TEXT(run("./script", NULL), "./script|one|two words|");
}

static void with_argument(void)
{
    const char *show = guest_program("show-static");

    script("none", guest_format("#!%s\n", show));
    CHECK_TEXT(run("./none", NULL), guest_format("4|%s|./none|one|two words\n", show));
    script("one", guest_format("#!%s args\n", show));
    CHECK_TEXT(run("./one", NULL), guest_format("5|%s|args|./one|one|two words\n", show));
    /* All that follows is one argument; spaces around it are dropped. */
    script("more", guest_format("#! \t %s  args and  more \t\n", show));
    CHECK_TEXT(run("./more", NULL),
               guest_format("5|%s|args and  more|./more|one|two words\n", show));
    script("open-end", guest_format("#!%s args", show));
    CHECK_TEXT(run("./open-end", NULL), guest_format("5|%s|args|./open-end|one|two words\n", show));
}

static void chains(void)
{
    const char *show = guest_program("show-static");
    char *cwd = guest_cwd();

    script("1", guest_format("#!%s last\n", show));
    script("2", guest_format("#!%s/1 second\n", cwd));
    CHECK_TEXT(run("./2", NULL),
               guest_format("7|%s|last|%s/1|second|./2|one|two words\n", show, cwd));
    for (int i = 3; i <= 8; i++)
        script(guest_format("%d", i), guest_format("#!%s/%d\n", cwd, i - 1));
    CHECK_EQ(error_of("./4"), 0);
    CHECK_EQ(error_of("./5"), 0);
    CHECK_EQ(error_of("./6"), ELOOP);
    CHECK_EQ(error_of("./8"), ELOOP);
}

static void relative_interpreter(void)
{
    OK(mkdir("dir", 0777));
    OK(symlink(guest_program("show-static"), "dir/show"));
    script("script", "#!dir/show\n");
    CHECK_TEXT(run("./script", NULL), "4|dir/show|./script|one|two words\n");
    OK(chdir("dir"));
    CHECK_EQ(error_of("../script"), ENOENT);
}

static void bad_ones(void)
{
    char line[400] = "#!";

    OK(mkdir("dir", 0777));
    guest_write("plain", "x");
    script("missing", "#!/no/such/interpreter\n");
    script("empty", "#!\n");
    script("blank", "#!   \n");
    script("short", "#");
    script("directory", guest_format("#!%s/dir\n", guest_cwd()));
    script("not-executable", guest_format("#!%s/plain\n", guest_cwd()));
    CHECK_EQ(error_of("./missing"), ENOENT);
    CHECK_EQ(error_of("./empty"), ENOEXEC);
    CHECK_EQ(error_of("./blank"), ENOEXEC);
    CHECK_EQ(error_of("./short"), ENOEXEC);
    CHECK_EQ(error_of("./directory"), EACCES);
    CHECK_EQ(error_of("./not-executable"), EACCES);
    memset(line + 2, 'x', 300);
    script("long", line);
    CHECK_EQ(error_of("./long"), ENOEXEC);
}

static void long_argument_is_cut(void)
{
    const char *show = guest_program("show-static");
    char argument[300];
    char *found;

    memset(argument, 'a', sizeof(argument));
    argument[299] = '\0';
    script("script", guest_format("#!%s %s\n", show, argument));
    found = run("./script", NULL);
    CHECK(strncmp(found, guest_format("5|%s|aaaa", show), strlen(show) + 7) == 0);
    CHECK(strlen(found) < strlen(show) + 280);
}

static void by_descriptor(void)
{
    char *argv[] = {"zero", "one", NULL};
    int fd;
    pid_t pid;

    script("script", "#!/bin/sh\nprintf '%s|' \"$0\" \"$@\"\n");
    fd = (int)OK(open("script", O_RDONLY));
    pid = (pid_t)OK(fork());
    if (pid == 0) {
        dup2(open("out", O_WRONLY | O_CREAT, 0666), 1);
        fexecve(fd, argv, environ);
        _exit(127);
    }
    guest_join(pid);
    guest_content("out", guest_format("/dev/fd/%d|one|", fd));
    /* With close-on-exec the interpreter could not open it. */
    OK(fcntl(fd, F_SETFD, FD_CLOEXEC));
    FAILS(fexecve(fd, argv, environ), ENOENT);
}

static void names_in_proc(void)
{
    char *found;

    script("script-with-a-long-name",
           "#!/bin/sh\ncat /proc/$$/comm\ntr '\\0' '|' </proc/$$/cmdline\n");
    found = run("./script-with-a-long-name", NULL);
    CHECK_TEXT(found, "script-with-a-l\n/bin/sh|./script-with-a-long-name|one|two words|");
}

static void executable_but_unreadable(void)
{
    if (geteuid() == 0)
        guest_skip("root can read everything");
    script("script", "#!/bin/sh\necho ran\n");
    OK(chmod("script", 0111));
    CHECK(error_of("./script") == 2 || error_of("./script") == 126 || error_of("./script") == 13);
}

static const struct guest_case cases[] = {
    {"plain", plain},
    {"with-argument", with_argument},
    {"chains", chains},
    {"relative-interpreter", relative_interpreter},
    {"bad-ones", bad_ones},
    {"long-argument-is-cut", long_argument_is_cut},
    {"by-descriptor", by_descriptor},
    {"names-in-proc", names_in_proc},
    {"executable-but-unreadable", executable_but_unreadable},
};

GUEST_MAIN(cases)
