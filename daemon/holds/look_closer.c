#include "look_closer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/proc/file.h"
#include "daemon/proc/pagemap.h"
#include "daemon/worker/worker.h"
#include "proto/base/cleanup.h"

static int count_pages(void *pages, const struct pagemap_run *run)
{
	if (run->what & PAGEMAP_IN_MEMORY)
		*(uint64_t *)pages += run->count;
	return 0;
}

static bool is_in_memory(struct pagemap *pagemap, uint64_t start, uint64_t end)
{
	uint64_t first = start / PAGEMAP_PAGE, behind = (end + PAGEMAP_PAGE - 1) / PAGEMAP_PAGE;
	uint64_t there = 0;

	return end > start &&
	       pagemap_scan(pagemap, first * PAGEMAP_PAGE, behind * PAGEMAP_PAGE, count_pages,
			    &there) == 0 &&
	       there == behind - first;
}

/* Copies, of which what is not there is empty: its answer is that nothing was found. */
static int leave_out(struct pagemap *pagemap, struct closer_question *question,
		     struct closer_pair **ret_pairs, struct closer_span **ret_heads)
{
	struct closer_pair *pairs = calloc(question->pair_count + 1ul, sizeof(*pairs));
	struct closer_span *heads = calloc(question->head_count + 1ul, sizeof(*heads));

	*ret_pairs = pairs;
	*ret_heads = heads;
	if (!pairs || !heads)
		return -ENOMEM;
	for (uint32_t i = 0; i < question->pair_count; i++) {
		pairs[i] = question->pairs[i];
		if (!is_in_memory(pagemap, pairs[i].holder,
				  pairs[i].holder + pairs[i].holder_bytes))
			pairs[i].holder_bytes = 0;
	}
	for (uint32_t i = 0; i < question->head_count; i++) {
		uint64_t most = sizeof(((struct closer_head *)NULL)->words);

		heads[i] = question->heads[i];
		if (heads[i].end > heads[i].start && heads[i].end - heads[i].start > most)
			heads[i].end = heads[i].start + most;
		if (!is_in_memory(pagemap, heads[i].start, heads[i].end))
			heads[i].end = heads[i].start;
	}
	question->pairs = pairs;
	question->heads = heads;
	return 0;
}

int look_closer(pid_t pid, struct worker *worker, const struct closer_question *question,
		struct closer_answer *ret)
{
	_cleanup_free_ struct closer_pair *pairs = NULL;
	_cleanup_free_ struct closer_span *heads = NULL;
	_cleanup_close_ int fd = -1;
	struct closer_question asked = *question;
	struct pagemap pagemap = PAGEMAP_CLOSED;
	int r = proc_open(pid, "mem", &fd);

	if (r == 0)
		r = pagemap_open(pid, &pagemap);
	if (r == 0)
		r = leave_out(&pagemap, &asked, &pairs, &heads);
	pagemap_deinit(&pagemap);
	return r ? r : worker_look_closer(worker, fd, &asked, ret, NULL);
}
