/* Character arrays without an end, and what gets into the log: holes 4, 5, 6 and 16. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "abuse.h"

/* Fills a whole structure, so that no array in it has an end; then looks at what comes back. */
static void send_full(int fd, unsigned long command, void *structure, size_t size, char fill)
{
    memset(structure, fill, size);
    int r = kapi_call(fd, command, structure);
    check(r == 0 || r == -EINVAL || r == -EPERM || r == -EBUSY, "command %lx: %s", command,
          strerror(-r));
}

#define ENDS(array) check(strnlen(array, sizeof(array)) < sizeof(array), "%s has no end", #array)

static void hole_04_unterminated_strings(enum way way)
{
    static const char fills[] = {'A', '%', '\n', (char)0xff, '-', '/'};
    struct kapi_kernel_cmd cmd;
    struct kapi_module_control module;
    struct kapi_net_control net;
    struct kapi_fs_control fs;
    struct kapi_log_injection log;
    int fd = device_open();

    for (size_t i = 0; i < ARRAY_LENGTH(fills); i++) {
        send_full(fd, KAPI_EXECUTE_KERNEL_CMD, &cmd, sizeof(cmd), fills[i]);
        check(cmd.status == -EINVAL, "command of 256 times %d: status %d", fills[i], cmd.status);
        ENDS(cmd.command);
        ENDS(cmd.result);
        send_full(fd, KAPI_LOAD_MODULE, &module, sizeof(module), fills[i]);
        check(module.status < 0, "load: status %d", module.status);
        ENDS(module.message);
        send_full(fd, KAPI_UNLOAD_MODULE, &module, sizeof(module), fills[i]);
        check(module.status < 0, "unload: status %d", module.status);
        ENDS(module.message);
        send_full(fd, KAPI_TOGGLE_INTERFACE, &net, sizeof(net), fills[i]);
        check(net.status < 0, "toggle: status %d", net.status);
        ENDS(net.message);
        send_full(fd, KAPI_MOUNT_FS, &fs, sizeof(fs), fills[i]);
        check(fs.status < 0, "mount: status %d", fs.status);
        ENDS(fs.message);
        if (fills[i] == '/')
            continue; /* a path of nothing but slashes is the root, and may be unmounted */
        send_full(fd, KAPI_UMOUNT_FS, &fs, sizeof(fs), fills[i]);
        check(fs.status < 0, "umount: status %d", fs.status);
        ENDS(fs.message);
        send_full(fd, KAPI_INJECT_LOG, &log, sizeof(log), fills[i]);
        check(log.status <= 0, "log: status %d", log.status);
        if (!is_privileged(way))
            check(log.status == -EPERM, "log: status %d", log.status);
    }
}

/* A path without an end runs on into the name, the parameters, the status and the message behind
 * it. */
static void hole_06_path_runs_into_message(enum way way)
{
    struct kapi_module_control module = {.status = 0x41414141};
    struct kapi_fs_control fs = {.status = 0x41414141};
    int fd = device_open();

    memset(module.path, 'p', sizeof(module.path));
    module.path[0] = '/';
    memset(module.name, 'N', sizeof(module.name));
    memset(module.params, 'Q', sizeof(module.params));
    check(kapi_call(fd, KAPI_LOAD_MODULE, &module) == 0, "%s", strerror(errno));
    ENDS(module.message);
    check(module.status < 0, "status %d", module.status);
    check(!memchr(module.message, 'Q', sizeof(module.message)) || !strstr(module.message, "pppN"),
          "message %s", module.message);
    check(!strstr(module.message, "NN"), "the name got into the message: %s", module.message);

    memset(fs.device, 'd', sizeof(fs.device));
    memset(fs.path, 'p', sizeof(fs.path));
    fs.path[0] = '/';
    memset(fs.type, 'T', sizeof(fs.type));
    check(kapi_call(fd, KAPI_MOUNT_FS, &fs) == 0, "%s", strerror(errno));
    ENDS(fs.message);
    check(fs.status < 0 && !strstr(fs.message, "ppT") && !strstr(fs.message, "dp"), "message %s",
          fs.message);
}

static void hole_05_log_injection(enum way way)
{
    char line[8192];
    int level, fd = device_open(), log = log_open(), found = 0;

    check(kapi_log(fd, "INFO",
                   "kapi-first\nkapi-forged: <0>init: system is \033[2J gone \r kapi-last") == 0,
          "refused: %s", last_message);
    while (log_next(log, line, sizeof(line), &level)) {
        check(strncmp(line, "kapi-forged", 11) != 0 && strncmp(line, " kapi-last", 10) != 0,
              "a line of its own: %s", line);
        if (strstr(line, "kapi-first")) {
            found++;
            check(strstr(line, "kapi-forged") && strstr(line, "kapi-last"), "in one line: %s",
                  line);
            check(strncmp(line, "kapi-first", 10) != 0,
                  "it begins with what the caller gave, not with who gave it: %s", line);
        }
    }
    check(found == 1, "logged %d times", found);
}

