#include "uprobes.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bpf/dhat_abi.h"
#include "proto/base/cleanup.h"
#include "proto/base/texts.h"

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
		.rsp_words = site->rsp_words,
		.site = number,
	};

	memcpy(cookie.arg_reg, site->arg_reg, sizeof(cookie.arg_reg));
	return cookie;
}

static int compare_places(const void *a, const void *b)
{
	const struct uprobe_site *x = a, *y = b;
	union dhat_cookie_word p = { .word = x->cookie }, q = { .word = y->cookie };
	int x_free = p.parts.role == DHAT_ROLE_FREE, y_free = q.parts.role == DHAT_ROLE_FREE;

	return y_free - x_free;
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
		word.parts = cookie_of(&sites[i], domain, DHAT_PHASE_ENTRY, first_number + i);
		ret[n++] = (struct uprobe_site){
			.file_offset = sites[i].file_offset,
			.cookie = word.word,
			.wants_return = sites[i].returns == SITE_RETURNS_PROBE,
		};
		word.parts = cookie_of(&sites[i], domain, DHAT_PHASE_EXIT, first_number + i);
		for (size_t j = 0; j < sites[i].exit_count; j++) {
			word.parts.arg_reg[0] = sites[i].exits[j].result_reg;
			ret[n++] = (struct uprobe_site){
				.file_offset = sites[i].exits[j].file_offset,
				.cookie = word.word,
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
		most += 1 + sites->list[i].exit_count;
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

/* ---- descriptions ------------------------------------------------------------------------- */

static const char *returns_by(const struct site *site, enum uprobe_kind kind)
{
	if (site->is_refused)
		return "not probed";
	if (site->returns == SITE_RETURNS_EXITS)
		return "exit probes";
	if (site->returns != SITE_RETURNS_PROBE)
		return "";
	return kind == UPROBE_SESSION ? "session" : "return probe";
}

static int describe(const struct site *site, const char *path, enum uprobe_kind kind,
		    struct probe *ret)
{
	struct probe probe = {
		.function = strdup(site->function),
		.object_path = strdup(path),
		.link = kind < UPROBE_KINDS ? uprobe_kind_name(kind) : "",
		.returns_by = returns_by(site, kind),
		.role = site->role,
		.is_emulated = site->is_emulated,
		.function_vaddr = site->function_vaddr,
		.site_vaddr = site->vaddr,
		.file_offset = site->file_offset,
	};

	if (!probe.function || !probe.object_path) {
		free(probe.function);
		free(probe.object_path);
		return -ENOMEM;
	}
	snprintf(probe.allocator, sizeof(probe.allocator), "%s", site->allocator);
	snprintf(probe.instruction, sizeof(probe.instruction), "%s", site->instruction);
	snprintf(probe.note, sizeof(probe.note), "%s", site->note);
	*ret = probe;
	return 0;
}

int probes_add(struct probe **list, size_t *list_count, char ***allocators,
	       const struct sites *sites, const char *path, enum uprobe_kind kind)
{
	struct probe *grown = reallocarray(*list, *list_count + sites->count, sizeof(*grown));
	_cleanup_free_ char *line = NULL;
	int error = 0;

	if (!grown)
		return -ENOMEM;
	*list = grown;
	for (size_t i = 0; i < sites->count && !error; i++) {
		error = describe(&sites->list[i], path, kind, &grown[*list_count]);
		*list_count += !error;
	}
	if (!error && asprintf(&line, "%s (%s)", sites->list[0].allocator, path) < 0) {
		line = NULL;
		error = -ENOMEM;
	}
	return error ? error : texts_add(allocators, line);
}

void probes_free(struct probe *probes, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		free(probes[i].function);
		free(probes[i].object_path);
	}
	free(probes);
}

int probes_copy(const struct probe *probes, size_t count, struct probe **ret, size_t *ret_count)
{
	struct probe *copy = calloc(count + 1, sizeof(*copy));

	*ret = copy;
	*ret_count = 0;
	if (!copy)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		copy[i] = probes[i];
		copy[i].function = strdup(probes[i].function);
		copy[i].object_path = strdup(probes[i].object_path);
		++*ret_count;
		if (!copy[i].function || !copy[i].object_path)
			return -ENOMEM;
	}
	return 0;
}
