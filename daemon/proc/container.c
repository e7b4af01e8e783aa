#include "container.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "proto/base/cleanup.h"

#define ID_DIGITS 64
#define NAME_MAX_CHARS (CONTAINER_ID_CHARS - 1)

/* ---- one name of a path ---------------------------------------------------------------------- */

/* A part of the text, which ends nowhere. */
struct word {
	const char *text;
	size_t length;
};

static bool is_word(struct word word, const char *text)
{
	return word.length == strlen(text) && !strncmp(word.text, text, word.length);
}

static bool take_prefix(struct word *word, const char *prefix)
{
	size_t length = strlen(prefix);

	if (word->length < length || strncmp(word->text, prefix, length) != 0)
		return false;
	word->text += length;
	word->length -= length;
	return true;
}

static void take_suffix(struct word *word, const char *suffix)
{
	size_t length = strlen(suffix);

	if (word->length >= length && !strncmp(word->text + word->length - length, suffix, length))
		word->length -= length;
}

static bool is_digit(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

static bool are_digits(struct word word)
{
	for (size_t i = 0; i < word.length; i++)
		if (!is_digit(word.text[i]))
			return false;
	return true;
}

static bool is_id(struct word word)
{
	return word.length == ID_DIGITS && are_digits(word);
}

/* What a machine may be called: nothing that could do harm on a screen. */
static bool is_name(const char *text)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789._-";

	return *text && !text[strspn(text, allowed)];
}

/* "web\x2d1" → "web-1", as systemd writes what would part names of units. */
static bool take_name(struct word word, char ret[CONTAINER_ID_CHARS])
{
	size_t used = 0;

	for (size_t i = 0; i < word.length; i++) {
		char c = word.text[i];

		if (c == '\\' && i + 3 < word.length && word.text[i + 1] == 'x' &&
		    is_digit(word.text[i + 2]) && is_digit(word.text[i + 3])) {
			const char digits[] = { word.text[i + 2], word.text[i + 3], '\0' };

			c = (char)strtoul(digits, NULL, 16);
			i += 3;
		}
		if (used == NAME_MAX_CHARS)
			return false;
		ret[used++] = c;
	}
	ret[used] = '\0';
	return is_name(ret);
}

