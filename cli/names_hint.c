#include "names_hint.h"

#include <stdio.h>
#include <string.h>

#include "proto/base/cleanup.h"

#define HINT_OBJECTS 3

/* The object of a line "???\tlibc.so.6+0x891f5"; NULL: it has a name, or is in no file, as
 * [vdso] is in none. */
static char *unnamed_object(const char *line)
{
	_cleanup_free_ char *name = NULL;
	const char *place, *plus;

	dhat_table_line_split(line, &name, &place);
	plus = place && *place != '[' ? strrchr(place, '+') : NULL;
	return name && !strcmp(name, "???") && plus ? strndup(place, plus - place) : NULL;
}

/* Debian's: that of glibc has a name of its own. */
static bool is_glibc(const char *object)
{
	static const char *const names[] = { "libc.so.", "ld-linux-", "libm.so.", "libpthread.so.",
					     "libdl.so." };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (!strncmp(object, names[i], strlen(names[i])))
			return true;
	return false;
}

void names_hint(struct screen *screen, const struct dhat_rendering *table,
		const struct rows_options *options)
{
	char *objects[HINT_OBJECTS] = { 0 };
	size_t count = 0, found = 0;
	bool has_glibc = false, has_others = false;
	_cleanup_free_ char *text = NULL;

	while (count < table->point_count && count < options->top &&
	       ranking_bytes(table->points[count], options->key))
		count++;
	for (size_t i = 0; i < count; i++) {
		const struct dhat_rendered_point *point = table->points[i];

		for (uint32_t j = 0; j < point->line_count; j++) {
			_cleanup_free_ char *object = unnamed_object(table->lines[point->lines[j]]);
			size_t k = 0;

			while (object && k < found && strcmp(objects[k], object))
				k++;
			if (object && k == found && found < HINT_OBJECTS)
				objects[found++] = take_ptr(object);
		}
	}
	for (size_t i = 0; i < found; i++) {
		has_glibc |= is_glibc(objects[i]);
		has_others |= !is_glibc(objects[i]);
	}
	if (found &&
	    asprintf(&text,
		     "functions of %s%s%s%s%s have no names here: install %s%s%s, or start "
		     "dhatd with --debuginfod",
		     objects[0], found > 1 ? ", " : "", found > 1 ? objects[1] : "",
		     found > 2 ? ", " : "", found > 2 ? objects[2] : "",
		     has_glibc ? "libc6-dbg" : "", has_glibc && has_others ? " and " : "",
		     has_others ? "the -dbgsym packages (or build with -g)" : "") >= 0) {
		fputs("\nHint: ", screen->file);
		screen_paragraph(screen, 6, text);
	}
	for (size_t i = 0; i < found; i++)
		free(objects[i]);
}
