/* Plays the agent CLI: stream-json on stdin and stdout, one recorded turn for every prompt.
 *
 *   PLAYER_TURNS     files with the turns, separated by ':'; the n-th prompt gets the n-th, later ones the last
 *   PLAYER_INIT      file with the JSON object that answers `initialize`
 *   PLAYER_MODE      burst: a turn is one write;  line: a write a line;  trickle: a line every PLAYER_INTERVAL ms,
 *                    beginning at any time within the first, and the last twelve digits of its uuid are the microseconds
 *                    of CLOCK_MONOTONIC at which it was written;
 *                    hold: as burst, but the result comes only after an interrupt
 *
 * As the real CLI does: a prompt with a uuid is followed by `command_lifecycle` frames, and named by the result; without one, neither.
 * `interrupt` is answered at once and ends a running turn; end of input means "finish, then exit". Output never blocks input.
 * Unlike it: queued prompts are never merged; the turn's own uuids differ from turn to turn only in their first eight digits.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define UUID 36
#define MAX_TURNS 8
#define MAX_QUEUED 64

static const char SESSION_ID[] = "5e551011-0000-4000-8000-000000000000";
static const char PROMPT_ID[] = "9109f700-0000-4000-8000-000000000000";
static const char NAMING[] = "\"user_message_uuid\":\"9109f700-0000-4000-8000-000000000000\","
                             "\"user_message_uuids\":[\"9109f700-0000-4000-8000-000000000000\"],";

typedef struct { char *data; size_t len, cap; } Buffer;
typedef struct { size_t *at; size_t len, cap; } Places;
typedef struct { Buffer text; Places lines, uuids, naming; } Turn;
typedef struct { char uuid[UUID + 1]; } Prompt; /* empty: none was given */

static enum { BURST, LINE, TRICKLE, HOLD } mode = BURST;
static long interval_ms = 20;
static char session[UUID + 1];
static Buffer initialize_response, in, out;
static size_t written; /* of out */
static Turn turns[MAX_TURNS];
static int turn_files;

static Prompt queue[MAX_QUEUED], current;
static int queued;
static Turn *playing;     /* NULL: idle */
static size_t next_line;  /* of playing */
static size_t next_uuid;  /* trickle: the first one that no line before had */
static unsigned played;   /* turns begun */
static long long due_us;  /* trickle: when the next line goes out */

static void die(const char *what) {
    fprintf(stderr, "player: %s: %s\n", what, errno ? strerror(errno) : "failed");
    exit(1);
}

/* ---- buffers ---- */

static void reserve(Buffer *b, size_t more) {
    if (b->len + more <= b->cap) return;
    size_t cap = b->cap ? b->cap : 4096;
    while (cap < b->len + more) cap *= 2;
    if (!(b->data = realloc(b->data, cap))) die("memory");
    b->cap = cap;
}

static void append(Buffer *b, const char *data, size_t len) {
    reserve(b, len);
    memcpy(b->data + b->len, data, len);
    b->len += len;
}

__attribute__((format(printf, 1, 2))) static void say(const char *format, ...) {
    va_list args;
    va_start(args, format);
    char *text;
    int len = vasprintf(&text, format, args);
    va_end(args);
    if (len < 0) die("memory");
    append(&out, text, (size_t)len);
    free(text);
}

static void note(Places *p, size_t at) {
    if (p->len == p->cap) {
        p->cap = p->cap ? p->cap * 2 : 64;
        if (!(p->at = realloc(p->at, p->cap * sizeof *p->at))) die("memory");
    }
    p->at[p->len++] = at;
}

static Buffer slurp(const char *path) {
    Buffer b = {0};
    FILE *file = fopen(path, "rb");
    if (!file) die(path);
    for (size_t got; reserve(&b, 65536), (got = fread(b.data + b.len, 1, 65536, file)) > 0;) b.len += got;
    fclose(file);
    return b;
}

/* ---- turns ---- */

static void find_all(const Buffer *b, const char *what, size_t skip, Places *into) {
    const char *end = b->data + b->len, *at = b->data;
    size_t len = strlen(what);
    while ((at = memmem(at, (size_t)(end - at), what, len))) {
        note(into, (size_t)(at - b->data) + skip);
        at += len;
    }
}

static void load(Turn *t, const char *path) {
    t->text = slurp(path);
    Places sessions = {0};
    find_all(&t->text, SESSION_ID, 0, &sessions);
    for (size_t i = 0; i < sessions.len; i++) memcpy(t->text.data + sessions.at[i], session, UUID);
    free(sessions.at);
    find_all(&t->text, NAMING, 0, &t->naming);
    find_all(&t->text, ",\"uuid\":\"", 9, &t->uuids);
    note(&t->lines, 0);
    find_all(&t->text, "\n", 1, &t->lines);
    if (t->lines.len < 3) errno = 0, die("a turn needs two lines or more");
}

