/* powerloss_recover DIR SIDE SEED [MODE]: after the process that powerloss.c watched was killed, take DIR to a state in which a machine
 * without power could have left its disk, and begin a new journal. Prints one line of what was undone.
 *
 * What a sync has covered stays. For each file, one of these is drawn for what none has covered (MODE names one for all):
 *   drop      nothing of it reached the disk
 *   tear      a prefix of the writes did, and of the next one the first bytes, cut anywhere
 *   scramble  each block (512 or 4096 bytes) by itself is as after any of the writes; the size as well; a block that is not there is zeros
 *   keep      everything did
 * For each directory a prefix of its changes reached the disk. Files whose directory was not synced may so be gone, with all their data. */
#include "powerloss.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum mode { DROP, TEAR, SCRAMBLE, KEEP, ANY };
static const char *const mode_names[] = {"drop", "tear", "scramble", "keep"};

struct changed { /* a file or directory with changes that no sync has covered */
	uint64_t inode, synced_to;
	bool directory;
	struct entry **entries;
	size_t count, cap, kept; /* kept: of a directory, so many stay */
};

static const char *dir, *side;
static struct journal_head *journal;
static struct changed *all;
static size_t all_count;
static uint64_t random_state;
static struct {
	unsigned long long writes, bytes, files, torn, scrambled, names;
} undone;

static _Noreturn void die(const char *what, const char *about)
{
	fprintf(stderr, "powerloss_recover: %s: %s (%s)\n", about, what, strerror(errno));
	exit(1);
}

static uint64_t draw(uint64_t below)
{
	uint64_t x = random_state += 0x9e3779b97f4a7c15ull;
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ x >> 27) * 0x94d049bb133111ebull;
	return below ? (x ^ x >> 31) % below : 0;
}

/* ---- reading the journal ---- */

static struct changed *find(uint64_t inode, bool directory)
{
	for (size_t i = 0; i < all_count; i++)
		if (all[i].inode == inode && all[i].directory == directory)
			return &all[i];
	if (!(all = realloc(all, (all_count + 1) * sizeof *all)))
		die("no memory", dir);
	all[all_count] = (struct changed){.inode = inode, .directory = directory};
	return &all[all_count++];
}

static struct entry *entry_at(uint64_t at)
{
	return (struct entry *)((char *)journal + JOURNAL_START + at);
}

static bool of_directory(const struct entry *e)
{
	return e->kind >= ENTRY_CREATE;
}

static void read_journal(void)
{
	for (uint64_t at = 0; at < journal->used; at += entry_at(at)->size) {
		struct entry *e = entry_at(at);
		if (e->kind != ENTRY_SYNC && e->kind != ENTRY_SYNC_DIR)
			continue;
		struct changed *c = find(e->inode, of_directory(e));
		if (e->a > c->synced_to) /* of two at once the one that began first may end last */
			c->synced_to = e->a;
	}
	for (uint64_t at = 0; at < journal->used; at += entry_at(at)->size) {
		struct entry *e = entry_at(at);
		struct changed *c = find(e->inode, of_directory(e));
		if (e->kind == ENTRY_SYNC || e->kind == ENTRY_SYNC_DIR || e->number <= c->synced_to)
			continue;
		if (c->count == c->cap) {
			c->cap = c->cap ? c->cap * 2 : 16;
			if (!(c->entries = realloc(c->entries, c->cap * sizeof *c->entries)))
				die("no memory", dir);
		}
		c->entries[c->count++] = e;
	}
}

/* ---- finding files by their number ---- */

static bool find_below(const char *below, uint64_t inode, char *out)
{
	DIR *d = opendir(below);
	struct dirent *e;
	struct stat st;
	char path[PATH_MAX];
	bool found = false;
	while (d && !found && (e = readdir(d))) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 ||
		    snprintf(path, sizeof path, "%s/%s", below, e->d_name) >= (int)sizeof path || lstat(path, &st))
			continue;
		if ((found = st.st_ino == inode))
			strcpy(out, path);
		else if (S_ISDIR(st.st_mode))
			found = find_below(path, inode, out);
	}
	if (d)
		closedir(d);
	return found;
}

/* A directory that was removed and made again has another number. */
static struct {
	uint64_t old, now;
} again[1024];
static size_t again_count;

static bool find_path(uint64_t inode, char *out)
{
	struct stat st;
	for (size_t i = again_count; i-- > 0;)
		if (again[i].old == inode) {
			inode = again[i].now;
			break;
		}
	if (stat(dir, &st) == 0 && st.st_ino == inode)
		return strcpy(out, dir), true;
	return find_below(dir, inode, out) || find_below(side, inode, out);
}

