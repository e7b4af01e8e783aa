#include "repair_report.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "daemon/target/identity.h"
#include "daemon/target/preflight.h"
#include "daemon/target/repair.h"
#include "proto/base/cleanup.h"
#include "proto/base/json.h"
#include "proto/base/program.h"
#include "proto/base/text.h"

static const char *const outcomes[REPAIR_OUTCOMES] = {
	[REPAIR_REMOVED] = "removed",
	[REPAIR_SERVES] = "serves another tracer",
	[REPAIR_KEPT] = "left alone",
};

static void print_text(const struct target_identity *process, const struct repair *repair)
{
	char program[DHAT_PROGRAM_CHARS];
	_cleanup_free_ char *name =
		dhat_text_clean(dhat_program_name(process->command, process->executable, program));

	printf("%s (pid %d): ", name ?: "?", (int)process->pid);
	if (repair->breakpoints.count == 0) {
		puts("no breakpoint in its code");
		return;
	}
	printf("%zu breakpoint%s in its code: %zu removed, %zu of other tracers, %zu left alone\n",
	       repair->breakpoints.count, repair->breakpoints.count == 1 ? "" : "s",
	       repair->counts[REPAIR_REMOVED], repair->counts[REPAIR_SERVES],
	       repair->counts[REPAIR_KEPT]);
	for (size_t i = 0; i < repair->breakpoints.count; i++) {
		const struct breakpoint *b = &repair->breakpoints.list[i];
		_cleanup_free_ char *path = dhat_text_clean(b->path);

		printf("  %-22s %s+0x%" PRIx64 "\n", outcomes[repair->outcomes[i]], path ?: "?",
		       b->file_offset);
	}
	if (repair->why_kept[0]) {
		_cleanup_free_ char *why = dhat_text_clean(repair->why_kept);

		printf("  left alone, because %s\n", why ?: "?");
	}
}

static int print_json(const struct target_identity *process, const struct repair *repair)
{
	struct json_object *object = json_object_new_object(), *list = json_object_new_array();
	int error = object && list ? 0 : -ENOMEM;

	for (size_t i = 0; i < repair->breakpoints.count && !error; i++) {
		const struct breakpoint *b = &repair->breakpoints.list[i];
		struct json_object *row = json_object_new_object();

		if (!row || json_object_array_add(list, row)) {
			error = -ENOMEM;
			break;
		}
		json_object_object_add(row, "object", dhat_json_string(b->path));
		json_object_object_add(row, "file_offset", json_object_new_int64(b->file_offset));
		json_object_object_add(row, "address", json_object_new_int64(b->addr));
		json_object_object_add(row, "outcome",
				       json_object_new_string(outcomes[repair->outcomes[i]]));
	}
	if (error) {
		json_object_put(list);
		json_object_put(object);
		return error;
	}
	json_object_object_add(object, "pid", json_object_new_int(process->pid));
	json_object_object_add(object, "command", dhat_json_string(process->command));
	json_object_object_add(object, "removed",
			       json_object_new_int64(repair->counts[REPAIR_REMOVED]));
	json_object_object_add(object, "serving",
			       json_object_new_int64(repair->counts[REPAIR_SERVES]));
	json_object_object_add(object, "left_alone",
			       json_object_new_int64(repair->counts[REPAIR_KEPT]));
	json_object_object_add(object, "why", dhat_json_string(repair->why_kept));
	json_object_object_add(object, "breakpoints", list);
	error = dhat_json_put(stdout, object);
	fputc('\n', stdout);
	json_object_put(object);
	return error;
}

/* Less is needed than for an attach: no BPF, and a process of any kind will do. */
static int check(pid_t pid, struct dhat_error *err)
{
	_cleanup_(preflight_deinit) struct preflight preflight = { 0 };
	int error = preflight_host(&preflight);

	if (error == 0)
		error = preflight_process(&preflight, pid);
	for (size_t i = 0; i < preflight.count && error == 0; i++) {
		const struct preflight_hazard *hazard = &preflight.hazards[i];

		if (hazard->is_blocking && hazard->code != DHAT_EXIT_UNSUITABLE)
			error = dhat_error_set(err, hazard->error, hazard->code, "%s",
					       hazard->detail);
	}
	return error;
}

int repair_report(pid_t pid, bool as_json, struct dhat_error *err)
{
	const struct repair_options options = { .is_asked = true };
	_cleanup_(identity_deinit) struct target_identity process = { 0 };
	_cleanup_(repair_deinit) struct repair repair = { 0 };
	int error = check(pid, err);

	if (error == 0)
		error = identity_read(pid, &process, err);
	if (error == 0)
		error = repair_process(pid, &options, &repair, err);
	if (error)
		return error;
	if (!as_json)
		print_text(&process, &repair);
	else if (print_json(&process, &repair))
		return -ENOMEM;
	if (repair.counts[REPAIR_KEPT] == 0)
		return 0;
	return dhat_error_set(err, EBUSY, DHAT_EXIT_UNSUITABLE, "%s", "");
}
