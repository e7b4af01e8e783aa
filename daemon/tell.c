#include "tell.h"

#include "proto/base/cleanup.h"
#include "proto/base/say.h"
#include "proto/base/units.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

DEFINE_CLEANUP_PTR(struct target_copy *, target_copy_free)

static bool is_service;

static bool is_journal(void)
{
	const char *text = getenv("JOURNAL_STREAM");
	unsigned long long dev, inode;
	struct stat own;

	return text && sscanf(text, "%llu:%llu", &dev, &inode) == 2 &&
	       fstat(STDERR_FILENO, &own) == 0 && own.st_dev == dev && own.st_ino == inode;
}

void tell_init(bool is_service_)
{
	is_service = is_service_;
	dhat_say_times(is_service && !is_journal());
	dhat_say_levels(is_journal());
}

void tell_attached(struct target *target)
{
	_cleanup_(target_copy_free_ptr) struct target_copy *copy = NULL;
	char name[DHAT_PROGRAM_CHARS];

	if (target_copy(target, false, &copy, NULL))
		return;
	target_name(target, name);
	dhat_say("dhatd", "attached to %d (%s), %zu probes", (int)copy->identity.pid, name,
		 copy->probed.probe_count);
	for (size_t i = 0; i < copy->probed.allocator_count; i++)
		dhat_say("dhatd", "  %s (%s)", copy->probed.allocators[i].name,
			 copy->probed.allocators[i].path);
	for (char **reason = copy->reasons;
	     (copy->verdict == DHAT_PARTIAL || copy->verdict == DHAT_SAMPLED) && *reason; reason++)
		dhat_say("dhatd", "  %s: %s", dhat_verdict_word(copy->verdict), *reason);
}

/* "1234 (nginx) killed: signal 11 (SIGSEGV)" */
static void describe(const struct target_copy *copy, const struct target *target, const char *at,
		     char *ret, size_t size)
{
	char name[DHAT_PROGRAM_CHARS];

	target_name(target, name);
	if (copy->state == TARGET_REPLACED)
		snprintf(ret, size, "%d (%s) has executed another program%s%s",
			 (int)copy->identity.pid, name, at,
			 target_follows_exec(target) ? "" : "; --follow-exec profiles that, too");
	else
		snprintf(ret, size, "%d (%s) %s%s%s%s", (int)copy->identity.pid, name,
			 target_state_name(copy->state), at, copy->state_detail[0] ? ": " : "",
			 copy->state_detail);
}

void tell_ended(struct target *target, const char *then)
{
	_cleanup_(target_copy_free_ptr) struct target_copy *copy = NULL;
	char at[32] = "", text[256];
	time_t seconds = time(NULL);
	struct tm tm;

	if (target_copy(target, false, &copy, NULL))
		return;
	localtime_r(&seconds, &tm);
	if (!is_service) /* a terminal is looked at again the next morning */
		strftime(at, sizeof(at), " at %H:%M:%S", &tm);
	describe(copy, target, at, text, sizeof(text));
	dhat_say("dhatd", "%s%s", text, then);
}

void tell_detached(struct target *target)
{
	char name[DHAT_PROGRAM_CHARS];

	target_name(target, name);
	dhat_say("dhatd", "detached from %d (%s); its profile stays", (int)target_pid(target),
		 name);
}

static void say_sum(const char *title, uint64_t bytes, uint64_t blocks)
{
	char byte_text[DHAT_UNIT_CHARS], block_text[DHAT_UNIT_CHARS];

	dhat_say("dhatd", "  %-10s %s bytes in %s block%s", title,
		 dhat_format_count(bytes, byte_text), dhat_format_count(blocks, block_text),
		 blocks == 1 ? "" : "s");
}

/* What a person may look for in vain in the profile of a script. */
static void say_children(const struct target_copy *copy)
{
	if (copy->from_start && !copy->follows_fork && copy->child_count)
		dhat_say("dhatd",
			 "  %" PRIu64 " process%s that it started %s not watched: --follow-fork "
			 "gives each a profile",
			 copy->child_count, copy->child_count == 1 ? "" : "es",
			 copy->child_count == 1 ? "was" : "were");
}

void tell_totals(struct target *target)
{
	_cleanup_(target_copy_free_ptr) struct target_copy *copy = NULL;
	char text[256];

	if (target_copy(target, false, &copy, NULL))
		return;
	describe(copy, target, "", text, sizeof(text));
	dhat_say("dhatd", "%s", text);
	say_sum("Total:", copy->totals.total_bytes, copy->totals.total_blocks);
	say_sum("At t-gmax:", copy->totals.peak_bytes, copy->totals.peak_blocks);
	say_sum("At t-end:", copy->totals.live_bytes, copy->totals.live_blocks);
	say_children(copy);
	for (char **reason = copy->reasons; *reason; reason++)
		dhat_say("dhatd", "  %s: %s",
			 copy->verdict == DHAT_INEXACT ? "not exact"
						       : dhat_verdict_word(copy->verdict),
			 *reason);
}