/* ---- files ---- */

static void put(int fd, const struct entry *e, uint64_t from, uint64_t to)
{
	/* Bytes [from, to) of the file as they were before e; behind its old end they were not there: zeros until the size is set. */
	static const char zeros[4096];
	uint64_t base = e->a;
	while (from < to) {
		uint64_t n = to - from;
		const char *data = zeros;
		uint64_t held = base + e->payload_size;
		if (from < held && !e->zeros) {
			data = (const char *)(e + 1) + (from - base);
			n = to < held ? to - from : held - from;
		} else if (n > sizeof zeros)
			n = sizeof zeros;
		if (pwrite(fd, data, n, (off_t)from) != (ssize_t)n)
			die("cannot write", dir);
		from += n;
	}
}

static void set_size(int fd, uint64_t size)
{
	if (ftruncate(fd, (off_t)size))
		die("cannot set the size", dir);
}

/* Undo e but for its first `keep` bytes. */
static void undo(int fd, const struct entry *e, uint64_t keep)
{
	if (e->kind == ENTRY_RESIZE) {
		set_size(fd, e->c);
		if (e->a < e->c)
			put(fd, e, e->a, e->c);
		return;
	}
	uint64_t end = e->a + e->b < e->c ? e->a + e->b : e->c;
	if (e->a + keep < end)
		put(fd, e, e->a + keep, end);
	set_size(fd, keep && e->a + keep > e->c ? e->a + keep : e->c);
}

static uint64_t size_after(const struct changed *c, size_t kept, uint64_t now)
{
	return kept < c->count ? c->entries[kept]->c : now;
}

static void scramble(int fd, const struct changed *c)
{
	uint64_t block = draw(2) ? 512 : 4096;
	struct stat st;
	if (fstat(fd, &st))
		die("cannot stat", dir);
	uint64_t size = size_after(c, draw(c->count + 1), (uint64_t)st.st_size), seed = draw(UINT64_MAX);
	for (size_t i = c->count; i-- > 0;) {
		const struct entry *e = c->entries[i];
		for (uint64_t at = e->a; at < e->a + e->b;) {
			uint64_t end = (at / block + 1) * block, saved = random_state;
			if (end > e->a + e->b)
				end = e->a + e->b;
			random_state = seed ^ (at / block) * 0x2545f4914f6cdd1dull; /* the same for this block in every write */
			bool lost = i >= draw(c->count + 1);
			random_state = saved;
			if (lost)
				put(fd, e, at, end);
			at = end;
		}
	}
	set_size(fd, size);
	undone.scrambled++;
}

static enum mode choose(const struct changed *c, enum mode mode)
{
	if (mode == ANY)
		mode = (enum mode)draw(ANY);
	for (size_t i = 0; mode == SCRAMBLE && i < c->count; i++)
		if (c->entries[i]->kind != ENTRY_WRITE)
			mode = TEAR;
	return mode;
}

static void recover_file(const struct changed *c, enum mode mode)
{
	char path[PATH_MAX];
	mode = choose(c, mode);
	if (c->count == 0 || mode == KEEP || !find_path(c->inode, path))
		return; /* not found: it was killed before it was made, or nothing has its name any more */
	int fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		die("cannot open", path);
	undone.files++;
	if (mode == SCRAMBLE) {
		scramble(fd, c);
		close(fd);
		return;
	}
	size_t kept = mode == DROP ? 0 : draw(c->count);
	for (size_t i = c->count; i-- > kept;) {
		const struct entry *e = c->entries[i];
		uint64_t keep = mode == TEAR && i == kept && e->kind == ENTRY_WRITE ? draw(e->b) : 0;
		undo(fd, e, keep);
		undone.torn += keep != 0;
		undone.writes++;
		undone.bytes += e->kind == ENTRY_WRITE ? e->b - keep : 0;
	}
	close(fd);
}

/* ---- directories ---- */

static void remove_tree(const char *path)
{
	DIR *d = opendir(path);
	struct dirent *e;
	char child[PATH_MAX];
	while (d && (e = readdir(d))) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 ||
		    snprintf(child, sizeof child, "%s/%s", path, e->d_name) >= (int)sizeof child)
			continue;
		if (unlink(child))
			remove_tree(child);
	}
	if (d)
		closedir(d);
	if (rmdir(path))
		die("cannot remove", path);
}

static void kept_path(const struct entry *e, char *out)
{
	snprintf(out, PATH_MAX, "%s/%llu.kept", side, (unsigned long long)e->b);
}

