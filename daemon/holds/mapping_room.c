#include "mapping_room.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "daemon/proc/file.h"
#include "layout.h"
#include "proto/base/cleanup.h"

#define LEAST_MAPPINGS 64u /* so many arrays have room for */
#define MORE 16u	   /* one more of so many may come before it is read */
#define AREAS 2u	   /* of a mapping, at most: a stack, and what is below */
#define TEXT_COPIES 3u	   /* a buffer that doubles, and paths */
#define MALLOC_BYTES 32u   /* the least that a path takes */

/* Arrays double. */
#define MAPPING_BYTES                                                                              \
	(2 * (sizeof(struct procmaps_entry) + sizeof(struct smaps_entry) +                         \
	      AREAS * sizeof(struct layout_area)) +                                                \
	 MALLOC_BYTES)

static int count_lines(int fd, uint64_t *ret_lines, uint64_t *ret_bytes)
{
	char text[4096];
	ssize_t got;

	*ret_lines = *ret_bytes = 0;
	while ((got = read(fd, text, sizeof(text))) > 0) {
		*ret_bytes += got;
		for (ssize_t i = 0; i < got; i++)
			*ret_lines += text[i] == '\n';
	}
	return got < 0 ? -errno : 0;
}

int mapping_room_claim(pid_t pid, struct room_share *share)
{
	_cleanup_close_ int fd = -1;
	uint64_t lines, bytes;
	int r = proc_open(pid, "maps", &fd);

	if (r == 0)
		r = count_lines(fd, &lines, &bytes);
	if (r)
		return r;
	lines = lines > LEAST_MAPPINGS ? lines : LEAST_MAPPINGS;
	return room_claim(share, (lines + lines / MORE) * MAPPING_BYTES +
					 (bytes + bytes / MORE) * TEXT_COPIES);
}
