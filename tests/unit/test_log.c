/* needs: kernel/log.c kernel/log_filter.c kernel/lock.c kernel/time.c */
/* The log: the reference's line formats, directives, escapes, the file, and changes at run time.
 * Standard output is caught in a file. */

/* cmocka.h needs the four before it. clang-format would sort it first. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernel/log.h"

#define STAMP "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{6}Z"

static int real_fd[3], catch_fd[3];
static char text[1 << 20];

static void catch_begin(int fd)
{
    char path[] = "/tmp/test_log.XXXXXX";

    fflush(stdout);
    catch_fd[fd] = mkstemp(path);
    unlink(path);
    real_fd[fd] = dup(fd);
    dup2(catch_fd[fd], fd);
}

/* What came out since begin, in `text`. */
static const char *catch_end(int fd)
{
    dup2(real_fd[fd], fd);
    close(real_fd[fd]);
    ssize_t n = pread(catch_fd[fd], text, sizeof(text) - 1, 0);
    close(catch_fd[fd]);
    text[n > 0 ? n : 0] = 0;
    return text;
}

static void assert_matches(const char *s, const char *pattern)
{
    regex_t re;

    assert_int_equal(regcomp(&re, pattern, REG_EXTENDED | REG_NOSUB), 0);
    int rc = regexec(&re, s, 0, NULL, 0);
    regfree(&re);
    if (rc != 0)
        fail_msg("'%s' does not match '%s'", s, pattern);
}

static void configure(const char *level, uint32_t format, uint32_t color)
{
    struct sx_log_conf conf = {.level = level, .format = format, .color = color};
    struct sx_err err = SX_ERR_INIT;

    assert_int_equal(sx_log_configure(&conf, &err), 0);
}

/* First test: nothing has been configured. */
static void test_before_configuration(void **state)
{
    (void)state;
    assert_int_equal(sx_log_on(SX_LOG_INFO, "m", "r"), 1);
    assert_int_equal(sx_log_on(SX_LOG_DEBUG, "m", "r"), 0);
    assert_int_equal(sx_log_on(99, "m", "r"), 0);
    catch_begin(1);
    sx_log_write(SX_LOG_INFO, "m", "r", "early %d", 1);
    sx_log_write(SX_LOG_DEBUG, "m", "r", "not this");
    assert_matches(catch_end(1), "^" STAMP "  INFO m::r: early 1\n$");
}

static void test_text(void **state)
{
    static const char *const padded[] = {"ERROR", " WARN", " INFO", "DEBUG", "TRACE"};

    (void)state;
    configure("trace", SX_LOG_TEXT, SX_LOG_COLOR_AUTO);
    for (uint32_t level = 0; level < 5; level++) {
        char pattern[256];
        catch_begin(1);
        errno = 5;
        sx_log_write(level, "transport-rest", "http", "listening on %d", 6333);
        assert_int_equal(errno, 5);
        snprintf(pattern, sizeof(pattern),
                 "^" STAMP " %s transport-rest::http: listening on 6333\n$", padded[level]);
        assert_matches(catch_end(1), pattern);
    }
    catch_begin(1);
    sx_log_write(SX_LOG_INFO, "transport-rest", "actix_web::middleware::logger", "x");
    sx_log_write(SX_LOG_INFO, "engine", "", "y");
    sx_log_write(SX_LOG_INFO, "engine", NULL, "z");
    assert_matches(catch_end(1), "^" STAMP "  INFO actix_web::middleware::logger: x\n" STAMP
                                 "  INFO engine: y\n" STAMP "  INFO engine: z\n$");
    configure("info", SX_LOG_TEXT, SX_LOG_COLOR_ON);
    catch_begin(1);
    sx_log_write(SX_LOG_WARN, "m", "r", "c");
    assert_matches(catch_end(1),
                   "^\x1b\\[2m" STAMP
                   "\x1b\\[0m \x1b\\[33m WARN\x1b\\[0m \x1b\\[2mm::r\x1b\\[0m\x1b\\[2m:\x1b\\[0m "
                   "c\n$");
}

