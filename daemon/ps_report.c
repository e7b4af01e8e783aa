#include "ps_report.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>

#include "daemon/target/processes.h"
#include "proto/base/cleanup.h"
#include "proto/base/json.h"
#include "proto/base/say.h"
#include "proto/base/screen.h"
#include "proto/base/text.h"
#include "proto/base/units.h"

/* A name, or the number of who has none. */
static const char *user_name(uid_t uid, char ret[32])
{
	const struct passwd *user = getpwuid(uid);

	if (user)
		snprintf(ret, 32, "%s", user->pw_name);
	else
		snprintf(ret, 32, "%u", (unsigned)uid);
	return ret;
}

static int64_t a_minute(const struct processes *processes, int64_t bytes)
{
	return (int64_t)((double)bytes * 60e9 / (double)(processes->duration_ns ?: 1));
}

/* "+1.2 MiB", "-3 B", "0" */
static const char *signed_size(int64_t bytes, char ret[DHAT_UNIT_CHARS + 1])
{
	if (!bytes)
		return strcpy(ret, "0");
	*ret = bytes < 0 ? '-' : '+';
	dhat_format_size(bytes < 0 ? -(uint64_t)bytes : (uint64_t)bytes, ret + 1);
	return ret;
}

/* ---- for people ---------------------------------------------------------------------------- */

#define USER_COLUMNS 8
#define ALLOCATOR_COLUMNS 10
#define OTHER_COLUMNS 67 /* before the program's name */
/* What RSS consists of is left out of a narrow screen: growth, allocator and program tell more. */
#define PARTS_COLUMNS 18
#define LEAST_WITH_PARTS 80
/* "containerd 3f2a9c1b7d4e": only where there is one */
#define CONTAINER_COLUMNS (11 + CONTAINER_SHORT_DIGITS)
#define PROGRAM_COLUMNS 63 /* DHAT_PROGRAM_CHARS */

static bool has_parts(const struct screen *screen)
{
	return !screen->width || screen->width >= LEAST_WITH_PARTS;
}

/* No blanks behind one that fits. */
static void print_program(struct screen *screen, const char *program, size_t other_columns)
{
	size_t room = screen_room(screen, PROGRAM_COLUMNS, other_columns);

	if (dhat_text_width(program) > room)
		screen_column(screen, program, room);
	else
		screen_text(screen, program);
	fputc('\n', screen->file);
}

static bool is_any_contained(const struct processes *processes, size_t shown)
{
	for (size_t i = 0; i < shown; i++)
		if (*processes->entries[i].container.id)
			return true;
	return false;
}

static void print_container(struct screen *screen, const struct container *container)
{
	char text[CONTAINER_ID_CHARS + 16];

	if (container_has_digits(container))
		snprintf(text, sizeof(text), "%s %.*s", container->runtime, CONTAINER_SHORT_DIGITS,
			 container->id);
	else
		snprintf(text, sizeof(text), "%s %s", container->runtime, container->id);
	screen_column(screen, text, CONTAINER_COLUMNS);
	fputc(' ', screen->file);
}

static void print_entry(struct screen *screen, const struct processes *processes,
			const struct process_entry *entry, bool has_containers)
{
	char user[32], rss[DHAT_UNIT_CHARS], anonymous[DHAT_UNIT_CHARS], swap[DHAT_UNIT_CHARS],
		grown[DHAT_UNIT_CHARS + 1];

	fprintf(screen->file, "%7d ", (int)entry->pid);
	screen_column(screen, user_name(entry->uid, user), USER_COLUMNS);
	fprintf(screen->file, " %8s ", dhat_format_size(entry->rss_bytes, rss));
	if (has_parts(screen))
		fprintf(screen->file, "%8s %8s ",
			dhat_format_size(entry->anonymous_bytes, anonymous),
			dhat_format_size(entry->swap_bytes, swap));
	fprintf(screen->file, "%9s ", signed_size(a_minute(processes, entry->grown_bytes), grown));
	screen_column(screen, entry->allocator, ALLOCATOR_COLUMNS);
	fputc(' ', screen->file);
	if (has_containers)
		print_container(screen, &entry->container);
	print_program(screen, entry->program,
		      OTHER_COLUMNS - (has_parts(screen) ? 0 : PARTS_COLUMNS) +
			      (has_containers ? CONTAINER_COLUMNS + 1 : 0));
}

static void print_totals(struct screen *screen, const struct processes *processes)
{
	char anonymous[DHAT_UNIT_CHARS], swap[DHAT_UNIT_CHARS], grown[DHAT_UNIT_CHARS + 1],
		text[256];
	uint64_t anonymous_bytes = 0, swap_bytes = 0;
	int64_t grown_bytes = 0;

	for (size_t i = 0; i < processes->count; i++) {
		anonymous_bytes += processes->entries[i].anonymous_bytes;
		swap_bytes += processes->entries[i].swap_bytes;
		grown_bytes += processes->entries[i].grown_bytes;
	}
	snprintf(text, sizeof(text),
		 "%zu process%s: %s anonymous, %s in swap, %s a minute; %zu began and %zu ended "
		 "meanwhile, and are left out",
		 processes->count, processes->count == 1 ? "" : "es",
		 dhat_format_size(anonymous_bytes, anonymous), dhat_format_size(swap_bytes, swap),
		 signed_size(a_minute(processes, grown_bytes), grown), processes->began,
		 processes->ended);
	screen_paragraph(screen, 0, text);
}

