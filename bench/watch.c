#include "bench/watch.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

enum { TEXT_MAX = 8192, FAMILY_MAX = 4096 };

/* The whole of a small file, NUL-terminated; false: it can't be read. */
static bool read_text(const char *path, char *text, size_t cap)
{
    FILE *f = fopen(path, "re");
    size_t n = f ? fread(text, 1, cap - 1, f) : 0;

    text[n] = 0;
    if (f)
        fclose(f);
    return n > 0;
}

static int64_t tick_ns(void)
{
    return 1000000000 / sysconf(_SC_CLK_TCK);
}

/* --- processes ------------------------------------------------------------ */

/* Field `first` of /proc/PID/stat and those behind it (proc(5) counts from 1; the name,
 * which may hold anything, is field 2). */
static bool stat_fields(int pid, int first, int64_t *to, unsigned count)
{
    char path[64], text[TEXT_MAX], *at;

    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    if (!read_text(path, text, sizeof text) || !(at = strrchr(text, ')')))
        return false;
    at++;
    for (int field = 3; field < first && at; field++)
        at = strchr(at + 1, ' ');
    for (unsigned i = 0; i < count; i++) {
        char *end;

        if (!at)
            return false;
        to[i] = strtoll(at, &end, 10);
        at = end;
    }
    return true;
}

/* The processes to be looked at: those named, and with --server-tree all below them. */
struct family {
    int pids[FAMILY_MAX];
    unsigned count;
};

static bool in_family(const struct family *f, int64_t pid)
{
    for (unsigned i = 0; i < f->count; i++)
        if (f->pids[i] == pid)
            return true;
    return false;
}

/* One more generation; false: nobody was added. */
static bool add_children(
    struct family *f, const int *all, const int64_t *parents, unsigned count)
{
    unsigned before = f->count;

    for (unsigned i = 0; i < count && f->count < FAMILY_MAX; i++)
        if (!in_family(f, all[i]) && in_family(f, parents[i]))
            f->pids[f->count++] = all[i];
    return f->count > before;
}

static void add_descendants(struct family *f)
{
    static int all[65536];
    static int64_t parents[65536];
    unsigned count = 0;
    DIR *dir = opendir("/proc");
    const struct dirent *entry;

    while (dir && count < 65536 && (entry = readdir(dir))) {
        all[count] = atoi(entry->d_name);
        if (all[count] > 0 && stat_fields(all[count], 4, &parents[count], 1))
            count++;
    }
    if (dir)
        closedir(dir);
    while (add_children(f, all, parents, count))
        ;
}

static void find_family(const struct watch *w, struct family *f)
{
    f->count = w->o->pids.count;
    memcpy(f->pids, w->o->pids.at, f->count * sizeof *f->pids);
    if (w->o->server_tree)
        add_descendants(f);
}

/* To the nanosecond, with threads that have ended; -1: it is not there. */
static int64_t process_ns(int pid)
{
    struct timespec ts;
    clockid_t clock;

    if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &ts) != 0)
        return -1;
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

/* Children that have ended count at their parent (fields 16 and 17 behind 14 and 15), in
 * ticks; so a tree is counted in ticks, and single processes exactly. */
static struct watch_cpu processes_cpu(const struct watch *w)
{
    static struct family f;
    struct watch_cpu cpu = {.known = true};
    bool tree = w->o->server_tree;

    find_family(w, &f);
    for (unsigned i = 0; i < f.count; i++) {
        int64_t t[4] = {0}, ns = tree ? 0 : process_ns(f.pids[i]);

        if (!stat_fields(f.pids[i], 14, t, 4) || ns < 0) {
            cpu.known &= i >= w->o->pids.count; /* a child may come and go */
            continue;
        }
        cpu.user_ns += (t[0] + (tree ? t[2] : 0)) * tick_ns();
        cpu.system_ns += (t[1] + (tree ? t[3] : 0)) * tick_ns();
        cpu.total_ns += ns;
    }
    if (tree)
        cpu.total_ns = cpu.user_ns + cpu.system_ns;
    return cpu;
}

static int64_t memory_of(const struct family *f)
{
    char path[64], text[TEXT_MAX];
    int64_t sum = -1;

    for (unsigned i = 0; i < f->count; i++) {
        const char *at;

        snprintf(path, sizeof path, "/proc/%d/smaps_rollup", f->pids[i]);
        if (!read_text(path, text, sizeof text) || !(at = strstr(text, "\nPss:")))
            continue;
        sum = (sum < 0 ? 0 : sum) + strtoll(at + 5, NULL, 10) * 1024;
    }
    return sum;
}

static int64_t processes_memory(const struct watch *w)
{
    static struct family f;

    find_family(w, &f);
    return memory_of(&f);
}

/* --- control groups ------------------------------------------------------- */

static bool group_text(const struct watch *w, const char *name, char *text, size_t cap)
{
    char path[WATCH_PATH_MAX];
    int n = snprintf(path, sizeof path, "%s/%s", w->o->cgroup, name);

    return n > 0 && (size_t)n < sizeof path && read_text(path, text, cap);
}

