/* Stands in for the tool by whose name it is called, in test_clean_build.py: it does the least by
 * which a missing or late prerequisite shows. Inputs have to be there; the output is empty.
 *
 * Environment: SLOW, microseconds that what makes something for others takes; KNOWN, the folder of
 * a tree that is built: what its .d files name has to be there, too; where there is none the source
 * is preprocessed. (In a shell's words it took a minute longer: most of this test is starting
 * processes.)
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX 4096

static const char *name;

static bool is_name(const char *names)
{
	char word[64];

	snprintf(word, sizeof(word), " %s ", name);
	return strstr(names, word) != NULL;
}

static bool ends_with(const char *text, const char *end)
{
	return strlen(text) >= strlen(end) && !strcmp(text + strlen(text) - strlen(end), end);
}

static void want(const char *path)
{
	if (access(path, F_OK) == 0)
		return;
	fprintf(stderr, "%s: %s is not there\n", name, path);
	exit(1);
}

static void write_file(const char *path, const char *text, size_t size)
{
	FILE *file = fopen(path, "w");

	if (!file || fwrite(text, 1, size, file) != size || fclose(file)) {
		perror(path);
		exit(1);
	}
}

/* *ret_size: of what is returned, zero-terminated; NULL: it is not there. */
static char *read_file(const char *path, size_t *ret_size)
{
	FILE *file = fopen(path, "r");
	char *text = NULL;

	*ret_size = 0;
	if (!file)
		return NULL;
	if (getdelim(&text, ret_size, EOF, file) < 0)
		text = calloc(1, 1);
	*ret_size = strlen(text);
	fclose(file);
	return text;
}

static void want_all_of(char *rule, const char *out)
{
	char *rest = rule, *word;

	while ((word = strsep(&rest, " \n"))) {
		size_t size = strlen(word);

		if (!*word || !strcmp(word, "\\") || !strcmp(word, out))
			continue;
		if (word[size - 1] == ':') /* a target: of -MP, each header */
			word[size - 1] = '\0';
		if (strcmp(word, out) != 0)
			want(word);
	}
}

static void preprocess(char **flags, int count, const char *source, const char *out,
		       const char *depends)
{
	char *last[] = { "-MMD",	  "-MP", "-MT",	      (char *)out,    "-MF",
			 (char *)depends, "-o",	 "/dev/null", (char *)source, NULL };
	int status;

	memcpy(flags + count, last, sizeof(last));
	if (vfork() == 0) {
		execvp("gcc", flags);
		_exit(127);
	}
	if (wait(&status) < 0 || status)
		exit(1);
}

static void compile(char **flags, int count, const char *source, const char *out,
		    const char *depends)
{
	char own[MAX], known[2 * MAX];
	size_t size;
	char *rule;

	if (!depends) {
		snprintf(own, sizeof(own), "%.*s.d", (int)(strlen(out) - 2 * ends_with(out, ".o")),
			 out);
		depends = own;
	}
	snprintf(known, sizeof(known), "%s/%s", getenv("KNOWN"), depends);
	rule = read_file(known, &size);
	if (!rule) {
		preprocess(flags, count, source, out, depends);
		return;
	}
	write_file(depends, rule, size);
	want_all_of(rule, out);
}

int main(int argc, char **argv)
{
	static char *flags[MAX] = { "gcc", "-w", "-E" };
	static const char *inputs[MAX];
	const char *out = NULL, *depends = NULL, *source = NULL, *library_path = "";
	int flag_count = 3, input_count = 0;
	char path[2 * MAX];

	name = strrchr(argv[0], '/') ? strrchr(argv[0], '/') + 1 : argv[0];
	if (is_name(" mkdir cp mv protoc-c objcopy strip cargo bpftool "))
		usleep((useconds_t)atol(getenv("SLOW")));
	if (is_name(" mkdir cp mv protoc-c ")) { /* the tool itself, late */
		snprintf(path, sizeof(path), "/usr/bin/%s", name);
		execv(path, argv);
		perror(path);
		return 127;
	}
	for (int i = 1; i < argc; i++) {
		char *arg = argv[i];

		if (!strcmp(arg, "-o") && i + 1 < argc)
			out = argv[++i];
		else if (!strcmp(arg, "-MF") && i + 1 < argc)
			depends = argv[++i];
		else if (!strcmp(arg, "-L") && i + 1 < argc)
			library_path = argv[++i];
		else if (!strcmp(arg, "-MT") || !strcmp(arg, "-l"))
			i++;
		else if (!strcmp(arg, "-isystem") && i + 1 < argc) {
			flags[flag_count++] = arg;
			flags[flag_count++] = argv[++i];
		} else if (!strncmp(arg, "-l:static=", 10)) {
			snprintf(path, sizeof(path), "%s/lib%s.a", library_path, arg + 10);
			inputs[input_count++] = strdup(path);
		} else if (!strncmp(arg, "-D", 2) || !strncmp(arg, "-I", 2))
			flags[flag_count++] = arg;
		else if (*arg == '-')
			continue;
		else if (ends_with(arg, ".c") || ends_with(arg, ".cc"))
			inputs[input_count++] = source = arg;
		else if (is_name(" objcopy ") || (strchr(arg, '/') && !is_name(" cargo ")))
			inputs[input_count++] = arg;
	}
	if (is_name(" objcopy ") && !out && input_count > 1)
		out = inputs[--input_count];
	if (is_name(" cargo ")) {
		out = "../cargo/release/tokio-service";
		inputs[input_count++] = "Cargo.toml";
		inputs[input_count++] = "src/main.rs";
	}
	for (int i = 0; i < input_count; i++)
		want(inputs[i]);
	if (is_name(" bpftool ")) {
		puts("#pragma once");
		return 0;
	}
	if (is_name(" cargo ")) {
		mkdir("../cargo", 0755);
		mkdir("../cargo/release", 0755);
	}
	if (source && out && !is_name(" cargo "))
		compile(flags, flag_count, source, out, depends);
	if (out)
		write_file(out, "", 0);
	return 0;
}