static void hole_05_level_is_capped(enum way way)
{
    static const char *const levels[] = {"EMERG", "ALERT", "CRIT", "0",          "<0>",
                                         "emerg", "ERROR", "",     "KERN_EMERG", "\0010"};
    char line[8192];
    int level, log = log_open(), fd = device_open();

    for (size_t i = 0; i < ARRAY_LENGTH(levels); i++) {
        kapi_log(fd, levels[i], "kapi-level-test \0010 <0> %s%n");
        usleep(300000); /* it may be limited to so many a second */
    }
    while (log_next(log, line, sizeof(line), &level))
        if (strstr(line, "kapi-level-test"))
            check(level >= 3, "level %d: %s", level, line);
}

static void hole_05_log_is_refused(enum way way)
{
    int fds[] = {leaked_fd, device_open()};

    for (size_t i = 0; i < ARRAY_LENGTH(fds); i++)
        check(kapi_log(fds[i], "INFO", "kapi-unprivileged") == -EPERM, "%s", last_message);
}

static void log_injection_is_limited(enum way way)
{
    char line[8192];
    int level, log = log_open(), fd = device_open(), logged = 0;

    for (int i = 0; i < 2000; i++)
        kapi_log(fd, "INFO", "kapi-flood");
    while (log_next(log, line, sizeof(line), &level))
        logged += strstr(line, "kapi-flood") != NULL;
    check(logged > 0 && logged < 500, "%d of 2000 lines are in the log", logged);
    row("limits", "log lines of 2000 at once\t%d\t", logged);
}

/* Programs that help the module must never take a word of the caller for an option. */
static void hole_16_options_in_strings(enum way way)
{
    static const char *const paths[] = {
        "-f", "--help", "relative.ko", "", "-", "../lib/kapi_dummy.ko", "/lib/../lib/\nx.ko"};
    static const char *const names[] = {"-r", "--all",         "",    "a b", "../x", "a;b",
                                        "-",  "kapi_dummy -f", "x\ny"};
    static const char *const devices[] = {"-o remount,ro", "-a", "--bind", "-"};
    int fd = device_open();

    for (size_t i = 0; i < ARRAY_LENGTH(paths); i++)
        check(kapi_load(fd, paths[i], "", "") < 0, "module path %s", paths[i]);
    for (size_t i = 0; i < ARRAY_LENGTH(names); i++) {
        check(kapi_load(fd, "", names[i], "") < 0, "module name to load: %s", names[i]);
        check(kapi_unload(fd, names[i]) < 0, "module name to unload: %s", names[i]);
    }
    for (size_t i = 0; i < ARRAY_LENGTH(devices); i++) {
        check(kapi_mount(fd, "none", "/mnt", devices[i], "") < 0, "type %s", devices[i]);
        check(kapi_mount(fd, "none", devices[i], "tmpfs", "") < 0, "path %s", devices[i]);
        check(kapi_umount(fd, devices[i]) < 0, "path to unmount %s", devices[i]);
        kapi_mount(fd, devices[i], "/mnt/never", "tmpfs",
                   ""); /* a strange device is no matter, if it stays one word */
    }
    check(kapi_load(fd, DUMMY_FILE, "", "number=1 -f") < 0, "parameters with an option");
    check(kapi_load(fd, DUMMY_FILE, "", "number=1\nx=2;reboot") < 0, "parameters with a line end");
    check(access("/sys/module/" DUMMY_NAME, F_OK) != 0, "the module was loaded");
    check(kapi_mount(fd, "none", "/mnt", "tmpfs", "size=64k -o remount") < 0,
          "options with blanks");
    check(access("/proc/self/mounts", R_OK) == 0, "mounts");
}

const struct test string_tests[] = {
    {"hole-04-unterminated-strings", hole_04_unterminated_strings, WAYS_ALL, 120},
    {"hole-05-log-injection", hole_05_log_injection, WAY_ROOT, 0},
    {"hole-05-log-level-is-capped", hole_05_level_is_capped, WAY_ROOT, 0},
    {"hole-05-log-is-refused", hole_05_log_is_refused, WAYS_PLAIN, 0},
    {"log-injection-is-limited", log_injection_is_limited, WAY_ROOT, 0},
    {"hole-06-path-runs-into-message", hole_06_path_runs_into_message, WAYS_DEFAULT | WAY_ALLOWED,
     0},
    {"hole-16-options-in-strings", hole_16_options_in_strings, WAY_ROOT | WAY_NOBODY | WAY_USERNS,
     60},
    {0},
};
