#include "split.h"

#include <dlfcn.h>
#include <dwarf.h>
#include <errno.h>
#include <fcntl.h>
#include <libelf.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#include "elffile.h"
#include "package.h"
#include "proto/base/array.h"
#include "proto/base/cleanup.h"

struct split {
	const struct wish_granter *granter;
	struct package *package; /* NULL: none, or not asked for yet */
	bool is_package_asked;
	void **images; /* memory in which libdw reads */
	size_t image_count, image_capacity;
	uint64_t image_bytes;
	const char *reason;
};

/* The unit that this thread lets libdw look for. */
static __thread struct {
	struct split *split; /* NULL: libdw does something else */
	uint64_t unit_id;
	int fd;		 /* given to libdw */
	bool is_package; /* that is the package's */
} lookup;

/* ---- open(2), of the daemon and its libraries ---- */

/* In the place of a .dwo file that is not there. */
static int open_package(struct split *split)
{
	const struct wish wish = { .kind = WISH_PACKAGE, .name = "" };
	int fd;

	if (!split->is_package_asked) {
		split->is_package_asked = true;
		fd = split->granter->grant(split->granter->context, &wish);
		if (fd >= 0)
			split->package = package_open(fd);
	}
	return split->package ? package_dup(split->package) : -1;
}

static int open_split(struct split *split, const char *path)
{
	const struct wish wish = { .kind = WISH_SPLIT, .name = path };

	lookup.split = NULL; /* the granter may open files */
	lookup.fd = split->granter->grant(split->granter->context, &wish);
	lookup.is_package = lookup.fd < 0;
	if (lookup.fd < 0)
		lookup.fd = open_package(split);
	lookup.split = split;
	if (lookup.fd < 0)
		errno = ENOENT;
	return lookup.fd;
}

int open(const char *path, int flags, ...)
{
	mode_t mode = 0;
	va_list args;

	if (lookup.split)
		return open_split(lookup.split, path);
	if (flags & (O_CREAT | __O_TMPFILE)) {
		va_start(args, flags);
		mode = va_arg(args, mode_t);
		va_end(args);
	}
	return openat(AT_FDCWD, path, flags, mode);
}

/* ---- elf_begin() ---- */

typedef Elf *begin_function(int fd, Elf_Cmd cmd, Elf *ref);

static begin_function *libelfs(void)
{
	static begin_function *_Atomic found;

	if (!found)
		found = (begin_function *)dlsym(RTLD_NEXT, "elf_begin");
	return found;
}

static int make_image(struct split *split, int fd, struct elf_image *ret, Elf **ret_file)
{
	Elf *file;
	int r;

	if (lookup.is_package)
		return package_cut(split->package, lookup.unit_id, ret);
	file = libelfs()(fd, ELF_C_READ_MMAP, NULL);
	if (!file)
		return -ENOEXEC;
	r = elf_image_unpack(file, elffile_is_for_naming, ret);
	if (r || ret->elf)
		elf_end(file);
	else
		*ret_file = file;
	return r;
}

/* Of the .dwo file that was granted, of what zstd had packed in it, or of a unit in a package. */
static Elf *begin_split(struct split *split, int fd)
{
	struct elf_image image = { 0 };
	Elf *file = NULL;
	int r = make_image(split, fd, &image, &file);

	if (!r && file)
		return file;
	if (!r && image.size > SPLIT_MAX_BYTES - split->image_bytes)
		r = -E2BIG;
	if (!r)
		r = array_make_room(&split->images, &split->image_capacity, split->image_count);
	if (r) {
		if (r == -E2BIG)
			split->reason =
				"line and inlined calls unknown: its split debug information "
				"is too large (more than 1 GiB)";
		elf_image_deinit(&image);
		return NULL;
	}
	split->images[split->image_count++] = image.memory;
	split->image_bytes += image.size;
	return image.elf;
}

Elf *elf_begin(int fd, Elf_Cmd cmd, Elf *ref)
{
	struct split *split = lookup.split;
	Elf *elf;

	if (!split || fd != lookup.fd)
		return libelfs()(fd, cmd, ref);
	lookup.split = NULL;
	elf = begin_split(split, fd);
	lookup.split = split;
	return elf;
}

/* ---- units ---- */

int split_new(const struct wish_granter *granter, struct split **ret)
{
	struct split *split = calloc(1, sizeof(*split));

	if (!split)
		return -ENOMEM;
	split->granter = granter;
	*ret = split;
	return 0;
}

void split_free(struct split *split)
{
	if (!split)
		return;
	for (size_t i = 0; i < split->image_count; i++)
		free(split->images[i]);
	free(split->images);
	package_free(split->package);
	free(split);
}

const char *split_reason(const struct split *split)
{
	return split->reason
		       ?: "line and inlined calls unknown: its split debug file (.dwo or .dwp) "
			  "was not found";
}

/* libdw checks the unit's id itself. */
bool split_open(struct split *split, Dwarf_CU *cu, Dwarf_Die *ret)
{
	Dwarf_Die found = { 0 };
	uint64_t unit_id = 0;
	int r;

	if (!split->granter || dwarf_cu_info(cu, NULL, NULL, NULL, NULL, &unit_id, NULL, NULL))
		return false;
	lookup.split = split;
	lookup.unit_id = unit_id;
	lookup.fd = -1;
	r = dwarf_cu_info(cu, NULL, NULL, NULL, &found, NULL, NULL, NULL);
	lookup.split = NULL;
	if (r || !found.addr)
		return false;
	*ret = found;
	return true;
}