/* Writes this turn's ids over the placeholders; members that a prompt without a uuid does not have become spaces. */
static void stamp(Turn *t) {
    char text[sizeof NAMING], counter[9];
    memset(text, ' ', sizeof text);
    if (*current.uuid) {
        memcpy(text, NAMING, sizeof NAMING);
        for (char *at = text; (at = strstr(at, PROMPT_ID)); at += UUID) memcpy(at, current.uuid, UUID);
    }
    for (size_t i = 0; i < t->naming.len; i++) memcpy(t->text.data + t->naming.at[i], text, sizeof NAMING - 1);
    snprintf(counter, sizeof counter, "%08x", played);
    for (size_t i = 0; i < t->uuids.len; i++) memcpy(t->text.data + t->uuids.at[i], counter, 8);
}

static long long now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (long long)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* Writes the time into the uuids of a line that goes out. */
static void date(Turn *t, size_t end) {
    char text[13];
    snprintf(text, sizeof text, "%012llx", (unsigned long long)now_us());
    for (; next_uuid < t->uuids.len && t->uuids.at[next_uuid] < end; next_uuid++)
        memcpy(t->text.data + t->uuids.at[next_uuid] + UUID - 12, text, 12);
}

static void lifecycle(const Prompt *p, const char *state) {
    static unsigned serial;
    if (!*p->uuid) return;
    say("{\"type\":\"command_lifecycle\",\"command_uuid\":\"%s\",\"state\":\"%s\","
        "\"uuid\":\"%08x-1111-4111-8111-%012x\",\"session_id\":\"%s\"}\n",
        p->uuid, state, ++serial, (unsigned)getpid(), session);
}

static void begin(void) {
    current = queue[0];
    memmove(queue, queue + 1, (size_t)--queued * sizeof *queue);
    playing = &turns[played < (unsigned)turn_files ? played : (unsigned)turn_files - 1];
    played++;
    next_line = next_uuid = 0;
    /* Turns that were asked for at once do not go on in step. */
    due_us = now_us() + (mode == TRICKLE ? getpid() * 7919LL % (interval_ms * 1000) : 0);
    stamp(playing);
    lifecycle(&current, "started");
}

static void finish(void) {
    lifecycle(&current, "completed");
    playing = NULL;
}

static void end_interrupted(void) {
    char ids[160] = "";
    if (*current.uuid) snprintf(ids, sizeof ids, ",\"user_message_uuid\":\"%s\",\"user_message_uuids\":[\"%s\"]", current.uuid, current.uuid);
    say("{\"type\":\"user\",\"message\":{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"[Request interrupted by user]\"}]},"
        "\"parent_tool_use_id\":null,\"session_id\":\"%s\",\"uuid\":\"%08x-2222-4222-8222-000000000000\"}\n", session, played);
    say("{\"type\":\"result\",\"subtype\":\"error_during_execution\",\"is_error\":true,\"duration_ms\":1,\"duration_api_ms\":0,\"num_turns\":1,"
        "\"stop_reason\":null,\"session_id\":\"%s\",\"total_cost_usd\":0.0,\"usage\":{\"input_tokens\":0,\"output_tokens\":0},\"modelUsage\":{},"
        "\"permission_denials\":[],\"terminal_reason\":\"aborted_streaming\",\"errors\":[\"[ede_diagnostic] result_type=user\"],"
        "\"uuid\":\"%08x-3333-4333-8333-000000000000\"%s}\n", session, played, ids);
    finish();
}

/* The next write's worth of the running turn. */
static void play(void) {
    const size_t *lines = playing->lines.at, count = playing->lines.len - 1;
    size_t until = mode == BURST ? count : mode == HOLD ? count - 1 : next_line + 1;
    if (mode == TRICKLE) date(playing, lines[until]);
    if (next_line < until) append(&out, playing->text.data + lines[next_line], lines[until] - lines[next_line]);
    next_line = until;
    due_us += interval_ms * 1000;
    if (next_line == count) finish();
}

/* ---- input ---- */

/* The value of a member of the object at `json`, NULL if there is none; strings with their quotes. Trusts the JSON to be well-formed. */
static const char *member(const char *json, const char *end, const char *name, size_t *len) {
    size_t name_len = strlen(name);
    int depth = 0;
    bool is_name = false, found = false;
    const char *value = NULL;
    for (const char *at = json; at < end; at++) {
        if (*at == '"') {
            const char *start = ++at;
            while (at < end && *at != '"') at += *at == '\\' ? 2 : 1;
            if (depth == 1 && is_name) found = (size_t)(at - start) == name_len && !memcmp(start, name, name_len);
        } else if (*at == '{' || *at == '[') {
            is_name = ++depth == 1;
        } else if (depth == 1 && *at == ':') {
            is_name = false;
            if (found) for (value = at + 1; *value == ' ';) value++;
        } else if ((depth == 1 && *at == ',') || *at == '}' || *at == ']') {
            if (depth == 1 && value) return *len = (size_t)(at - value), value;
            if (*at == ',') is_name = true;
            else depth--;
        }
    }
    return NULL;
}

static bool is(const char *value, size_t len, const char *text) {
    return value && len == strlen(text) + 2 && !memcmp(value + 1, text, len - 2);
}