/* The number behind a word at the start of a line. */
static int64_t number_of(const char *text, const char *word)
{
    size_t len = strlen(word);

    for (const char *at = text; at; at = strchr(at, '\n')) {
        at += *at == '\n';
        if (strncmp(at, word, len) == 0 && at[len] == ' ')
            return strtoll(at + len, NULL, 10);
        if (!*at)
            break;
    }
    return 0;
}

static struct watch_cpu group_cpu(const struct watch *w)
{
    struct watch_cpu cpu = {.known = true};
    char text[TEXT_MAX];

    if (group_text(w, "cpu.stat", text, sizeof text) && strstr(text, "usage_usec")) {
        cpu.total_ns = number_of(text, "usage_usec") * 1000;
        cpu.user_ns = number_of(text, "user_usec") * 1000;
        cpu.system_ns = number_of(text, "system_usec") * 1000;
    } else if (group_text(w, "cpuacct.usage", text, sizeof text)) { /* version 1 */
        cpu.total_ns = strtoll(text, NULL, 10);
        if (group_text(w, "cpuacct.stat", text, sizeof text)) {
            cpu.user_ns = number_of(text, "user") * tick_ns();
            cpu.system_ns = number_of(text, "system") * tick_ns();
        }
    } else {
        cpu.known = false;
    }
    return cpu;
}

static void find_members(const struct watch *w, struct family *f)
{
    static char text[FAMILY_MAX * 8];
    char *at = text, *end;

    f->count = 0;
    if (!group_text(w, "cgroup.procs", text, sizeof text))
        return;
    for (; f->count < FAMILY_MAX; at = end) {
        f->pids[f->count] = (int)strtol(at, &end, 10);
        if (end == at)
            return;
        f->count++;
    }
}

/* Without a memory controller (it may be one of version 1, elsewhere): of its processes.
 */
static int64_t group_memory(const struct watch *w)
{
    static struct family f;
    char text[TEXT_MAX];

    if (group_text(w, "memory.current", text, sizeof text) ||
        group_text(w, "memory.usage_in_bytes", text, sizeof text))
        return strtoll(text, NULL, 10);
    find_members(w, &f);
    return memory_of(&f);
}

/* --- the disk ------------------------------------------------------------- */

/* Flushes are counted for a whole disk only, so of a partition the disk is taken. */
static bool find_disk(struct watch *w, struct out *why)
{
    char path[64], answer[16];
    struct stat st;
    bool part;

    if (stat(w->o->data, &st) < 0) {
        out_str(why, "--server-data ");
        out_str(why, w->o->data);
        out_str(why, ": ");
        out_str(why, strerror(errno));
        return false;
    }
    snprintf(
        path, sizeof path, "/sys/dev/block/%u:%u", major(st.st_dev), minor(st.st_dev));
    snprintf(w->disk, sizeof w->disk, "%s/partition", path);
    part = access(w->disk, F_OK) == 0;
    snprintf(w->disk, sizeof w->disk, "%s%s/queue/fua", path, part ? "/.." : "");
    w->fua = read_text(w->disk, answer, sizeof answer) && answer[0] == '1';
    snprintf(w->disk, sizeof w->disk, "%s%s/stat", path, part ? "/.." : "");
    if (access(w->disk, R_OK) != 0)
        w->disk[0] = 0; /* no disk of its own: tmpfs, overlay */
    return true;
}

struct watch_disk watch_disk(const struct watch *w)
{
    struct watch_disk disk = {0};
    unsigned long long v[17] = {0};
    char text[TEXT_MAX], *at = text, *end;
    unsigned count = 0;

    if (!w->disk[0] || !read_text(w->disk, text, sizeof text))
        return disk;
    for (; count < 17; count++, at = end) {
        v[count] = strtoull(at, &end, 10);
        if (end == at)
            break;
    }
    disk.known = count >= 16;
    disk.fua = w->fua;
    disk.writes = v[4];
    disk.sectors = v[6];
    disk.flushes = v[15];
    return disk;
}

/* --- all of it ------------------------------------------------------------ */

struct watch_cpu watch_cpu(const struct watch *w)
{
    if (*w->o->cgroup)
        return group_cpu(w);
    if (w->o->pids.count)
        return processes_cpu(w);
    return (struct watch_cpu){0};
}

int64_t watch_memory(const struct watch *w)
{
    if (*w->o->cgroup)
        return group_memory(w);
    return w->o->pids.count ? processes_memory(w) : -1;
}

bool watch_open(struct watch *w, const struct options *o, struct out *why)
{
    int64_t field;

    *w = (struct watch){.o = o};
    for (unsigned i = 0; i < o->pids.count; i++)
        if (!stat_fields(o->pids.at[i], 4, &field, 1)) {
            out_str(why, "--server-pid ");
            out_u64(why, (uint64_t)o->pids.at[i]);
            out_str(why, ": no such process");
            return false;
        }
    if (*o->cgroup && !group_cpu(w).known) {
        out_str(why, "--server-cgroup ");
        out_str(why, o->cgroup);
        out_str(why,
            ": no cpu.stat or cpuacct.usage there; write a folder of "
            "/sys/fs/cgroup");
        return false;
    }
    return !*o->data || find_disk(w, why);
}