/* "UID", its dashes perhaps written as "_", since systemd's slices are parted by "-". */
static bool take_pod_uid(struct word word, char ret[CONTAINER_POD_CHARS])
{
	static const char uuid[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
	char text[CONTAINER_POD_CHARS];
	bool is_uuid = word.length == strlen(uuid);

	if (!is_uuid && word.length != 32)
		return false;
	for (size_t i = 0; i < word.length; i++) {
		char c = word.text[i] == '_' ? '-' : word.text[i];

		if (is_uuid && uuid[i] == '-' ? c != '-' : !is_digit(c))
			return false;
		text[i] = c;
	}
	text[word.length] = '\0';
	strcpy(ret, text);
	return true;
}

/* "podUID", "kubepods-burstable-podUID.slice"; kind has more in front of it. */
static void take_pod(struct word word, char ret[CONTAINER_POD_CHARS])
{
	const char *in_slice;

	take_suffix(&word, ".slice");
	if (take_prefix(&word, "pod")) {
		take_pod_uid(word, ret);
		return;
	}
	if (!memmem(word.text, word.length, "kubepods", strlen("kubepods")))
		return;
	in_slice = memmem(word.text, word.length, "-pod", strlen("-pod"));
	if (!in_slice)
		return;
	in_slice += strlen("-pod");
	take_pod_uid((struct word){ in_slice, word.text + word.length - in_slice }, ret);
}

/* ---- a path ---------------------------------------------------------------------------------- */

/* In front of an ID: with "-" in the same name, or the name above it. */
static const struct {
	const char *prefix, *runtime;
} runtimes[] = {
	{ "docker", "docker" },	     { "cri-containerd", "containerd" },
	{ "nerdctl", "containerd" }, { "crio", "cri-o" },
	{ "libpod", "podman" },	     { "libpod_parent", "podman" },
};

static bool set_id(struct container *ret, const char *runtime, struct word id)
{
	if (!is_id(id))
		return false;
	ret->runtime = runtime;
	memcpy(ret->id, id.text, id.length);
	ret->id[id.length] = '\0';
	return true;
}

static bool take_by_id(struct word word, struct word above, struct container *ret)
{
	take_suffix(&word, ".scope");
	for (size_t i = 0; i < ARRAY_SIZE(runtimes); i++) {
		struct word id = word;

		if (take_prefix(&id, runtimes[i].prefix) && take_prefix(&id, "-") &&
		    set_id(ret, runtimes[i].runtime, id))
			return true;
		if (is_word(above, runtimes[i].prefix) && set_id(ret, runtimes[i].runtime, word))
			return true;
	}
	return set_id(ret, "container", word);
}

static bool set_name(struct container *ret, const char *runtime, struct word name)
{
	char text[CONTAINER_ID_CHARS];

	if (!take_name(name, text))
		return false;
	ret->runtime = runtime;
	strcpy(ret->id, text);
	return true;
}

static bool take_by_name(struct word word, struct word above, struct container *ret)
{
	struct word name = word;

	if (take_prefix(&name, "systemd-nspawn@")) {
		take_suffix(&name, ".service");
		return set_name(ret, "nspawn", name);
	}
	if (take_prefix(&name, "machine-") && is_word(above, "machine.slice")) {
		take_suffix(&name, ".scope");
		/* libvirt's virtual machines */
		if (take_prefix(&name, "qemu\\x2d"))
			return false;
		return set_name(ret, "machine", name);
	}
	name = word;
	if (take_prefix(&name, "lxc.payload.") || is_word(above, "lxc") ||
	    is_word(above, "lxc.payload"))
		return set_name(ret, "lxc", name);
	return false;
}

/* nspawn's own process is beside what it runs. */
static bool is_beside(struct word word)
{
	return is_word(word, "supervisor");
}

static void parse_path(struct word path, struct container *ret)
{
	struct word above = { "", 0 };
	size_t at = 0;

	while (at < path.length) {
		struct word word = { path.text + at, 0 };

		/* without systemd's help containerd writes "SLICE:cri-containerd:ID" */
		while (at + word.length < path.length && word.text[word.length] != '/' &&
		       word.text[word.length] != ':')
			word.length++;
		at += word.length + 1;
		take_pod(word, ret->pod);
		if (!take_by_id(word, above, ret) && !take_by_name(word, above, ret) &&
		    is_beside(word))
			*ret->id = '\0';
		above = word;
	}
}

/* Lines "HIERARCHY:CONTROLLERS:PATH"; with v1 there is one for each hierarchy. */
void container_parse(const char *text, struct container *ret)
{
	for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n') {
		const char *end = line + strcspn(line, "\n"), *path = memchr(line, ':', end - line);

		*ret = (struct container){ .runtime = "" };
		path = path ? memchr(path + 1, ':', end - path - 1) : NULL;
		if (path)
			parse_path((struct word){ path + 1, end - path - 1 }, ret);
		if (*ret->id)
			return;
	}
	*ret = (struct container){ .runtime = "" };
}

void container_of(pid_t pid, struct container *ret)
{
	_cleanup_free_ char *text = NULL;

	*ret = (struct container){ .runtime = "" };
	if (proc_read(pid, "cgroup", &text, NULL) == 0)
		container_parse(text, ret);
}

bool container_has_digits(const struct container *container)
{
	return is_id((struct word){ container->id, strlen(container->id) });
}

/* ---- chosen by a person ---------------------------------------------------------------------- */

/* "containerd://ID", as Kubernetes prints it. */
static const char *without_scheme(const char *word)
{
	const char *scheme = strstr(word, "://");

	return scheme ? scheme + strlen("://") : word;
}

bool container_is_word(const char *word)
{
	word = without_scheme(word);
	if (!is_name(word) || strlen(word) >= CONTAINER_ID_CHARS)
		return false;
	return strlen(word) >= CONTAINER_SHORT_DIGITS ||
	       !are_digits((struct word){ word, strlen(word) });
}

bool container_is_meant(const struct container *container, const char *word)
{
	if (!*container->id || !container_is_word(word))
		return false;
	word = without_scheme(word);
	if (!strcmp(word, container->id) || !strcmp(word, container->pod))
		return true;
	return container_has_digits(container) && !strncmp(word, container->id, strlen(word));
}
