#include "trim.h"

#include <errno.h>
#include <string.h>

#include "function_name.h"
#include "proto/base/cleanup.h"

/* Names begin with one of these; Rust's `<T as Trait>::f` and `<T>::f` are looked at without the
 * `<`. A rule that ends in a letter takes in what begins so (`std::allocator_traits`). */
static const char *const allocator_rules[] = {
	/* C++: libstdc++ and libc++ */
	"operator new(",
	"operator new[](",
	"std::allocator",
	"std::__allocator",
	"std::__new_allocator",
	"std::__1::allocator",
	"std::__1::__libcpp_allocate",
	"std::__1::__allocate_at_least",
	"std::__1::__libcpp_operator_new",
	"__gnu_cxx::new_allocator",
	"__gnu_cxx::malloc_allocator",
	"__gnu_cxx::__alloc_traits",
	/* Rust: what lies between a collection and the allocator */
	"__rust_alloc",
	"__rust_realloc",
	"__rdl_",
	"__rg_",
	"alloc::alloc::",
	"alloc::raw_vec::",
	"core::alloc::",
	"std::alloc::",
	"std::sys::unix::alloc::",
	"std::sys::pal::unix::alloc::", /* Rust 1.75 to 1.86 */
	"std::sys::alloc::",
	"hashbrown::raw::alloc::",
	"tikv_jemallocator::",
	"jemallocator::",
	"mimalloc::",
};

static const char *const tokio_rules[] = {
	"tokio::runtime::",
	"tokio::loom::",
	"tokio::park::",
	"tokio::coop::",
	"tokio::util::wake",
	"tokio::macros",
	"tokio::task::local::LocalSet::",
};

/* Glue that an executor's frames are mixed with, and that says nothing there; elsewhere it stays.
 */
static const char *const glue_rules[] = {
	"core::future::from_generator::",
	"core::ops::function::",
	"core::panic::unwind_safe::",
	"std::panicking::try",
	"std::panicking::catch_unwind",
	"std::panic::catch_unwind",
	"__rust_try",
	"std::thread::local::",
	"std::thread::Builder::spawn_unchecked",
	"std::sys_common::backtrace::__rust_begin_short_backtrace",
	"std::sys::backtrace::__rust_begin_short_backtrace",
	"std::sys::unix::thread::Thread::new::thread_start",
	"std::sys::pal::unix::thread::Thread::new::thread_start",
	"std::sys::thread::",
	"alloc::boxed::Box<F,A> as core::ops::function::",
	"alloc::boxed::Box<dyn core::ops::function::",
};

static const char *const std_rules[] = {
	"std::",
	"__gnu_cxx::",
	"__cxxabiv1::",
	"operator new(",
	"operator new[](",
	"__cxa_",
	"execute_native_thread_function", /* std::thread's, in libstdc++ */
	"core::",
	"alloc::",
	"hashbrown::",
	"__rust",
	"__rdl_",
	"rust_panic",
};

static bool begins_with_any(const char *name, const char *const *rules, size_t count)
{
	if (!name)
		return false;
	name += strspn(name, "<");
	for (size_t i = 0; i < count; i++)
		if (!strncmp(name, rules[i], strlen(rules[i])))
			return true;
	return false;
}

/* Rust's `<T as core::alloc::global::GlobalAlloc>::alloc`: whoever's T is, what it does is to hand
 * on, inlined or not. */
static bool is_allocator_trait(const char *name)
{
	static const char trait[] = " as core::alloc::";
	int depth = 1;

	if (*name++ != '<')
		return false;
	for (; *name && depth > 0; name++) {
		if (depth == 1 && !strncmp(name, trait, strlen(trait)))
			return true;
		depth += (*name == '<') - (*name == '>' && name[-1] != '-');
	}
	return false;
}

/* What `#[global_allocator]` writes beside a program's static: `app::_::__rust_alloc`. */
static bool is_global_allocator(const char *name)
{
	return is_allocator_trait(name) || strstr(name, "::_::__rust_") ||
	       strstr(name, "::_::__rg_");
}

/* `void* std::allocator…`: a template function's name has its return type before it. */
static bool is_allocator_shim(const char *name)
{
	const char *space = name ? strchr(name, ' ') : NULL;
	const char *bracket = name ? strpbrk(name, "<(") : NULL;

	if (begins_with_any(name, allocator_rules, ARRAY_SIZE(allocator_rules)) ||
	    (name && is_global_allocator(name)))
		return true;
	return space && bracket && space < bracket &&
	       begins_with_any(space + 1, allocator_rules, ARRAY_SIZE(allocator_rules));
}

/* `<T as core::clone::Clone>::clone`, `<u8 as alloc::…>::from_elem`: whose type has no path is the
 * library's, for nobody else may write its traits for such types. */
static bool is_std_trait(const char *name)
{
	const char *as = *name == '<' ? strstr(name, " as ") : NULL;

	return as && !memmem(name, as - name, "::", 2) &&
	       begins_with_any(as + strlen(" as "), std_rules, ARRAY_SIZE(std_rules));
}