static void print_hints(struct screen *screen, const struct processes *processes, size_t shown)
{
	size_t hidden = 0;
	char text[256];

	for (size_t i = 0; i < shown; i++)
		hidden += processes->entries[i].is_hidden;
	if (hidden) {
		snprintf(text, sizeof(text),
			 "%zu of these cannot be looked into without more rights: their allocator "
			 "is not known, nor what is hidden of /proc",
			 hidden);
		fputs("Note: ", screen->file);
		screen_paragraph(screen, 6, text);
	}
	if (!shown || processes->entries[0].grown_bytes <= 0)
		return;
	snprintf(text, sizeof(text),
		 "`dhatd plan %d' tells what attaching to the first would cost; `dhatd attach %d' "
		 "finds where its memory comes from",
		 (int)processes->entries[0].pid, (int)processes->entries[0].pid);
	fputs("Hint: ", screen->file);
	screen_paragraph(screen, 6, text);
}

static void print(const struct processes *processes, size_t shown)
{
	bool has_containers = is_any_contained(processes, shown);
	char text[256], duration[DHAT_UNIT_CHARS];
	struct screen screen;

	screen_init(&screen, stdout);
	snprintf(text, sizeof(text),
		 "Watched for %s (--for); A MINUTE is what anonymous memory and swap have grown "
		 "by meanwhile, as if it went on so for a minute",
		 dhat_format_duration(processes->duration_ns, duration));
	screen_paragraph(&screen, 0, text);
	if (shown) {
		printf("\n%7s %-*s %8s ", "PID", USER_COLUMNS, "USER", "RSS");
		if (has_parts(&screen))
			printf("%8s %8s ", "ANON", "SWAP");
		printf("%9s %-*s ", "A MINUTE", ALLOCATOR_COLUMNS, "ALLOCATOR");
		if (has_containers)
			printf("%-*s ", CONTAINER_COLUMNS, "CONTAINER");
		puts("PROGRAM");
		for (size_t i = 0; i < shown; i++)
			print_entry(&screen, processes, &processes->entries[i], has_containers);
	}
	fputc('\n', stdout);
	if (shown < processes->count)
		printf("The first %zu of %zu (--top)\n", shown, processes->count);
	print_totals(&screen, processes);
	print_hints(&screen, processes, shown);
}

/* ---- for programs -------------------------------------------------------------------------- */

/* Absent: in none. */
static void add_container(struct json_object *object, const struct container *container)
{
	struct json_object *added;

	if (!*container->id)
		return;
	added = json_object_new_object();
	json_object_object_add(added, "runtime", dhat_json_string(container->runtime));
	json_object_object_add(added, "id", dhat_json_string(container->id));
	json_object_object_add(added, "pod", dhat_json_string(container->pod));
	json_object_object_add(object, "container", added);
}

static struct json_object *entry_as_json(const struct processes *processes,
					 const struct process_entry *entry)
{
	struct json_object *object = json_object_new_object();
	char user[32];

	json_object_object_add(object, "pid", json_object_new_int(entry->pid));
	json_object_object_add(object, "uid", json_object_new_int64(entry->uid));
	json_object_object_add(object, "user", dhat_json_string(user_name(entry->uid, user)));
	json_object_object_add(object, "rss_bytes", json_object_new_uint64(entry->rss_bytes));
	json_object_object_add(object, "anonymous_bytes",
			       json_object_new_uint64(entry->anonymous_bytes));
	json_object_object_add(object, "swap_bytes", json_object_new_uint64(entry->swap_bytes));
	json_object_object_add(object, "grown_bytes", json_object_new_int64(entry->grown_bytes));
	json_object_object_add(object, "bytes_a_minute",
			       json_object_new_int64(a_minute(processes, entry->grown_bytes)));
	json_object_object_add(object, "allocator", dhat_json_string(entry->allocator));
	add_container(object, &entry->container);
	json_object_object_add(object, "is_hidden", json_object_new_boolean(entry->is_hidden));
	json_object_object_add(object, "program", dhat_json_string(entry->program));
	json_object_object_add(object, "command", dhat_json_string(entry->command ?: ""));
	return object;
}

static int print_json(const struct processes *processes, size_t shown)
{
	struct json_object *object = json_object_new_object(), *rows = json_object_new_array();
	int r;

	for (size_t i = 0; i < shown; i++)
		json_object_array_add(rows, entry_as_json(processes, &processes->entries[i]));
	json_object_object_add(object, "seconds",
			       json_object_new_double((double)processes->duration_ns / 1e9));
	json_object_object_add(object, "process_count", json_object_new_uint64(processes->count));
	json_object_object_add(object, "began", json_object_new_uint64(processes->began));
	json_object_object_add(object, "ended", json_object_new_uint64(processes->ended));
	json_object_object_add(object, "processes", rows);
	r = dhat_json_put(stdout, object);
	fputc('\n', stdout);
	json_object_put(object);
	return r;
}

/* ---- both ---------------------------------------------------------------------------------- */

int ps_report(const struct dhatd_options *options)
{
	_cleanup_(processes_deinit) struct processes processes = { 0 };
	struct dhat_error err = { 0 };
	size_t shown;
	int r = processes_watch((uint64_t)(options->ps_seconds * 1e9), &processes, &err);

	if (r == 0) {
		shown = processes.count < options->ps_top ? processes.count : options->ps_top;
		r = processes_describe(&processes, shown);
		if (r == 0 && options->as_json)
			r = print_json(&processes, shown);
		else if (r == 0)
			print(&processes, shown);
	}
	if (r == 0)
		return DHAT_EXIT_OK;
	dhat_say("dhatd", "%s", err.message[0] ? err.message : strerror(-r));
	return err.code ? err.code : DHAT_EXIT_FAILED;
}
