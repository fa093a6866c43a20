#include "base/io.h"
#include "cli/demo.h"
#include <glob.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

static bool has_data(const char *dir)
{
	char path[PATH_MAX + 32];
	snprintf(path, sizeof path, "%s/expected_daily.csv", dir);
	return access(path, R_OK) == 0;
}

static enum sm_err find_dir(struct demo_data *d, const char *dir, struct sm_error *reterr)
{
	static const char *const beside[] = {"../examples/open-bandit", "../share/smack/examples/open-bandit", NULL};
	char exe[PATH_MAX];
	if (dir) {
		snprintf(d->dir, sizeof d->dir, "%s", dir);
		return has_data(dir) ? SM_OK
				     : sm_fail(reterr, SM_NOT_FOUND,
					       "%s has no expected_daily.csv: name the directory examples/open-bandit", dir);
	}
	snprintf(d->dir, sizeof d->dir, "examples/open-bandit");
	if (has_data(d->dir))
		return SM_OK;
	ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
	if (n > 0) {
		exe[n] = 0;
		*strrchr(exe, '/') = 0;
		for (const char *const *b = beside; *b; b++) {
			if ((size_t)snprintf(d->dir, sizeof d->dir, "%s/%s", exe, *b) < sizeof d->dir && has_data(d->dir))
				return SM_OK;
		}
	}
	return sm_fail(reterr, SM_NOT_FOUND,
		       "the events are not here: run this in the project's directory, or name examples/open-bandit with --events");
}

/* Calls each with the fields of every line but the first; the error names the line. */
static enum sm_err read_csv(const char *dir, const char *name, unsigned fields, bool (*each)(struct demo_data *d, char **field),
			    struct demo_data *d, struct sm_error *reterr)
{
	char path[PATH_MAX + 64];
	uint8_t *text;
	size_t size;
	snprintf(path, sizeof path, "%s/%s", dir, name);
	enum sm_err err = io_read_file(&io_system, path, 64 << 20, &text, &size, reterr);
	if (err)
		return err;
	unsigned line = 0;
	char *rest = (char *)text, *row;
	while (!err && (row = strsep(&rest, "\n"))) {
		char *field[8], *at = row;
		unsigned n = 0;
		if (++line == 1 || !*row)
			continue;
		while (n < 8 && (field[n] = strsep(&at, ",")))
			n++;
		if (n != fields || !each(d, field))
			err = sm_fail(reterr, SM_INVALID, "%s:%u: not as expected", path, line);
	}
	free(text);
	return err;
}

static bool take_expected(struct demo_data *d, char **field)
{
	if (d->expected_count == DEMO_ROWS_MAX)
		return false;
	struct demo_daily *row = &d->expected[d->expected_count++];
	unsigned year, month, day;
	char *end1, *end2;
	if (uuid_parse(field[0], strlen(field[0]), &row->campaign) || sscanf(field[1], "%4u-%2u-%2u", &year, &month, &day) != 3)
		return false;
	row->day = (struct civil){.year = (int32_t)year, .month = (uint8_t)month, .day = (uint8_t)day};
	row->views = strtoll(field[2], &end1, 10);
	row->clicks = strtoll(field[3], &end2, 10);
	d->events += (uint64_t)(row->views + row->clicks);
	return !*end1 && (!*end2 || *end2 == '\r');
}

static bool take_name(struct demo_data *d, char **field)
{
	if (d->name_count == DEMO_ROWS_MAX)
		return false;
	struct demo_name *row = &d->names[d->name_count++];
	snprintf(row->name, sizeof row->name, "%s", field[1]);
	return !uuid_parse(field[0], strlen(field[0]), &row->campaign);
}

enum sm_err demo_data_read(struct demo_data *d, const char *dir, struct sm_error *reterr)
{
	*d = (struct demo_data){0};
	enum sm_err err = find_dir(d, dir, reterr);
	if (!err)
		err = read_csv(d->dir, "expected_daily.csv", 4, take_expected, d, reterr);
	if (!err)
		err = read_csv(d->dir, "campaigns.csv", 2, take_name, d, reterr);
	if (err)
		return err;
	char pattern[PATH_MAX + 64];
	glob_t found;
	snprintf(pattern, sizeof pattern, "%s/[0-9][0-9][0-9][0-9]/[0-9][0-9]/[0-9][0-9].gz", d->dir);
	if (glob(pattern, 0, NULL, &found) || found.gl_pathc > DEMO_DAYS_MAX)
		return sm_fail(reterr, SM_NOT_FOUND, "no events: %s", pattern);
	for (size_t i = 0; i < found.gl_pathc; i++)
		snprintf(d->days[d->day_count++], sizeof d->days[0], "%s", found.gl_pathv[i]);
	globfree(&found);
	return SM_OK;
}
