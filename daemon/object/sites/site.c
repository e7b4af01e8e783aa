#include "site.h"

#include <stdlib.h>
#include <unistd.h>

#include "bpf/dhat_abi.h"
#include "daemon/object/machine/encoding.h"

void sites_deinit(struct sites *sites)
{
	for (size_t i = 0; i < sites->count; i++) {
		free(sites->list[i].function);
		free(sites->list[i].exits);
		free(sites->list[i].results);
	}
	free(sites->list);
	*sites = (struct sites){ 0 };
}

bool sites_are_whole(const struct sites *sites)
{
	bool gives = false, takes = false;

	for (size_t i = 0; i < sites->count; i++) {
		if (sites->list[i].is_refused)
			continue;
		if (sites->list[i].role == DHAT_ROLE_FREE)
			takes = true;
		else
			gives = true;
	}
	return gives && takes;
}

/* Of what we would execute, all of it: that is the proof of the description. */
static bool is_there(int fd, uint64_t file_offset, uint8_t byte,
		     const struct dhat_instruction *by_us)
{
	uint8_t there[ENCODING_MAX_BYTES];
	size_t bytes = by_us->operation ? by_us->length : 1;

	return bytes <= sizeof(there) && pread(fd, there, bytes, file_offset) == (ssize_t)bytes &&
	       there[0] == byte && (!by_us->operation || encoding_is_of(by_us, there, bytes));
}

bool sites_are_of(const struct sites *sites, int fd)
{
	for (size_t i = 0; i < sites->count; i++) {
		const struct site *site = &sites->list[i];

		if (site->is_refused)
			continue;
		if (!is_there(fd, site->file_offset, site->byte, &site->by_us))
			return false;
		for (size_t j = 0; j < site->exit_count; j++)
			if (!is_there(fd, site->exits[j].file_offset, site->exits[j].byte,
				      &site->exits[j].by_us))
				return false;
		for (size_t j = 0; j < site->result_count; j++)
			if (!is_there(fd, site->results[j].file_offset, site->results[j].byte,
				      &site->results[j].by_us))
				return false;
	}
	return true;
}