static bool is_std(const char *name)
{
	if (!name)
		return false;
	name = dhat_name_begin(name);
	return begins_with_any(name, std_rules, ARRAY_SIZE(std_rules)) || is_std_trait(name);
}

bool dhat_trim_is_library(const char *function)
{
	return is_std(function) || is_allocator_shim(function) ||
	       begins_with_any(function, tokio_rules, ARRAY_SIZE(tokio_rules));
}

static const struct {
	const char *word;
	unsigned rules;
} words[] = {
	{ "allocator", DHAT_TRIM_ALLOCATOR },
	{ "tokio", DHAT_TRIM_TOKIO },
	{ "std", DHAT_TRIM_STD },
	{ "all", DHAT_TRIM_ALLOCATOR | DHAT_TRIM_TOKIO | DHAT_TRIM_STD },
};

const char *dhat_trim_word(unsigned bit)
{
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (words[i].rules == bit)
			return words[i].word;
	return NULL;
}

int dhat_trim_parse(const char *text, unsigned *ret_rules, struct dhat_error *err)
{
	unsigned rules = 0;

	for (const char *at = text;; at++) {
		size_t length = strcspn(at, ","), i;

		for (i = 0; i < ARRAY_SIZE(words); i++)
			if (strlen(words[i].word) == length && !strncmp(at, words[i].word, length))
				break;
		if (i == ARRAY_SIZE(words))
			return dhat_error_set(
				err, EINVAL, DHAT_EXIT_USAGE,
				"cannot trim '%.*s': there are allocator, tokio, std and "
				"all",
				(int)length, at);
		rules |= words[i].rules;
		at += length;
		if (!*at)
			break;
	}
	*ret_rules = rules;
	return 0;
}

static void trim_allocator(const char *const *functions, size_t count, bool *keep)
{
	for (size_t i = 0; i < count && is_allocator_shim(functions[i]); i++)
		keep[i] = false;
}

/* The user's future in the type arguments of a v0 name: `app::serve::{closure#0}` of
 * `<core::…::GenFuture<app::serve::{closure#0}> as core::future::future::Future>::poll`. Without
 * debugging information its function is inlined there, and its name stands nowhere else. */
static bool find_future(const char *name, const char **ret, size_t *ret_length)
{
	static const char *const libraries[] = { "std::", "core::", "alloc::", "tokio::" };
	const char *at = name ? strchr(name, '<') : NULL, *end, *begin;

	for (; at && (at = strchr(at, '{')); at++) {
		end = strchr(at, '}');
		if (!end)
			return false;
		if (strncmp(at, "{closure", 8) && strncmp(at, "{async", 6))
			continue;
		for (begin = at; begin > name && !strchr("<>,( &*[", begin[-1]); begin--)
			;
		/* `Core<T,S>::poll::{{closure}}` has no name in its arguments */
		if (begin[0] == ':' || begin == at ||
		    begins_with_any(begin, libraries, ARRAY_SIZE(libraries)))
			continue;
		*ret = begin;
		*ret_length = end + 1 - begin;
		return true;
	}
	return false;
}

static bool mentions(const char *name, const char *text, size_t length)
{
	return name && memmem(name, strlen(name), text, length);
}

/* Of a run that goes, one frame stays when the future that was polled is named nowhere else. */
static void keep_future(const char *const *functions, size_t count, size_t start, size_t end,
			bool *keep)
{
	const char *future = NULL;
	size_t length = 0, i = start;

	while (i < end && !find_future(functions[i], &future, &length))
		i++;
	if (!future || (start > 0 && mentions(functions[start - 1], future, length)) ||
	    (end < count && mentions(functions[end], future, length)))
		return;
	keep[i] = true;
}

/* Runs of executor frames and glue go, if there is an executor frame in them. */
static void trim_tokio(const char *const *functions, size_t count, bool *keep)
{
	size_t end;

	for (size_t start = 0; start < count; start = end + 1) {
		bool has_executor = false;

		for (end = start; end < count; end++) {
			bool is_executor = begins_with_any(functions[end], tokio_rules,
							   ARRAY_SIZE(tokio_rules));

			if (!is_executor &&
			    !begins_with_any(functions[end], glue_rules, ARRAY_SIZE(glue_rules)))
				break;
			has_executor |= is_executor;
		}
		if (!has_executor)
			continue;
		for (size_t i = start; i < end; i++)
			keep[i] = false;
		keep_future(functions, count, start, end, keep);
	}
}

size_t dhat_trim_stack(const char *const *functions, size_t count, unsigned rules, bool *keep)
{
	size_t kept = 0;

	for (size_t i = 0; i < count; i++)
		keep[i] = true;
	if (rules & DHAT_TRIM_ALLOCATOR)
		trim_allocator(functions, count, keep);
	if (rules & DHAT_TRIM_TOKIO)
		trim_tokio(functions, count, keep);
	for (size_t i = 0; rules & DHAT_TRIM_STD && i < count; i++)
		keep[i] &= !is_std(functions[i]);
	for (size_t i = 0; i < count; i++)
		kept += keep[i];
	if (kept || !count)
		return kept;
	keep[count - 1] = true;
	return 1;
}