static void test_json(void **state)
{
    (void)state;
    configure("info", SX_LOG_JSON, SX_LOG_COLOR_ON); /* colour means nothing here */
    catch_begin(1);
    sx_log_write(SX_LOG_ERROR, "m", "r", "a \"quoted\\\" word\n\ttab \x01");
    assert_matches(
        catch_end(1),
        "^\\{\"timestamp\":\"" STAMP
        "\",\"level\":\"ERROR\",\"fields\":\\{\"message\":\"a \\\\\"quoted\\\\\\\\\\\\\" "
        "word\\\\n\\\\ttab \\\\u0001\"\\},\"target\":\"m::r\"\\}\n$");
}

/* Nothing in a message can begin a new line. */
static void test_one_line_per_event(void **state)
{
    char *big = malloc(300000);

    (void)state;
    configure("info", SX_LOG_TEXT, SX_LOG_COLOR_OFF);
    catch_begin(1);
    sx_log_write(SX_LOG_INFO, "m", "r", "%s", "name\n2025-01-01T00:00:00Z ERROR fake\r\x1b[31m");
    assert_matches(catch_end(1), "^" STAMP "  INFO m::r: name\\\\n2025-01-01T00:00:00Z ERROR "
                                 "fake\\\\x0d\\\\x1b\\[31m\n$");
    assert_non_null(big);
    static const size_t sizes[] = {681, 682, 683, 4095, 4096, 4097, 5000, 100000, 299999};
    for (uint32_t i = 0; i < SX_COUNT(sizes); i++) {
        for (uint32_t kind = 0; kind < 2; kind++) {
            memset(big, kind ? '\n' : 'x', sizes[i]);
            big[sizes[i]] = 0;
            catch_begin(1);
            sx_log_write(SX_LOG_INFO, "m", "r", "%s", big);
            const char *line = catch_end(1);
            size_t head = strlen("2025-01-31T12:00:00.123456Z  INFO m::r: ");
            assert_int_equal(strlen(line), head + sizes[i] * (1 + kind) + 1);
            assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
        }
    }
    free(big);
}