static void undo_name(const struct entry *e)
{
	static char at[PATH_MAX], path[2 * PATH_MAX], from[2 * PATH_MAX], kept[PATH_MAX];
	const char *name = (const char *)(e + 1), *second = name + strlen(name) + 1;
	struct stat st;
	if (!find_path(e->inode, at))
		return; /* the directory itself is gone */
	snprintf(path, sizeof path, "%s/%s", at, e->kind == ENTRY_RENAME ? second : name);
	bool there = lstat(path, &st) == 0;
	undone.names++;
	switch (e->kind) {
	case ENTRY_CREATE:
		if (there && S_ISDIR(st.st_mode))
			remove_tree(path);
		else if (there && unlink(path))
			die("cannot unlink", path);
		break;
	case ENTRY_UNLINK:
		kept_path(e, kept);
		if (!there && link(kept, path))
			die("cannot link back", path);
		break;
	case ENTRY_RENAME:
		if (!there || st.st_ino != e->a || !find_path(e->c, at))
			break; /* killed before it was made */
		snprintf(from, sizeof from, "%s/%s", at, name);
		if (rename(path, from))
			die("cannot rename back", path);
		kept_path(e, kept);
		if (e->b && link(kept, path))
			die("cannot link back", path);
		break;
	case ENTRY_RMDIR:
		if (there)
			break;
		if (mkdir(path, 0755) || stat(path, &st) || again_count == sizeof again / sizeof *again)
			die("cannot make again", path);
		again[again_count].old = e->a;
		again[again_count++].now = st.st_ino;
		break;
	}
}

static int by_number_down(const void *a, const void *b)
{
	uint64_t x = (*(struct entry *const *)a)->number, y = (*(struct entry *const *)b)->number;
	return x < y ? 1 : x > y ? -1 : 0;
}

static void recover_directories(enum mode mode)
{
	struct entry **lost = NULL;
	size_t count = 0;
	for (size_t i = 0; i < all_count; i++) {
		struct changed *c = &all[i];
		if (!c->directory || !c->count)
			continue;
		c->kept = mode == DROP ? 0 : mode == KEEP ? c->count : draw(c->count + 1);
		if (!(lost = realloc(lost, (count + c->count) * sizeof *lost)))
			die("no memory", dir);
		for (size_t k = c->kept; k < c->count; k++)
			lost[count++] = c->entries[k];
	}
	if (count)
		qsort(lost, count, sizeof *lost, by_number_down);
	for (size_t i = 0; i < count; i++)
		undo_name(lost[i]);
	free(lost);
}

/* ---- all of it ---- */

static void begin_again(void)
{
	char path[PATH_MAX];
	for (uint64_t i = 1; i <= journal->kept; i++) {
		snprintf(path, sizeof path, "%s/%llu.kept", side, (unsigned long long)i);
		unlink(path);
	}
	snprintf(path, sizeof path, "%s/journal", side);
	unlink(path);
}

int main(int argc, char **argv)
{
	enum mode mode = ANY;
	char path[PATH_MAX];
	if (argc < 4 || argc > 5) {
		fputs("usage: powerloss_recover DIR SIDE SEED [drop|tear|scramble|keep]\n", stderr);
		return 2;
	}
	dir = argv[1];
	side = argv[2];
	random_state = strtoull(argv[3], NULL, 10);
	for (unsigned i = 0; argc == 5 && i < ANY; i++)
		if (strcmp(argv[4], mode_names[i]) == 0)
			mode = (enum mode)i;
	snprintf(path, sizeof path, "%s/journal", side);
	struct stat st;
	int fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st))
		die("cannot open", path);
	/* It may have been killed before it had made its journal. */
	static struct journal_head none = {.magic = JOURNAL_MAGIC};
	journal = st.st_size < (off_t)JOURNAL_BYTES ? &none : mmap(NULL, JOURNAL_BYTES, PROT_READ, MAP_SHARED, fd, 0);
	if (journal == MAP_FAILED || (journal->magic && journal->magic != JOURNAL_MAGIC))
		die("not a journal", path);
	read_journal();
	for (size_t i = 0; i < all_count; i++)
		if (!all[i].directory)
			recover_file(&all[i], mode);
	recover_directories(mode);
	printf("{\"calls\": %llu, \"syncs\": %llu, \"files\": %llu, \"writes\": %llu, \"bytes\": %llu, \"torn\": %llu, \"scrambled\": "
	       "%llu, "
	       "\"names\": %llu}\n",
	       (unsigned long long)journal->calls, (unsigned long long)journal->syncs, undone.files, undone.writes, undone.bytes,
	       undone.torn, undone.scrambled, undone.names);
	begin_again();
	return 0;
}
