#include "site.h"

#include <stdlib.h>
#include <unistd.h>

#include "bpf/dhat_abi.h"

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

static bool has_byte(int fd, uint64_t file_offset, uint8_t byte)
{
	uint8_t there;

	return pread(fd, &there, 1, file_offset) == 1 && there == byte;
}

bool sites_are_of(const struct sites *sites, int fd)
{
	for (size_t i = 0; i < sites->count; i++) {
		const struct site *site = &sites->list[i];

		if (site->is_refused)
			continue;
		if (!has_byte(fd, site->file_offset, site->byte))
			return false;
		for (size_t j = 0; j < site->exit_count; j++)
			if (!has_byte(fd, site->exits[j].file_offset, site->exits[j].byte))
				return false;
		for (size_t j = 0; j < site->result_count; j++)
			if (!has_byte(fd, site->results[j].file_offset, site->results[j].byte))
				return false;
	}
	return true;
}
