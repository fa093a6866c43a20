/* Does one schema take all that another takes? Member by member; the answer "no" can be too careful, "yes" is sure. */
#include "base/schema.h"
#include <string.h>

struct compare {
	const char *wide_name, *narrow_name;
	struct arena *arena;
	struct event_problems *problems;
};

/* What is neither "any object" nor named. */
static const struct schema any_object = {.additional = true};

static enum sm_err compare_objects(struct compare *c, const char *path, const struct schema *wide, const struct schema *narrow);
static enum sm_err compare_fields(struct compare *c, const char *path, const struct schema_field *wide, const struct schema_field *narrow);

/* reason: NULL when memory is out. */
static enum sm_err problem(struct compare *c, const char *path, const char *reason)
{
	struct event_problems *p = c->problems;
	if (p->count == EVENT_PROBLEMS_MAX)
		p->items[p->count - 1].reason = "and more";
	else
		p->items[p->count++] = (struct event_problem){path, reason};
	return reason ? SM_OK : arena_error(c->arena);
}

static const char *const type_names[] = {
	[SCHEMA_STRING] = "a string", [SCHEMA_UUID] = "a uuid",       [SCHEMA_DATE_TIME] = "a date-time", [SCHEMA_INTEGER] = "an integer",
	[SCHEMA_NUMBER] = "a number", [SCHEMA_BOOLEAN] = "a boolean", [SCHEMA_OBJECT] = "an object",      [SCHEMA_ARRAY] = "an array",
};

static bool type_within(enum schema_type wide, enum schema_type narrow)
{
	return wide == narrow || (wide == SCHEMA_NUMBER && narrow == SCHEMA_INTEGER) ||
	       (wide == SCHEMA_STRING && (narrow == SCHEMA_UUID || narrow == SCHEMA_DATE_TIME));
}

static bool is_choice(const struct schema_field *f, const char *text)
{
	for (uint32_t i = 0; i < f->choice_count; i++)
		if (strcmp(f->choices[i], text) == 0)
			return true;
	return false;
}

static enum sm_err compare_choices(struct compare *c, const char *path, const struct schema_field *wide, const struct schema_field *narrow)
{
	if (!wide->choice_count)
		return SM_OK;
	if (!narrow->choice_count)
		return problem(
			c, path,
			arena_printf(c->arena, "the %s schema has an enum, the %s one takes others too", c->wide_name, c->narrow_name));
	for (uint32_t i = 0; i < narrow->choice_count; i++)
		if (!is_choice(wide, narrow->choices[i]))
			return problem(c, path,
				       arena_printf(c->arena, "\"%.100s\" is in the enum of the %s schema only", narrow->choices[i],
						    c->narrow_name));
	return SM_OK;
}

static bool bounds_within(const struct schema_field *wide, const struct schema_field *narrow)
{
	if (wide->type == SCHEMA_INTEGER)
		return wide->minimum <= narrow->minimum && wide->maximum >= narrow->maximum;
	if (wide->type != SCHEMA_NUMBER)
		return true;
	/* A long double has all bits of both. */
	bool integer = narrow->type == SCHEMA_INTEGER;
	long double low = integer ? (long double)narrow->minimum : (long double)narrow->number_minimum;
	long double high = integer ? (long double)narrow->maximum : (long double)narrow->number_maximum;
	return (long double)wide->number_minimum <= low && (long double)wide->number_maximum >= high;
}

static bool lengths_within(const struct schema_field *wide, const struct schema_field *narrow)
{
	uint32_t low = narrow->length_minimum, high = narrow->length_maximum;
	if (wide->type == SCHEMA_STRING && narrow->type == SCHEMA_UUID)
		low = high = 36;
	return wide->length_minimum <= low && wide->length_maximum >= high;
}

static enum sm_err compare_fields(struct compare *c, const char *path, const struct schema_field *wide, const struct schema_field *narrow)
{
	enum sm_err err = SM_OK;
	if (narrow->nullable && !wide->nullable)
		err = problem(c, path, arena_printf(c->arena, "may be null in the %s schema only", c->narrow_name));
	if (!err && !type_within(wide->type, narrow->type))
		return problem(c, path,
			       arena_printf(c->arena, "is %s in the %s schema, %s in the %s one", type_names[wide->type], c->wide_name,
					    type_names[narrow->type], c->narrow_name));
	if (!err)
		err = compare_choices(c, path, wide, narrow);
	if (!err && !bounds_within(wide, narrow))
		err = problem(c, path, arena_printf(c->arena, "the range is narrower in the %s schema", c->wide_name));
	if (!err && !lengths_within(wide, narrow))
		err = problem(c, path, arena_printf(c->arena, "the length's bounds are narrower in the %s schema", c->wide_name));
	if (err || !wide->inner)
		return err;
	if (wide->type == SCHEMA_OBJECT)
		return compare_objects(c, path, wide->inner, narrow->inner ? narrow->inner : &any_object);
	if (!narrow->inner)
		return problem(c, path, arena_printf(c->arena, "items may be anything in the %s schema", c->narrow_name));
	const char *items = arena_printf(c->arena, "%s[]", path);
	return items ? compare_fields(c, items, &wide->inner->fields[0], &narrow->inner->fields[0]) : arena_error(c->arena);
}

static const struct schema_field *named(const struct schema *schema, const char *name)
{
	int i = schema->field_count ? schema_find(schema, name) : -1;
	return i < 0 ? NULL : &schema->fields[i];
}

static enum sm_err compare_member(struct compare *c, const char *path, const struct schema_field *f, const struct schema *narrow)
{
	const struct schema_field *other = named(narrow, f->name);
	if (f->required && (!other || !other->required))
		return problem(c, path, arena_printf(c->arena, "is required in the %s schema only", c->wide_name));
	if (other)
		return compare_fields(c, path, f, other);
	/* Where others are not allowed none has had it. */
	return narrow->additional
		       ? problem(c, path,
				 arena_printf(c->arena,
					      "is in the %s schema only, and the %s one (additionalProperties) takes anything there",
					      c->wide_name, c->narrow_name))
		       : SM_OK;
}

static enum sm_err compare_objects(struct compare *c, const char *path, const struct schema *wide, const struct schema *narrow)
{
	enum sm_err err = SM_OK;
	if (narrow->additional && !wide->additional)
		err = problem(c, path, arena_printf(c->arena, "additionalProperties is false in the %s schema only", c->wide_name));
	for (uint32_t i = 0; i < wide->field_count && !err; i++) {
		const char *at = arena_printf(c->arena, "%s.%s", path, wide->fields[i].name);
		err = at ? compare_member(c, at, &wide->fields[i], narrow) : arena_error(c->arena);
	}
	for (uint32_t i = 0; i < narrow->field_count && !err && !wide->additional; i++) {
		if (named(wide, narrow->fields[i].name))
			continue;
		const char *at = arena_printf(c->arena, "%s.%s", path, narrow->fields[i].name);
		err = at ? problem(c, at,
				   arena_printf(c->arena, "is in the %s schema only, and the %s one takes no others", c->narrow_name,
						c->wide_name))
			 : arena_error(c->arena);
	}
	return err;
}

enum sm_err schema_takes_all(const struct schema *wide, const char *wide_name, const struct schema *narrow, const char *narrow_name,
			     struct arena *arena, struct event_problems *problems)
{
	struct compare c = {.wide_name = wide_name, .narrow_name = narrow_name, .arena = arena, .problems = problems};
	problems->count = 0;
	enum sm_err err = compare_objects(&c, "obj", wide, narrow);
	return err ? err : problems->count ? SM_INVALID : SM_OK;
}
