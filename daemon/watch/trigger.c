#include "trigger.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "proto/base/cleanup.h"
#include "proto/base/similar.h"
#include "proto/base/units.h"

#define LONGEST_WORD 24

enum measure { NOTHING, BYTES, BYTES_A_TIME, PERCENT };

static const struct {
	const char *name, *word;
	enum measure measure;
} kinds[TRIGGER_KINDS] = {
	[TRIGGER_RSS] = { "rss", "rss", BYTES },
	[TRIGGER_LIVE] = { "live", "live", BYTES },
	[TRIGGER_GROWTH] = { "growth", "growth", BYTES_A_TIME },
	[TRIGGER_OVERHEAD] = { "overhead", "overhead", PERCENT },
	[TRIGGER_PSI] = { "psi.memory", "psi", PERCENT },
	[TRIGGER_CGROUP_PSI] = { "cgroup.psi.memory", "psi", PERCENT },
	[TRIGGER_FAILED] = { "failed-allocation", "failed", NOTHING },
	[TRIGGER_HIGH] = { "cgroup.memory.high", "high", NOTHING },
	[TRIGGER_MAX] = { "cgroup.memory.max", "max", NOTHING },
	[TRIGGER_EXIT] = { "exit", "exit", NOTHING },
	[TRIGGER_OOM] = { "oom", "oom", NOTHING },
};

static const struct {
	const char *name;
	uint64_t ns;
} windows[] = {
	{ "s", 1000000000ull },
	{ "min", 60000000000ull },
	{ "h", 3600000000000ull },
};

bool trigger_is_level(enum trigger_kind kind)
{
	return kinds[kind].measure != NOTHING;
}

const char *trigger_word(enum trigger_kind kind)
{
	return kinds[kind].word;
}

/* ---- words ----------------------------------------------------------------------------------- */

static const char *skip_blanks(const char *at)
{
	while (*at == ' ' || *at == '\t')
		at++;
	return at;
}

/* What stands there up to a blank or one of `ends`; false: nothing, or too long for any word. */
static bool take_word(const char **at, const char *ends, char ret[LONGEST_WORD])
{
	const char *begin = skip_blanks(*at), *end = begin;

	while (*end && *end != ' ' && *end != '\t' && !strchr(ends, *end))
		end++;
	if (end == begin || end - begin >= LONGEST_WORD)
		return false;
	memcpy(ret, begin, end - begin);
	ret[end - begin] = '\0';
	*at = skip_blanks(end);
	return true;
}

static bool take_char(const char **at, char wanted)
{
	if (**at != wanted)
		return false;
	*at = skip_blanks(*at + 1);
	return true;
}

/* "3%", "2.5%": hundredths of a percent, 1 to 1000000. -EINVAL: none. */
static int parse_percent(const char *text, uint64_t *ret)
{
	uint64_t number = 0;
	unsigned decimals = 0, digits = 0;
	bool has_point = false;

	for (; isdigit((unsigned char)*text) || (*text == '.' && !has_point && digits); text++) {
		if (*text == '.') {
			has_point = true;
			continue;
		}
		if (++digits > 7 || (has_point && ++decimals > 2))
			return -EINVAL;
		number = number * 10 + (*text - '0');
	}
	for (; decimals < 2; decimals++)
		number *= 10;
	if (strcmp(text, "%") || !number || number > 1000000 || text[-1] == '.')
		return -EINVAL;
	*ret = number;
	return 0;
}

/* ---- the grammar ----------------------------------------------------------------------------- */

static int no_such_kind(const char *name, char why[TRIGGER_WHY_CHARS])
{
	struct dhat_similar similar = { .word = name };
	size_t used;

	for (size_t i = 0; i < TRIGGER_KINDS; i++)
		dhat_similar_consider(&similar, kinds[i].name);
	used = snprintf(why, TRIGGER_WHY_CHARS, "there is no %s; ", name);
	if (similar.best) {
		snprintf(why + used, TRIGGER_WHY_CHARS - used, "did you mean %s?", similar.best);
		return -EINVAL;
	}
	used += snprintf(why + used, TRIGGER_WHY_CHARS - used, "there are");
	for (size_t i = 0; i < TRIGGER_KINDS && used < TRIGGER_WHY_CHARS; i++)
		used += snprintf(why + used, TRIGGER_WHY_CHARS - used, "%s %s", i ? "," : "",
				 kinds[i].name);
	return -EINVAL;
}

