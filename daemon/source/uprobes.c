#include "uprobes.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bpf/dhat_abi.h"
#include "daemon/kernel/features.h"

enum uprobes_sites uprobes_sites_of_name(const char *name)
{
	if (name && !strcmp(name, "entry"))
		return UPROBES_SITES_ENTRY;
	return name && !strcmp(name, "result") ? UPROBES_SITES_RESULT : UPROBES_SITES_FITTING;
}

bool uprobes_use_results(enum uprobe_kind kind, enum uprobes_sites sites)
{
	return sites == UPROBES_SITES_RESULT ||
	       (sites == UPROBES_SITES_FITTING && kind != UPROBE_PERF);
}

/* `make bench` compares, and so does tests/kernels: by no option. */
static bool steps_all(void)
{
	const char *text = getenv("DHATD_BENCH_STEPPED");

	return text && *text;
}

bool uprobes_may_execute(enum uprobe_kind kind)
{
	return kind < UPROBE_PERF && !steps_all() && features_write_registers(kind);
}

/* ---- places ------------------------------------------------------------------------------- */

static struct dhat_cookie cookie_of(const struct site *site, uint8_t domain, uint8_t phase,
				    uint16_t number)
{
	struct dhat_cookie cookie = {
		.role = site->role,
		.phase = phase,
		.is_by_exit = site->returns == SITE_RETURNS_EXITS,
		.has_header = site->has_header,
		.is_nesting = site->role == DHAT_ROLE_FREE && site->returns != SITE_RETURNS_NOTHING,
		.domain = domain,
		.sp_words = site->sp_words,
		.site = number,
	};

	memcpy(cookie.arg_reg, site->arg_reg, sizeof(cookie.arg_reg));
	return cookie;
}

static int is_free(struct dhat_cookie cookie)
{
	return cookie.phase != DHAT_PHASE_RESULT && cookie.role == DHAT_ROLE_FREE;
}

static int compare_places(const void *a, const void *b)
{
	const struct uprobe_site *x = a, *y = b;
	union dhat_cookie_word p = { .word = x->cookie }, q = { .word = y->cookie };
	return is_free(q.parts) - is_free(p.parts);
}

/* All of a function whose entry is not probed. */
static size_t list_results(const struct site *site, uint8_t domain, uint16_t number,
			   struct uprobe_site *ret)
{
	for (size_t i = 0; i < site->result_count; i++) {
		const struct site_result *result = &site->results[i];
		bool is_entry = result->kind == SITE_RESULT_ENTRY,
		     is_begin = is_entry || result->kind == SITE_RESULT_BEGIN,
		     is_end = result->kind == SITE_RESULT_END;
		union dhat_cookie_word
			word = { .parts = {
					 /* the size is one number */
					 .role = is_begin ? DHAT_ROLE_MALLOC : result->condition,
					 .phase = is_begin ? DHAT_PHASE_ENTRY : DHAT_PHASE_RESULT,
					 /* no return probe tells that it is on its way */
					 .is_by_exit = !is_entry,
					 .is_by_result = !is_entry,
					 .has_header = site->has_header,
					 .domain = domain,
					 .sp_words = result->sp_words,
					 .site = number,
					 .arg_reg = { is_begin ? result->size_reg
						      : is_end ? DHAT_RESULT_NONE
							       : result->address_reg,
						      is_begin ? 0 : result->size_reg,
						      is_begin ? 0 : result->frame_words },
				 } };

		ret[i] = (struct uprobe_site){ .file_offset = result->file_offset,
					       .cookie = word.word,
					       .wants_return = is_entry,
					       .instruction = result->by_us };
	}
	return site->result_count;
}

/* Frees first: an allocator that is probed while it runs must not look as if it leaked. */
static size_t list_places(const struct site *sites, size_t count, uint8_t domain,
			  size_t first_number, struct uprobe_site *ret)
{
	size_t n = 0;

	for (size_t i = 0; i < count; i++) {
		union dhat_cookie_word word = { 0 };

		if (sites[i].is_refused)
			continue;
		if (sites[i].returns == SITE_RETURNS_RESULTS) {
			n += list_results(&sites[i], domain, first_number + i, ret + n);
			continue;
		}
		word.parts = cookie_of(&sites[i], domain, DHAT_PHASE_ENTRY, first_number + i);
		ret[n++] = (struct uprobe_site){
			.file_offset = sites[i].file_offset,
			.cookie = word.word,
			.wants_return = sites[i].returns == SITE_RETURNS_PROBE,
			.instruction = sites[i].by_us,
		};
		word.parts = cookie_of(&sites[i], domain, DHAT_PHASE_EXIT, first_number + i);
		for (size_t j = 0; j < sites[i].exit_count; j++) {
			word.parts.arg_reg[0] = sites[i].exits[j].result_reg;
			ret[n++] = (struct uprobe_site){
				.file_offset = sites[i].exits[j].file_offset,
				.cookie = word.word,
				.instruction = sites[i].exits[j].by_us,
			};
		}
	}
	qsort(ret, n, sizeof(*ret), compare_places);
	return n;
}

/* An exit shared by two functions is one place and is probed once. */
static size_t drop_doubles(struct uprobe_site *places, size_t count)
{
	size_t kept = 0;

	for (size_t i = 0; i < count; i++) {
		bool is_double = false;

		for (size_t j = 0; j < kept && !is_double; j++)
			is_double = places[j].file_offset == places[i].file_offset;
		if (!is_double)
			places[kept++] = places[i];
	}
	return kept;
}

int uprobes_place(const struct sites *sites, uint8_t domain, size_t first_number,
		  struct uprobe_site **ret, size_t *ret_count)
{
	struct uprobe_site *list;
	size_t most = 0;

	for (size_t i = 0; i < sites->count; i++)
		most += 1 + sites->list[i].exit_count + sites->list[i].result_count;
	list = calloc(most + 1, sizeof(*list));
	if (!list)
		return -ENOMEM;
	*ret_count = drop_doubles(
		list, list_places(sites->list, sites->count, domain, first_number, list));
	*ret = list;
	return 0;
}

int uprobes_attach(struct tracer *tracer, int fd, const struct uprobe_site *places, size_t count,
		   struct dhat_error *err)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return count ? tracer_attach(tracer, path, places, count, err) : 0;
}
