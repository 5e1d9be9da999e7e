/*
 * The screen of `cerebro top`. ncurses is linked statically; of the host it needs the terminal's
 * description only, which ncurses-base has for the common ones.
 */
#include <curses.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <term.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "cli/top.h"

#define DELAY_MIN 0.2
#define DELAY_MAX 3600

struct screen {
    struct top *top;
    pid_t selected; /* a kernel; 0: none yet */
    bool details;
    bool done;
};

/*
 * One line, cut at the right edge; what is below the last line is left out. Of a command that is no
 * plain text each byte takes one place, whatever the terminal makes of it.
 */
static void put_line(int row, const char *text, attr_t how)
{
    if (row >= LINES)
        return;
    attrset(how);
    move(row, 0);
    for (int i = 0; i < COLS && text[i]; i++)
        addch((unsigned char)text[i] < 0x80 ? (chtype)text[i] : '?');
    attrset(A_NORMAL);
}

/* A bar over the whole width. */
static void put_bar(int row, const char *text)
{
    put_line(row, text, A_REVERSE);
    if (row < LINES)
        mvchgat(row, 0, -1, A_REVERSE, 0, NULL);
}

static size_t selected_index(struct screen *screen)
{
    struct top *top = screen->top;

    for (size_t i = 0; i < top->count; i++)
        if (top->kernels[i]->pid == screen->selected)
            return i;
    screen->selected = top->count ? top->kernels[0]->pid : 0;
    return 0;
}

/* The rows that fit, so that the selected one is among them. */
static void draw_list(struct screen *screen)
{
    const struct top *top = screen->top;
    size_t selected = selected_index(screen);
    size_t room = LINES > 4 ? (size_t)LINES - 3 : 1;
    size_t first = selected >= room ? selected - room + 1 : 0;
    cleanup_strbuf struct strbuf header = {0};

    top_add_header(&header);
    put_bar(1, strbuf_text(&header));
    for (size_t i = 0; i < room && first + i < top->count; i++) {
        cleanup_strbuf struct strbuf row = {0};

        top_add_row(top->kernels[first + i], &row);
        put_line((int)i + 2, strbuf_text(&row), first + i == selected ? A_BOLD : A_NORMAL);
        if (first + i == selected && (int)i + 2 < LINES)
            mvchgat((int)i + 2, 0, 7, A_STANDOUT, 0, NULL);
    }
    if (top->count == 0)
        put_line(2, "no process kernel is running", A_NORMAL);
}

static int put_lines(int row, char *text)
{
    char *save = NULL;

    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
        put_line(row++, line, A_NORMAL);
    return row;
}

static void draw_details(const struct top_kernel *kernel)
{
    cleanup_strbuf struct strbuf text = {0};
    cleanup_strbuf struct strbuf header = {0};
    size_t count = 0;
    cleanup_free struct top_call *calls = top_calls(kernel, &count);
    int row;

    top_add_details(kernel, &text);
    top_add_call_header(&header);
    row = strbuf_status(&text) < 0 ? 1 : put_lines(1, text.data);
    put_bar(row++, strbuf_text(&header));
    for (size_t i = 0; i < count && row < LINES - 1; i++) {
        cleanup_strbuf struct strbuf line = {0};

        top_add_call(&calls[i], top_seconds(kernel), &line);
        put_line(row++, strbuf_text(&line), A_NORMAL);
    }
}

static void draw_help(const struct screen *screen)
{
    cleanup_strbuf struct strbuf text = {0};

    if (screen->details)
        strbuf_add_string(&text, "q quit  d back to the list");
    else
        strbuf_addf(&text, "q quit  arrows select  d details  s sort by: %s",
                    top_order_names[screen->top->order]);
    strbuf_addf(&text, "  +- delay: %.1f s", screen->top->delay);
    put_line(LINES - 1, strbuf_text(&text), A_DIM);
}

static void draw(struct screen *screen)
{
    struct top *top = screen->top;
    cleanup_strbuf struct strbuf summary = {0};
    size_t selected = selected_index(screen);

    erase();
    top_add_summary(top, &summary);
    put_line(0, strbuf_text(&summary), A_NORMAL);
    if (screen->details && top->count)
        draw_details(top->kernels[selected]);
    else
        draw_list(screen);
    if (LINES > 3)
        draw_help(screen);
    refresh();
}

static void move_selection(struct screen *screen, int by)
{
    struct top *top = screen->top;
    size_t index = selected_index(screen);

    if (by < 0 && index > 0)
        index--;
    if (by > 0 && index + 1 < top->count)
        index++;
    if (top->count)
        screen->selected = top->kernels[index]->pid;
}

