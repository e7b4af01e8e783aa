#include "probed.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *returns_by(const struct site *site, enum uprobe_kind kind)
{
	if (site->is_refused)
		return "not probed";
	if (site->returns == SITE_RETURNS_EXITS)
		return "exit probes";
	if (site->returns == SITE_RETURNS_RESULTS)
		return "result sites";
	if (site->returns != SITE_RETURNS_PROBE)
		return "";
	return kind == UPROBE_SESSION ? uprobe_kind_name(kind) : "return probe";
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
		.is_executed_by_us = site->by_us.operation != DHAT_OPERATION_NONE,
		.is_refused = site->is_refused,
		.traps_at_return =
			site->returns == SITE_RETURNS_PROBE || site->returns == SITE_RETURNS_EXITS,
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

static int add_allocator(struct probed *probed, const struct site *site, const char *path)
{
	struct probed_allocator *grown, *added;

	grown = reallocarray(probed->allocators, probed->allocator_count + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	probed->allocators = grown;
	added = &grown[probed->allocator_count];
	*added = (struct probed_allocator){
		.path = strdup(path),
		.is_glibc = site->has_header,
	};
	if (!added->path)
		return -ENOMEM;
	snprintf(added->name, sizeof(added->name), "%s", site->allocator);
	probed->allocator_count++;
	return 0;
}

int probed_add(struct probed *probed, const struct sites *sites, const char *path,
	       enum uprobe_kind kind)
{
	struct probe *grown;
	int error = 0;

	grown = reallocarray(probed->probes, probed->probe_count + sites->count, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	probed->probes = grown;
	for (size_t i = 0; i < sites->count && !error; i++) {
		error = describe(&sites->list[i], path, kind, &grown[probed->probe_count]);
		if (!error)
			grown[probed->probe_count].allocator_at = probed->allocator_count;
		probed->probe_count += !error;
	}
	return error ? error : add_allocator(probed, &sites->list[0], path);
}

static int copy_probes(const struct probed *from, struct probed *ret)
{
	ret->probes = calloc(from->probe_count + 1, sizeof(*ret->probes));
	if (!ret->probes)
		return -ENOMEM;
	for (size_t i = 0; i < from->probe_count; i++) {
		struct probe *copy = &ret->probes[ret->probe_count++];

		*copy = from->probes[i];
		copy->function = strdup(from->probes[i].function);
		copy->object_path = strdup(from->probes[i].object_path);
		if (!copy->function || !copy->object_path)
			return -ENOMEM;
	}
	return 0;
}

int probed_copy(const struct probed *from, struct probed *ret)
{
	int error = copy_probes(from, ret);

	if (error)
		return error;
	ret->allocators = calloc(from->allocator_count + 1, sizeof(*ret->allocators));
	if (!ret->allocators)
		return -ENOMEM;
	for (size_t i = 0; i < from->allocator_count; i++) {
		struct probed_allocator *copy = &ret->allocators[ret->allocator_count++];

		*copy = from->allocators[i];
		copy->path = strdup(from->allocators[i].path);
		if (!copy->path)
			return -ENOMEM;
	}
	return 0;
}

void probed_deinit(struct probed *probed)
{
	for (size_t i = 0; i < probed->probe_count; i++) {
		free(probed->probes[i].function);
		free(probed->probes[i].object_path);
	}
	for (size_t i = 0; i < probed->allocator_count; i++)
		free(probed->allocators[i].path);
	free(probed->probes);
	free(probed->allocators);
	*probed = (struct probed){ 0 };
}

char *probed_names(const struct probed *probed)
{
	char *names = NULL;
	size_t size = 0;
	FILE *file = open_memstream(&names, &size);

	for (size_t i = 0; file && i < probed->allocator_count; i++) {
		bool is_known = false;

		for (size_t j = 0; j < i && !is_known; j++)
			is_known = !strcmp(probed->allocators[j].name, probed->allocators[i].name);
		if (!is_known)
			fprintf(file, "%s%s", i ? ", " : "", probed->allocators[i].name);
	}
	if (file && fclose(file) == 0)
		return names;
	free(names);
	return NULL;
}

bool probed_is_only_glibc(const struct probed *probed)
{
	bool has_glibc = false;

	for (size_t i = 0; i < probed->allocator_count; i++) {
		if (!probed->allocators[i].is_glibc)
			return false;
		has_glibc = true;
	}
	return has_glibc;
}

unsigned probed_traps(const struct probed *probed, uint8_t role)
{
	for (size_t i = 0; i < probed->probe_count; i++) {
		const struct probe *probe = &probed->probes[i];

		if (probe->role == role && !probe->is_refused)
			return (probe->is_emulated || probe->is_executed_by_us ? 1
									       : PROBED_STEPPED) +
			       probe->traps_at_return;
	}
	return 0;
}
