#include "look_closer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/proc/file.h"
#include "daemon/proc/pagemap.h"
#include "daemon/worker/worker.h"
#include "proto/base/cleanup.h"

/* Holders whose memory is not read are empty; neighbours often have the same. */
static void leave_out_holders(struct pagemap *pagemap, const struct closer_pair *asked,
			      struct closer_pair *pairs, uint32_t count)
{
	uint64_t left = CLOSER_MAX_BYTES;

	for (uint32_t i = 0; i < count; i++) {
		struct closer_pair *pair = &pairs[i];
		uint64_t end = pair->holder + pair->holder_bytes;

		if (i && pair->holder == asked[i - 1].holder &&
		    pair->holder_bytes == asked[i - 1].holder_bytes) {
			pair->holder_bytes = pairs[i - 1].holder_bytes;
		} else if (pair->holder_bytes > left ||
			   !pagemap_is_in_memory(pagemap, pair->holder, end)) {
			pair->holder_bytes = 0;
		} else {
			left -= pair->holder_bytes;
		}
	}
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
	if (question->pair_count)
		memcpy(pairs, question->pairs, question->pair_count * sizeof(*pairs));
	leave_out_holders(pagemap, question->pairs, pairs, question->pair_count);
	for (uint32_t i = 0; i < question->head_count; i++) {
		uint64_t most = sizeof(((struct closer_head *)NULL)->words);

		heads[i] = question->heads[i];
		if (heads[i].end > heads[i].start && heads[i].end - heads[i].start > most)
			heads[i].end = heads[i].start + most;
		if (!pagemap_is_in_memory(pagemap, heads[i].start, heads[i].end))
			heads[i].end = heads[i].start;
	}
	question->pairs = pairs;
	question->heads = heads;
	return 0;
}

static int ask(const struct look_closer_at *at, int fd, const struct closer_question *question,
	       struct closer_answer *ret)
{
	int r = worker_take_scans(at->worker, at->stop, at->is_urgent);

	if (r == 0) {
		r = worker_look_closer(at->worker, fd, question, ret, NULL);
		worker_give_scans(at->worker);
	}
	return r;
}

int look_closer(const struct look_closer_at *at, const struct closer_question *question,
		struct closer_answer *ret)
{
	_cleanup_free_ struct closer_pair *pairs = NULL;
	_cleanup_free_ struct closer_span *heads = NULL;
	_cleanup_close_ int fd = -1;
	struct closer_question asked = *question;
	struct pagemap pagemap = PAGEMAP_CLOSED;
	int r = proc_open(at->pid, "mem", &fd);

	if (r == 0)
		r = pagemap_open(at->pid, &pagemap);
	if (r == 0)
		r = leave_out(&pagemap, &asked, &pairs, &heads);
	pagemap_deinit(&pagemap);
	return r ? r : ask(at, fd, &asked, ret);
}
