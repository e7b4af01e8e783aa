#pragma once
/* features: what this kernel can do, found out by trying it, never told by its version: fixes are
 * carried to old ones, and left out of new ones. Each question is one function here; answers are
 * kept for the life of dhatd. Any thread.
 */
#include <stdbool.h>

#include "proto/base/error.h"
#include "uprobe.h"

/* What stands in the way of everything; found without any rights. */
enum features_lack {
	FEATURES_LACK_NOTHING,
	FEATURES_LACK_BPF,     /* CONFIG_BPF_SYSCALL */
	FEATURES_LACK_UPROBES, /* CONFIG_UPROBE_EVENTS */
	FEATURES_LOCKED_DOWN,  /* confidentiality: programs may not read what they are given */
};
enum features_lack features_lack(void);

/* 0: there are links of this kind, with returns, and they see all threads of a process.
 * DHAT_EXIT_UNSUPPORTED: not so. The first time takes milliseconds. */
int features_links(enum uprobe_kind kind, struct dhat_error *err);
/* The kind to begin with: the best that has worked for an attach; before the first one, the best.
 * If it does not do, the next worse may. */
enum uprobe_kind features_first_kind(void);
void features_kind_works(enum uprobe_kind kind);

/* What one trap costs: selftest.h. The first time takes milliseconds. UPROBE_KINDS: of no kind. */
uint64_t features_trap_ns(enum uprobe_kind kind);
#define FEATURES_TRAP_NS 880 /* where it cannot be told: README's machine */

/* Does a return probe of this kind kill a process that has a seccomp filter? True as well when that
 * cannot be told. The first time takes milliseconds. See selftest.h. */
bool features_return_probes_kill(enum uprobe_kind kind);

/* May programs of this kind write registers, so that they can execute an instruction themselves
 * (bpf/places.h)? The first time takes milliseconds. See selftest.h. */
bool features_write_registers(enum uprobe_kind kind);
