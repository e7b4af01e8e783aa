#include "refusal.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include "proto/base/cleanup.h"
#include "proto/base/say.h"

static bool is_loud_;

/* What libbpf said of the load that failed last on this thread. */
static __thread struct {
	char program[64], complaint[160];
} heard;

/* The line before "processed N insns …", which ends each log of the verifier's. */
static void keep_complaint(const char *log)
{
	const char *end = strstr(log, "\nprocessed "), *start = end;

	while (start && start > log && start[-1] != '\n')
		start--;
	if (start)
		snprintf(heard.complaint, sizeof(heard.complaint), "%.*s", (int)(end - start),
			 start);
}

static void keep(const char *text)
{
	const char *name, *end;

	if (strncmp(text, "libbpf: ", 8) == 0)
		text += 8;
	if (strncmp(text, "prog '", 6) == 0 && strstr(text, "': BPF program load failed")) {
		name = text + 6;
		end = strchr(name, '\'');
		snprintf(heard.program, sizeof(heard.program), "%.*s", (int)(end - name), name);
		*heard.complaint = '\0';
	} else if (strstr(text, "BEGIN PROG LOAD LOG")) {
		keep_complaint(text);
	}
}

static int listen(enum libbpf_print_level level, const char *format, va_list args)
{
	_cleanup_free_ char *text = NULL;

	if (level != LIBBPF_WARN && !is_loud_)
		return 0;
	if (vasprintf(&text, format, args) < 0) {
		text = NULL;
		return 0;
	}
	if (level == LIBBPF_WARN)
		keep(text);
	if (is_loud_ && level != LIBBPF_DEBUG)
		for (char *rest = text, *line; (line = strsep(&rest, "\n"));)
			if (*line)
				dhat_say("libbpf", "%s", line);
	return 0;
}

void refusal_listen(bool is_loud)
{
	is_loud_ = is_loud;
	libbpf_set_print(listen);
}

static bool is_kernel_new_enough(const char *release)
{
	return strverscmp(release, REFUSAL_LEAST_KERNEL) >= 0;
}

int refusal_explain(int error, const char *compiler, struct dhat_error *err)
{
	char program[sizeof(heard.program)], complaint[sizeof(heard.complaint)];
	struct utsname kernel = { .release = "0" };

	strcpy(program, heard.program);
	strcpy(complaint, heard.complaint);
	memset(&heard, 0, sizeof(heard));
	if (error == -EPERM)
		return dhat_error_set(err, EPERM, DHAT_EXIT_NOT_PERMITTED,
				      "not permitted to load BPF programs: run dhatd as root");
	uname(&kernel);
	if (!is_kernel_new_enough(kernel.release))
		return dhat_error_set(err, -error, DHAT_EXIT_UNSUPPORTED,
				      "this kernel, Linux %s, does not accept the BPF programs "
				      "(%s): dhatd needs Linux " REFUSAL_LEAST_KERNEL
				      " or later with BPF, uprobes and BTF",
				      kernel.release, strerror(-error));
	if (!*program)
		return dhat_error_set(err, -error, DHAT_EXIT_UNSUPPORTED,
				      "this kernel does not accept the BPF programs (%s): Linux %s "
				      "is new enough, so it may lack BPF, uprobes or BTF "
				      "(CONFIG_BPF_SYSCALL, CONFIG_UPROBE_EVENTS, "
				      "CONFIG_DEBUG_INFO_BTF); DHATD_LIBBPF_LOG=1 shows more",
				      strerror(-error), kernel.release);
	return dhat_error_set(
		err, -error, DHAT_EXIT_UNSUPPORTED,
		"the kernel's verifier refused the BPF program %s (%s). Linux %s is new "
		"enough: %s has made of it what a verifier cannot follow. "
		"clang 14, 19 and 21 are known to work (make CLANG=clang-19); "
		"DHATD_LIBBPF_LOG=1 shows the verifier's log",
		program, *complaint ? complaint : strerror(-error), kernel.release, compiler);
}
