#include "image_names.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/proc/file.h"
#include "daemon/proc/mapfile.h"
#include "proto/base/cleanup.h"

DEFINE_CLEANUP_PTR(struct names *, names_free)

struct naming {
	const struct scan_once *scan;
	const struct target_identity *identity;
	struct symbolizer *symbolizer;
	enum image_name_kind kind;
	int root_fd;
};

void image_names_free(struct image_name *list, uint32_t count)
{
	for (uint32_t i = 0; list && i < count; i++) {
		free(list[i].name);
		free(list[i].within);
	}
	free(list);
}

static int compare(const void *a_, const void *b_)
{
	const struct image_name *a = a_, *b = b_;

	return a->addr < b->addr ? -1 : a->addr > b->addr;
}

const struct image_name *image_names_get(const struct image_name *list, uint32_t count,
					 uint64_t addr)
{
	const struct image_name asked = { .addr = addr };

	return addr && count ? bsearch(&asked, list, count, sizeof(*list), compare) : NULL;
}

const struct procmaps_entry *image_names_file(const struct procmaps *maps, uint64_t addr)
{
	const struct procmaps_entry *entry = procmaps_find(maps, addr);

	while (entry && entry > maps->entries && !entry->inode)
		entry--;
	return entry && entry->path[0] == '/' ? entry : NULL;
}

/* NULL or "": none. */
static char *copy_text(const struct names *names, uint32_t text)
{
	return names->texts.list[text][0] ? strdup(names->texts.list[text]) : NULL;
}

static void take_name(const struct names *names, uint32_t frame, struct image_name *ret)
{
	const struct name_frame *named = &names->frames[frame];
	const struct name_location *location =
		&names->locations[named->first_location + named->location_count - 1];

	if (!named->location_count)
		return;
	ret->name = copy_text(names, location->function);
	ret->within = copy_text(names, location->file);
}

static void name_functions(const struct naming *naming, const struct symbolizer_object *object,
			   const struct name_query *queries, struct image_name *list,
			   uint32_t count)
{
	struct symbolized symbolized;

	if (symbolizer_name(naming->symbolizer, object, queries, count, false, &symbolized))
		return;
	for (uint32_t i = 0; i < count; i++) {
		const struct symbolized_frame *at = &symbolized.frames[i];

		if (!at->names)
			continue;
		take_name(at->names, at->frame, &list[i]);
		free(list[i].within); /* a file of source */
		list[i].within = NULL;
	}
	symbolized_deinit(naming->symbolizer, &symbolized);
}

static void name_variables(const struct naming *naming, const struct symbolizer_object *object,
			   const struct name_query *queries, struct image_name *list,
			   uint32_t count)
{
	_cleanup_(names_free_ptr) struct names *names = NULL;

	if (symbolizer_name_data(naming->symbolizer, object, queries, count,
				 naming->kind == IMAGE_MEMBERS, &names))
		return;
	for (uint32_t i = 0; i < count; i++)
		take_name(names, i, &list[i]);
}

static int name_file(const struct naming *naming, const struct procmaps_entry *file,
		     struct image_name *list, uint32_t count)
{
	_cleanup_free_ struct name_query *queries = calloc(count, sizeof(*queries));
	_cleanup_close_ int fd = mapfile_open(naming->identity->pid, file->start, file->end,
					      file->path, file->inode);
	const struct symbolizer_object object = { .fd = fd,
						  .root_fd = naming->root_fd,
						  .uid = naming->identity->uid,
						  .path = file->path };

	if (!queries)
		return -ENOMEM;
	if (fd < 0)
		return 0;
	for (uint32_t i = 0; i < count; i++)
		queries[i] =
			(struct name_query){ list[i].addr - file->start + file->file_offset, true };
	if (naming->kind == IMAGE_FUNCTIONS)
		name_functions(naming, &object, queries, list, count);
	else
		name_variables(naming, &object, queries, list, count);
	return 0;
}

int image_names_find(const struct scan_once *scan, const struct target_identity *identity,
		     struct symbolizer *symbolizer, enum image_name_kind kind,
		     struct image_name *list, uint32_t count)
{
	_cleanup_close_ int dir_fd = -1, root_fd = -1;
	struct naming naming = { scan, identity, symbolizer, kind, -1 };
	uint32_t end;
	int r = 0;

	if (count)
		qsort(list, count, sizeof(*list), compare);
	if (proc_open_dir(identity->pid, &dir_fd) == 0)
		root_fd = openat(dir_fd, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
	naming.root_fd = root_fd;
	for (uint32_t i = 0; i < count && r == 0; i = end) {
		const struct procmaps_entry *file = image_names_file(&scan->maps, list[i].addr);

		for (end = i + 1; end < count; end++)
			if (image_names_file(&scan->maps, list[end].addr) != file)
				break;
		if (file)
			r = name_file(&naming, file, &list[i], end - i);
	}
	return r;
}