static void test_directives(void **state)
{
    static const struct {
        const char *directives;
        uint32_t level;
        const char *module, *room;
        uint32_t is_on;
    } cases[] = {
        {"INFO", SX_LOG_INFO, "engine", "shard", 1},
        {"INFO", SX_LOG_DEBUG, "engine", "shard", 0},
        {"debug", SX_LOG_DEBUG, "engine", "shard", 1},
        {"2", SX_LOG_WARN, "engine", "shard", 1},
        {"2", SX_LOG_INFO, "engine", "shard", 0},
        {"off", SX_LOG_ERROR, "engine", "shard", 0},
        {"", SX_LOG_INFO, "engine", "shard", 1},
        /* quiet rooms, unless asked for by name */
        {"INFO", SX_LOG_INFO, "engine", "wal", 0},
        {"INFO", SX_LOG_WARN, "engine", "wal", 1},
        {"TRACE", SX_LOG_INFO, "engine", "wal", 0},
        {"ERROR", SX_LOG_WARN, "engine", "wal", 0},
        {"INFO,wal=debug", SX_LOG_DEBUG, "engine", "wal", 1},
        {"INFO,wal=debug", SX_LOG_DEBUG, "engine", "shard", 0},
        {"INFO,raft=info", SX_LOG_INFO, "consensus-raft", "raft", 1},
        /* modules, targets, heads of targets */
        {"WARN,engine=trace", SX_LOG_TRACE, "engine", "shard", 1},
        {"WARN,engine::shard=trace", SX_LOG_TRACE, "engine", "shard", 1},
        {"WARN,engine::shard=trace", SX_LOG_TRACE, "engine", "plan", 0},
        {"WARN,engine::sh=trace", SX_LOG_TRACE, "engine", "shard", 0},
        {"INFO,actix_web=error", SX_LOG_INFO, "transport-rest", "actix_web::middleware::logger", 0},
        {"INFO,actix_web::middleware=error", SX_LOG_INFO, "t", "actix_web::middleware::logger", 0},
        {"INFO,actix=error", SX_LOG_INFO, "t", "actix_web::middleware::logger", 1},
        /* the longest match wins, of equals the last */
        {"engine=error,engine::shard=debug,engine=warn", SX_LOG_DEBUG, "engine", "shard", 1},
        {"engine=error,engine::shard=debug,engine=warn", SX_LOG_WARN, "engine", "plan", 1},
        {"engine=error,engine::shard=debug,engine=warn", SX_LOG_INFO, "engine", "plan", 0},
        /* names alone: everything of it, and errors of the rest */
        {"engine", SX_LOG_TRACE, "engine", "x", 1},
        {"engine", SX_LOG_ERROR, "other", "x", 1},
        {"engine", SX_LOG_WARN, "other", "x", 0},
        /* the server's own names mean all of it */
        {"error,qdrant=debug", SX_LOG_DEBUG, "engine", "x", 1},
        {"error,sextant=debug", SX_LOG_DEBUG, "engine", "x", 1},
        {"error,sextant=debug,engine=warn", SX_LOG_DEBUG, "engine", "x", 0},
        {" INFO , engine = debug ,", SX_LOG_DEBUG, "engine", "x", 1},
        {"info,engine=OFF", SX_LOG_ERROR, "engine", "x", 0},
    };
    static const char *const bad[] = {"INFO,engine=loud", "=debug", "engine=7"};

    (void)state;
    for (uint32_t i = 0; i < SX_COUNT(cases); i++) {
        configure(cases[i].directives, SX_LOG_TEXT, SX_LOG_COLOR_OFF);
        uint32_t is_on = sx_log_on(cases[i].level, cases[i].module, cases[i].room);
        if (is_on != cases[i].is_on)
            fail_msg("case %u: '%s' gives %u", i, cases[i].directives, is_on);
    }
    configure("error", SX_LOG_TEXT, SX_LOG_COLOR_OFF);
    for (uint32_t i = 0; i < SX_COUNT(bad); i++) {
        struct sx_log_conf conf = {.level = bad[i]};
        struct sx_err err = SX_ERR_INIT;
        assert_int_equal(sx_log_check(bad[i], &err), SX_EINPUT);
        assert_true(err.msg[0]);
        assert_int_equal(sx_log_configure(&conf, NULL), SX_EINPUT);
        assert_int_equal(sx_log_on(SX_LOG_WARN, "m", "r"), 0); /* unchanged */
    }
}

static const char *file_text(const char *path)
{
    int fd = open(path, O_RDONLY);
    ssize_t n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : 0;

    close(fd);
    text[n > 0 ? n : 0] = 0;
    return text;
}

static void test_file(void **state)
{
    char path[] = "/tmp/test_log_file.XXXXXX";
    struct sx_log_conf conf = {
        .level = "error",
        .on_disk = 1,
        .disk_format = SX_LOG_JSON,
        .file = path,
        .disk_level = "info",
        .disk_buffer_size = 200,
    };

    (void)state;
    close(mkstemp(path));
    assert_int_equal(sx_log_configure(&conf, NULL), 0);
    catch_begin(1);
    sx_log_write(SX_LOG_INFO, "m", "r", "one");
    assert_string_equal(catch_end(1), "");            /* below standard output's level */
    assert_string_equal(file_text(path), "");         /* still in the buffer */
    sx_log_write(SX_LOG_INFO, "m", "r", "%0100d", 2); /* does not fit: the first goes out */
    assert_matches(file_text(path), "^\\{[^\n]*\"one\"[^\n]*\\}\n$");
    sx_log_flush();
    assert_matches(file_text(path), "\"one\"[^\n]*\n[^\n]*0002\"[^\n]*\n$");
    sx_log_write(SX_LOG_INFO, "m", "r", "%0500d", 3); /* larger than the buffer: straight out */
    assert_matches(file_text(path), "0002\"[^\n]*\n[^\n]*0003\"[^\n]*\n$");

    /* Another configuration flushes, and appends to the same file. */
    sx_log_write(SX_LOG_INFO, "m", "r", "four");
    conf.disk_format = SX_LOG_TEXT;
    assert_int_equal(sx_log_configure(&conf, NULL), 0);
    sx_log_write(SX_LOG_INFO, "m", "r", "five");
    sx_log_flush();
    assert_matches(file_text(path), "one.*0003.*four[^\n]*\n" STAMP "  INFO m::r: five\n$");
    conf.on_disk = 0;
    assert_int_equal(sx_log_configure(&conf, NULL), 0);
    assert_int_equal(sx_log_on(SX_LOG_INFO, "m", "r"), 0);
    unlink(path);
}