static void succeed(const char *id, size_t id_len, const char *body, size_t body_len) {
    say("{\"type\":\"control_response\",\"response\":{\"subtype\":\"success\",\"request_id\":%.*s,\"response\":%.*s}}\n",
        (int)id_len, id, (int)body_len, body);
}

static void control(const char *line, const char *end) {
    size_t id_len = 0, request_len = 0, subtype_len = 0;
    const char *id = member(line, end, "request_id", &id_len), *request = member(line, end, "request", &request_len);
    if (!id || !request) errno = 0, die("control_request without request_id or request");
    const char *subtype = member(request, request + request_len, "subtype", &subtype_len);
    if (is(subtype, subtype_len, "initialize")) {
        succeed(id, id_len, initialize_response.data, initialize_response.len);
    } else if (is(subtype, subtype_len, "interrupt")) {
        succeed(id, id_len, "{\"still_queued\":[]}", 19);
        if (playing) end_interrupted();
    } else {
        succeed(id, id_len, "{}", 2);
    }
}

static void handle(const char *line, const char *end) {
    size_t len = 0;
    const char *type = member(line, end, "type", &len);
    if (is(type, len, "control_request")) {
        control(line, end);
    } else if (is(type, len, "user")) {
        if (queued == MAX_QUEUED) errno = 0, die("too many prompts are waiting");
        Prompt *p = &queue[queued++];
        const char *uuid = member(line, end, "uuid", &len);
        bool given = uuid && len == UUID + 2;
        memcpy(p->uuid, given ? uuid + 1 : "", given ? UUID : 1);
        p->uuid[given ? UUID : 0] = 0;
        lifecycle(p, "queued");
    }
}

static bool read_input(void) {
    reserve(&in, 65536);
    ssize_t got = read(STDIN_FILENO, in.data + in.len, 65536);
    if (got < 0) die("stdin");
    in.len += (size_t)got;
    char *start = in.data, *end = in.data + in.len, *newline;
    while ((newline = memchr(start, '\n', (size_t)(end - start)))) {
        handle(start, newline);
        start = newline + 1;
    }
    memmove(in.data, start, in.len = (size_t)(end - start));
    return got > 0;
}

static void flush(void) {
    while (written < out.len) {
        ssize_t put = write(STDOUT_FILENO, out.data + written, out.len - written);
        if (put < 0 && errno == EAGAIN) return;
        if (put < 0) die("stdout");
        written += (size_t)put;
    }
    written = out.len = 0;
}

/* ---- the loop ---- */

static void run(void) {
    for (bool open = true;;) {
        bool held = playing && mode == HOLD && next_line > 0;
        if (!open && written == out.len && (held || (!playing && !queued))) return;
        long long wait = -1;
        if (!playing && queued) begin();
        if (playing && !held && written == out.len) {
            wait = mode == TRICKLE ? due_us - now_us() : 0;
            if (wait < 0) wait = 0;
        }
        struct timespec until = {wait / 1000000, wait % 1000000 * 1000};
        struct pollfd fds[] = {{open ? STDIN_FILENO : -1, POLLIN, 0}, {written < out.len ? STDOUT_FILENO : -1, POLLOUT, 0}};
        if (ppoll(fds, 2, wait < 0 ? NULL : &until, NULL) < 0 && errno != EINTR) die("poll");
        if (fds[0].revents) open = read_input();
        if (wait >= 0 && playing && (mode != TRICKLE || now_us() >= due_us)) play();
        flush();
    }
}

static void configure(int argc, char **argv) {
    snprintf(session, sizeof session, "%08x-%04x-4000-8000-000000000000", (unsigned)getpid(), (unsigned)time(NULL) & 0xffff);
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--version") || !strcmp(argv[i], "-v")) exit(puts("2.1.329 (Claude Code)") < 0);
        const char *equals = strchr(argv[i], '='), *given = equals ? equals + 1 : i + 1 < argc ? argv[i + 1] : "";
        bool names = !strncmp(argv[i], "--session-id", 12) || !strncmp(argv[i], "--resume", 8);
        if (names && strlen(given) == UUID) memcpy(session, given, UUID);
    }
    const char *files = getenv("PLAYER_TURNS"), *init = getenv("PLAYER_INIT"), *how = getenv("PLAYER_MODE"), *ms = getenv("PLAYER_INTERVAL");
    if (!files) errno = 0, die("PLAYER_TURNS is not set");
    if (ms) interval_ms = strtol(ms, NULL, 10);
    if (how) mode = !strcmp(how, "line") ? LINE : !strcmp(how, "trickle") ? TRICKLE : !strcmp(how, "hold") ? HOLD : BURST;
    char *paths = strdup(files);
    for (char *path = strtok(paths, ":"); path && turn_files < MAX_TURNS; path = strtok(NULL, ":")) load(&turns[turn_files++], path);
    free(paths);
    if (init) initialize_response = slurp(init);
    else append(&initialize_response, "{}", 2);
}

int main(int argc, char **argv) {
    configure(argc, argv);
    if (fcntl(STDOUT_FILENO, F_SETFL, fcntl(STDOUT_FILENO, F_GETFL) | O_NONBLOCK) < 0) die("stdout");
    run();
    return 0;
}
