/* Code that a target had copied to memory of no file before we came: an allocator in there cannot
 * be probed, though others in the process can. */
#include "private.h"

#include "daemon/object/sites/hidden.h"
#include "daemon/proc/mapfile.h"
#include "daemon/worker/worker.h"
#include "preflight.h"
#include "proto/base/cleanup.h"
#include "proto/base/text.h"

#include <limits.h>
#include <stdio.h>
#include <unistd.h>

DEFINE_CLEANUP_PTR(struct survey *, survey_free)

/* The first function of an allocator that lies there, or NULL. */
static const struct site *find_site(const struct sites *sites, uint64_t offset, uint64_t bytes)
{
	for (size_t i = 0; i < sites->count; i++)
		if (sites->list[i].function_offset - offset < bytes)
			return &sites->list[i];
	return NULL;
}

static int say_copied(struct target *target, const char *path, const char *what)
{
	char key[PATH_MAX + 16];

	snprintf(key, sizeof(key), "copied %s", path);
	return findings_partial(
		&target->findings, key, 0,
		"what %.80s in %.160s hands out is not counted: the process has "
		"copied that code to memory of no file, where nothing can be probed",
		what, dhat_text_base_name(path));
}

/* before: the mapping of the file in front of the copy. */
static int look_at_copy(struct target *target, const struct procmaps_entry *before,
			const struct procmaps_entry *copy)
{
	_cleanup_close_ int fd =
		mapfile_open(target->pid, before->start, before->end, before->path, before->inode);
	_cleanup_(survey_free_ptr) struct survey *survey = NULL;
	const struct survey_question question = { .path = before->path };
	struct dhat_error why = { 0 };
	const struct site *site;

	if (fd < 0 || worker_survey(target->services.worker, fd, &question, &survey, &why))
		return say_copied(target, before->path, "an allocator, if there is one,");
	site = find_site(&survey->allocators, before->file_offset + (copy->start - before->start),
			 copy->end - copy->start);
	if (site)
		return say_copied(target, before->path, site->allocator);
	for (unsigned maker = 0; !object_maker_is_runtime(maker); maker++)
		if (survey->hidden >> maker & 1)
			return say_copied(target, before->path, hidden_name(&survey->desc, maker));
	return 0;
}

int target_look_at_copied(struct target *target, const struct procmaps *maps)
{
	int error = 0;

	for (size_t i = 0; i < maps->count && error == 0; i++) {
		const struct procmaps_entry *from = preflight_copied_from(maps, i);

		if (from)
			error = look_at_copy(target, from, &maps->entries[i]);
	}
	return error;
}