static void test_file_refused(void **state)
{
    struct sx_log_conf conf = {.on_disk = 1, .file = "/nonexistent/x.log"};

    (void)state;
    catch_begin(2);
    assert_int_equal(sx_log_configure(&conf, NULL), 0);
    assert_string_equal(catch_end(2),
                        "failed to enable logging into /nonexistent/x.log log-file: failed to "
                        "open log file /nonexistent/x.log\n");
    conf.file = NULL;
    catch_begin(2);
    assert_int_equal(sx_log_configure(&conf, NULL), 0);
    assert_string_equal(catch_end(2),
                        "failed to enable logging into  log-file: log file is not specified (it "
                        "can only be specified in the config file)\n");
    catch_begin(1);
    sx_log_write(SX_LOG_INFO, "m", "r", "still here");
    assert_matches(catch_end(1), "still here\n$");
}

/* Lines of several threads, the configuration changing meanwhile: each line is whole. */
static uint32_t end;

static void *log_main(void *arg)
{
    for (uint32_t i = 0; i < 500; i++)
        sx_log_write(SX_LOG_INFO, "m", (const char *)arg, "line %u <%060d>", i, 0);
    return NULL;
}

static void *conf_main(void *arg)
{
    struct sx_log_conf conf = {.level = "info", .on_disk = 1, .file = arg, .disk_buffer_size = 300};

    for (uint32_t i = 0; !__atomic_load_n(&end, __ATOMIC_ACQUIRE); i++) {
        conf.on_disk = i % 2;
        sx_log_configure(&conf, NULL);
    }
    return NULL;
}

static void test_threads(void **state)
{
    pthread_t threads[3], changer;
    char path[] = "/tmp/test_log_file.XXXXXX";
    uint32_t n = 0, n_file = 0;

    (void)state;
    close(mkstemp(path));
    configure("info", SX_LOG_TEXT, SX_LOG_COLOR_OFF);
    catch_begin(1);
    static char rooms[3][2] = {"a", "b", "c"};
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, log_main, rooms[i]), 0);
    assert_int_equal(pthread_create(&changer, NULL, conf_main, path), 0);
    for (uint32_t i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    __atomic_store_n(&end, 1, __ATOMIC_RELEASE);
    pthread_join(changer, NULL);
    configure("info", SX_LOG_TEXT, SX_LOG_COLOR_OFF);
    catch_end(1);
    regex_t re;
    assert_int_equal(
        regcomp(&re, "^" STAMP "  INFO m::[abc]: line [0-9]+ <0{60}>$", REG_EXTENDED | REG_NOSUB),
        0);
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"), n++)
        assert_int_equal(regexec(&re, line, 0, NULL, 0), 0);
    assert_int_equal(n, 1500);
    file_text(path);
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"), n_file++)
        assert_int_equal(regexec(&re, line, 0, NULL, 0), 0);
    assert_true(n_file <= 1500);
    regfree(&re);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_before_configuration),
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_one_line_per_event),
        cmocka_unit_test(test_directives),
        cmocka_unit_test(test_file),
        cmocka_unit_test(test_file_refused),
        cmocka_unit_test(test_threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
