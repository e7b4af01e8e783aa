#include "pages.h"

#include <errno.h>
#include <string.h>

#include "proto/base/units.h"
#include "proto/wire/words.h"

#define INDENT 6				    /* as a row's lines */
#define WHY_NOT "what is in memory was not counted" /* a note of dhatd's begins so */

int pages_check(const struct dhat_snapshot *snapshot, const char *path, struct dhat_error *err)
{
	const Dhat__Target *target = snapshot->head->target;
	const char *why = NULL;

	if (snapshot->head->has_pages)
		return 0;
	if (snapshot->head->sample_bytes)
		return dhat_error_set(err, ENOTSUP, DHAT_EXIT_INEXACT,
				      "process %u: " WHY_NOT ": all live blocks are needed, and "
				      "it is watched by a sample (without --sample they are known)",
				      target->pid);
	if (path)
		return dhat_error_set(err, ENODATA, DHAT_EXIT_BAD_FILE,
				      "%s says nothing of pages: `dhatctl snapshot -o FILE.dhat' "
				      "of a process that is watched does",
				      path);
	for (size_t i = 0; i < snapshot->end->n_notes; i++)
		if (!strncmp(snapshot->end->notes[i], WHY_NOT, strlen(WHY_NOT)))
			why = snapshot->end->notes[i];
	if (why)
		return dhat_error_set(err, ENODATA, DHAT_EXIT_FAILED, "process %u: %s", target->pid,
				      why);
	if (!strcmp(target->state, DHAT_STATE_ATTACHED))
		return dhat_error_set(err, EPROTO, DHAT_EXIT_FAILED,
				      "the dhatd that watches process %u is older, and does not "
				      "look at pages",
				      target->pid);
	return dhat_error_set(
		err, ESRCH, DHAT_EXIT_NO_PROCESS,
		"process %u is watched no more (%s): what is in memory can be told of "
		"one that is; `dhatctl stats' shows what was live",
		target->pid, target->state);
}

void pages_print(struct screen *screen, const struct dhat_point_pages *pages)
{
	char text[256], size[DHAT_UNIT_CHARS];
	int used = snprintf(text, sizeof(text), "%s in memory",
			    dhat_format_size(pages->resident_bytes, size));

	if (pages->swapped_bytes)
		used += snprintf(text + used, sizeof(text) - used, ", %s swapped out",
				 dhat_format_size(pages->swapped_bytes, size));
	if (pages->untouched_bytes)
		used += snprintf(text + used, sizeof(text) - used,
				 ", %s never touched, or given back",
				 dhat_format_size(pages->untouched_bytes, size));
	if (pages->beside_bytes)
		snprintf(text + used, sizeof(text) - used, "; %s beside it on the same pages",
			 dhat_format_size(pages->beside_bytes, size));
	fprintf(screen->file, "%*s", INDENT, "");
	screen_paragraph(screen, INDENT, text);
}

void pages_add_json(struct json_object *object, const struct dhat_point_pages *pages)
{
	const struct {
		const char *name;
		uint64_t value;
	} figures[] = {
		{ "resident_bytes", pages->resident_bytes },
		{ "swapped_bytes", pages->swapped_bytes },
		{ "untouched_bytes", pages->untouched_bytes },
		{ "beside_bytes", pages->beside_bytes },
		{ "alone_bytes", pages->alone_bytes },
		{ "highest_blocks", pages->highest_blocks },
		{ "highest_bytes", pages->highest_bytes },
	};
	struct json_object *ages = json_object_new_object();

	for (size_t i = 0; i < sizeof(figures) / sizeof(*figures); i++)
		json_object_object_add(object, figures[i].name,
				       json_object_new_uint64(figures[i].value));
	for (uint8_t i = 0; i < DHAT_PAGE_AGES; i++)
		if (pages->beside_ages[i])
			json_object_object_add(ages, dhat_page_age_name(i),
					       json_object_new_uint64(pages->beside_ages[i]));
	json_object_object_add(object, "beside_ages", ages);
}