static int wants(const char *what, const char *after, char why[TRIGGER_WHY_CHARS])
{
	snprintf(why, TRIGGER_WHY_CHARS, "%s is wanted after %s", what, after);
	return -EINVAL;
}

static int parse_kind(const char **at, struct trigger *ret, char why[TRIGGER_WHY_CHARS])
{
	char name[LONGEST_WORD] = "such condition";

	take_word(at, ">", name);
	for (size_t i = 0; i < TRIGGER_KINDS; i++) {
		if (strcmp(name, kinds[i].name))
			continue;
		ret->kind = i;
		return 0;
	}
	return no_such_kind(name, why);
}

static int parse_window(const char **at, struct trigger *ret, char why[TRIGGER_WHY_CHARS])
{
	char word[LONGEST_WORD] = "";

	if (take_char(at, '/') && take_word(at, "", word))
		for (size_t i = 0; i < ARRAY_SIZE(windows); i++)
			if (!strcmp(word, windows[i].name))
				ret->window_ns = windows[i].ns;
	return ret->window_ns ? 0 : wants("/s, /min or /h", "the size of growth", why);
}

static int parse_level(const char **at, struct trigger *ret, char value[LONGEST_WORD],
		       char why[TRIGGER_WHY_CHARS])
{
	enum measure measure = kinds[ret->kind].measure;
	bool is_percent = measure == PERCENT;
	int error = -EINVAL;

	if (!take_char(at, '>'))
		return wants(is_percent ? "> and a percentage" : "> and a size",
			     kinds[ret->kind].name, why);
	if (take_word(at, "/", value))
		error = is_percent ? parse_percent(value, &ret->level)
				   : dhat_parse_size(value, &ret->level);
	if (error)
		return wants(is_percent ? "a percentage, such as 3% or 2.5%,"
					: "a size, such as 2GiB or 500M,",
			     ">", why);
	return measure == BYTES_A_TIME ? parse_window(at, ret, why) : 0;
}

static int parse_for(const char **at, struct trigger *ret, char value[LONGEST_WORD],
		     char why[TRIGGER_WHY_CHARS])
{
	char word[LONGEST_WORD] = "";

	if (!**at)
		return 0;
	if (!trigger_is_level(ret->kind) || !take_word(at, "", word) || strcmp(word, "for")) {
		snprintf(why, TRIGGER_WHY_CHARS, "nothing more is wanted%s",
			 trigger_is_level(ret->kind) ? " but `for DURATION'" : " after that");
		return -EINVAL;
	}
	if (!take_word(at, "", value) || dhat_parse_duration(value, &ret->for_ns) || **at)
		return wants("a duration, such as 90s or 5m,", "for", why);
	return 0;
}

int trigger_parse(const char *text, struct trigger *ret, char why[TRIGGER_WHY_CHARS])
{
	char level[LONGEST_WORD] = "", lasting[LONGEST_WORD] = "";
	struct trigger trigger = { 0 };
	const char *at = text, *window = "";
	int error = parse_kind(&at, &trigger, why);

	if (error == 0 && trigger_is_level(trigger.kind))
		error = parse_level(&at, &trigger, level, why);
	if (error == 0)
		error = parse_for(&at, &trigger, lasting, why);
	if (error)
		return error;
	for (size_t i = 0; i < ARRAY_SIZE(windows); i++)
		if (trigger.window_ns == windows[i].ns)
			window = windows[i].name;
	snprintf(trigger.text, sizeof(trigger.text), "%s%s%s%s%s%s%s", kinds[trigger.kind].name,
		 *level ? ">" : "", level, *window ? "/" : "", window, *lasting ? " for " : "",
		 lasting);
	*ret = trigger;
	return 0;
}