static void change_delay(struct top *top, double factor)
{
    double delay = top->delay * factor;

    if (delay >= DELAY_MIN && delay <= DELAY_MAX)
        top->delay = delay;
}

static void handle_key(struct screen *screen, int key)
{
    struct top *top = screen->top;

    switch (key) {
    case 'q':
        screen->done = true;
        break;
    case KEY_UP:
    case 'k':
        move_selection(screen, -1);
        break;
    case KEY_DOWN:
    case 'j':
        move_selection(screen, 1);
        break;
    case 's':
        top->order = (top->order + 1) % TOP_ORDERS;
        top_sort(top);
        break;
    case 'd':
    case '\n':
    case KEY_ENTER:
        screen->details = !screen->details;
        break;
    case '+':
        change_delay(top, 2);
        break;
    case '-':
        change_delay(top, 0.5);
        break;
    default: /* KEY_RESIZE: drawn anew as after every key */
        break;
    }
}

/* Handles keys until it is time for the next look. Returns a negative errno when nobody is there.
 */
static int wait_for_keys(struct screen *screen, uint64_t begin)
{
    for (;;) {
        uint64_t now = io_now_ns();
        uint64_t end = begin + (uint64_t)(screen->top->delay * 1e9);
        int key;

        if (screen->done || now >= end)
            return 0;
        timeout((int)((end - now) / 1000000) + 1);
        errno = 0;
        key = getch();
        /* A terminal that has gone away reads as an end at once. */
        if (key == ERR && io_now_ns() < end && errno != EINTR && !isatty(STDIN_FILENO))
            return -EIO;
        if (key == ERR)
            continue;
        handle_key(screen, key);
        draw(screen);
    }
}

static int check_terminal(struct base_error *error)
{
    const char *term = getenv("TERM");
    int found = 0;

    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
        return base_fail(error, ENOTTY, "print one look instead: cerebro top --once",
                         "cerebro top needs a terminal");
    if (term == NULL || term[0] == '\0')
        return base_fail(error, ENOTTY, "set it, or print one look: cerebro top --once",
                         "TERM does not say what terminal this is");
    if (setupterm(NULL, STDOUT_FILENO, &found) == OK) {
        bool moves = cursor_address && clear_screen;

        del_curterm(cur_term); /* newterm() makes its own */
        return moves ? 0
                     : base_fail(error, ENOTTY, "print one look instead: cerebro top --once",
                                 "a terminal '%s' cannot show a screen", term);
    }
    return base_fail(error, ENOTTY,
                     found == 0 ? "set TERM=xterm, install ncurses-term, or use --once"
                                : "install ncurses-base, or use --once",
                     "there is no description of a terminal '%s' that could be used", term);
}

/* At SIGINT and SIGTERM ncurses puts the terminal right and ends the program; at no other one. */
static void end_as_at_sigterm(int number)
{
    (void)number;
    raise(SIGTERM);
}

static void leave_terminal_at_signals(void)
{
    static const int numbers[] = {SIGHUP, SIGQUIT, SIGPIPE, SIGALRM, SIGUSR1, SIGUSR2};
    const struct sigaction end = {.sa_handler = end_as_at_sigterm};
    struct sigaction now;

    for (size_t i = 0; i < array_length(numbers); i++)
        if (sigaction(numbers[i], NULL, &now) == 0 && now.sa_handler == SIG_DFL)
            sigaction(numbers[i], &end, NULL);
}

static int run(struct screen *screen)
{
    int r = 0;

    while (!screen->done && r == 0) {
        uint64_t begin = io_now_ns();

        r = top_look(screen->top);
        if (r < 0)
            break;
        draw(screen);
        r = wait_for_keys(screen, begin);
    }
    return r;
}

int top_show(struct top *top, struct base_error *error)
{
    struct screen screen = {.top = top};
    SCREEN *terminal;
    int r = check_terminal(error);

    if (r < 0)
        return r;
    terminal = newterm(NULL, stdout, stdin);
    if (terminal == NULL)
        return base_fail(error, ENOTTY, "use cerebro top --once", "cannot use this terminal");
    leave_terminal_at_signals();
    cbreak();
    noecho();
    keypad(stdscr, TRUE);
    curs_set(0);
    r = run(&screen);
    endwin();
    delscreen(terminal);
    return r < 0 ? base_fail(error, r, NULL, "cannot go on: %s", strerror(-r)) : 0;
}
