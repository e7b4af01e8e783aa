#include "config.h"

#include "proto/base/cleanup.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_FILE_BYTES (1 << 20)

static char *strip(char *text)
{
	size_t length;

	while (isspace((unsigned char)*text))
		text++;
	length = strlen(text);
	while (length && isspace((unsigned char)text[length - 1]))
		text[--length] = '\0';
	return text;
}

static bool is_name(const char *text)
{
	size_t length = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				     "0123456789._-@");

	return length && length < CONFIG_NAME_CHARS && !text[length];
}

static int begin_section(char *line, const char *place, struct config *config,
			 struct dhat_error *err)
{
	static const char word[] = "watch";
	struct config_section *section;
	char *end = strchr(line, ']'), *name;

	if (!end || end[1])
		return dhat_error_set(err, EINVAL, DHAT_EXIT_USAGE,
				      "%s: [watch NAME] is wanted, with nothing behind it", place);
	*end = '\0';
	name = strip(line + 1);
	if (strncmp(name, word, strlen(word)) || !isspace((unsigned char)name[strlen(word)]) ||
	    !is_name(strip(name + strlen(word))))
		return dhat_error_set(err, EINVAL, DHAT_EXIT_USAGE,
				      "%s: [watch NAME] is wanted, the name of letters, digits and "
				      "._-@",
				      place);
	name = strip(name + strlen(word));
	for (size_t i = 0; i < config->count; i++)
		if (!strcmp(config->sections[i].name, name))
			return dhat_error_set(err, EINVAL, DHAT_EXIT_USAGE,
					      "%s: there is a [watch %s] already", place, name);
	if (config->count == CONFIG_SECTIONS_MAX)
		return dhat_error_set(err, E2BIG, DHAT_EXIT_USAGE,
				      "%s: more than %d sections are too many", place,
				      CONFIG_SECTIONS_MAX);
	section = &config->sections[config->count++];
	memset(section, 0, sizeof(*section));
	strcpy(section->name, name);
	return 0;
}

static int parse_setting(char *line, const char *place, struct config *config,
			 struct dhat_error *err)
{
	char *equals = strchr(line, '=');

	if (!config->count)
		return dhat_error_set(err, EINVAL, DHAT_EXIT_USAGE,
				      "%s: which processes is that for? A [watch NAME] comes first",
				      place);
	if (!equals)
		return dhat_error_set(err, EINVAL, DHAT_EXIT_USAGE, "%s: KEY = VALUE is wanted",
				      place);
	*equals = '\0';
	return dhatd_options_parse_key(place, strip(line), strip(equals + 1),
				       &config->sections[config->count - 1].options, err);
}

static int parse_line(char *line, const char *place, struct config *config, struct dhat_error *err)
{
	line = strip(line);
	if (!*line || *line == '#' || *line == ';')
		return 0;
	return *line == '[' ? begin_section(line, place, config, err)
			    : parse_setting(line, place, config, err);
}

static int finish(struct config *config, const char *path, struct dhat_error *err)
{
	for (size_t i = 0; i < config->count; i++) {
		struct config_section *section = &config->sections[i];
		struct dhat_error why = { 0 };

		dhatd_options_settle(&section->options);
		if (!match_is_asked(&section->options.match))
			return dhat_error_set(err, EINVAL, DHAT_EXIT_USAGE,
					      "%s: [watch %s] does not say which processes: give "
					      "name, command, cgroup, unit or container",
					      path, section->name);
		if (watch_settle(&section->options.watch.settings, &why))
			return dhat_error_set(err, EINVAL, DHAT_EXIT_USAGE,
					      "%.280s: [watch %s]: %s", path, section->name,
					      why.message);
	}
	return 0;
}

int config_parse(const char *text, const char *path, struct config *ret, struct dhat_error *err)
{
	_cleanup_(config_deinit) struct config config = {
		.sections = calloc(CONFIG_SECTIONS_MAX, sizeof(*config.sections))
	};
	_cleanup_free_ char *copy = strdup(text);
	char *rest = copy, *line, place[300];
	unsigned number = 0;
	int error = 0;

	if (!copy || !config.sections)
		return dhat_error_errno(err, ENOMEM, "cannot read %s", path);
	while (error == 0 && (line = strsep(&rest, "\n"))) {
		snprintf(place, sizeof(place), "%.280s:%u", path, ++number);
		error = parse_line(line, place, &config, err);
	}
	if (error == 0)
		error = finish(&config, path, err);
	if (error)
		return error;
	*ret = config;
	config = (struct config){ 0 };
	return 0;
}

int config_read(const char *path, struct config *ret, struct dhat_error *err)
{
	_cleanup_fclose_ FILE *file = fopen(path, "re");
	_cleanup_free_ char *text = calloc(1, MAX_FILE_BYTES + 1);
	size_t size;

	if (!file)
		return dhat_error_set(err, errno, DHAT_EXIT_USAGE, "cannot read %s: %s", path,
				      strerror(errno));
	if (!text)
		return dhat_error_errno(err, ENOMEM, "cannot read %s", path);
	size = fread(text, 1, MAX_FILE_BYTES, file);
	if (ferror(file) || !feof(file) || memchr(text, '\0', size))
		return dhat_error_set(err, EINVAL, DHAT_EXIT_USAGE, "%s is no text of up to 1 MiB",
				      path);
	return config_parse(text, path, ret, err);
}

void config_deinit(struct config *config)
{
	for (size_t i = 0; i < config->count; i++)
		dhatd_options_deinit(&config->sections[i].options);
	free(config->sections);
	*config = (struct config){ 0 };
}

bool config_is_same(const struct config_section *a, const struct config_section *b)
{
	char *const *left = a->options.words, *const *right = b->options.words;

	for (; left && right && *left && *right; left++, right++)
		if (strcmp(*left, *right))
			return false;
	return (!left || !*left) && (!right || !*right);
}
