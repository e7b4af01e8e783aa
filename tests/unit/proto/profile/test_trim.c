/* What --trim leaves out, and what it must not. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proto/profile/trim.h"

#define MAX 32

/* stack and expected: NULL-terminated, innermost first. */
static void assert_trimmed(unsigned rules, const char *const *stack, const char *const *expected)
{
	bool keep[MAX];
	size_t count = 0, kept, at = 0;

	while (stack[count])
		count++;
	assert_true(count <= MAX);
	kept = dhat_trim_stack(stack, count, rules, keep);
	for (size_t i = 0; i < count; i++) {
		if (!keep[i])
			continue;
		assert_non_null(expected[at]);
		assert_string_equal(stack[i], expected[at]);
		at++;
	}
	assert_null(expected[at]);
	assert_int_equal(kept, at);
}

#define LIST(...) ((const char *const[]){ __VA_ARGS__, NULL })

static void test_cxx(void **state)
{
	assert_trimmed(
		DHAT_TRIM_ALLOCATOR,
		LIST("operator new(unsigned long)",
		     "std::__new_allocator<int>::allocate(unsigned long, void const*)",
		     "std::allocator<int>::allocate(unsigned long)",
		     "std::allocator_traits<std::allocator<int> >::allocate(std::allocator<int>&, "
		     "unsigned long)",
		     "std::_Vector_base<int, std::allocator<int> >::_M_allocate(unsigned long)",
		     "shop::fill(std::allocator<int>)", "main"),
		LIST("std::_Vector_base<int, std::allocator<int> >::_M_allocate(unsigned long)",
		     "shop::fill(std::allocator<int>)", "main"));
	assert_trimmed(DHAT_TRIM_ALLOCATOR,
		       LIST("__gnu_cxx::new_allocator<char>::allocate(unsigned long, void const*)",
			    "void* std::__allocator_thing<int>(int)", "f(int)"),
		       LIST("f(int)"));
	/* what only looks alike */
	assert_trimmed(DHAT_TRIM_ALLOCATOR,
		       LIST("operator new_shelf()", "std::vector<std::allocator<int> >::grow()",
			    "my std::allocator"),
		       LIST("operator new_shelf()", "std::vector<std::allocator<int> >::grow()",
			    "my std::allocator"));
}

static void test_rust(void **state)
{
	assert_trimmed(
		DHAT_TRIM_ALLOCATOR,
		LIST("__rdl_alloc", "alloc::alloc::alloc", "alloc::alloc::Global::alloc_impl",
		     "<alloc::alloc::Global as core::alloc::Allocator>::allocate",
		     "alloc::raw_vec::RawVec<T,A>::allocate_in", "alloc::vec::from_elem",
		     "service::handle", "alloc::alloc::late", "main"),
		LIST("alloc::vec::from_elem", "service::handle", "alloc::alloc::late", "main"));
}

static void test_tokio(void **state)
{
	const char *const *stack =
		LIST("alloc::vec::from_elem", "service::handle::{{closure}}",
		     "<core::future::from_generator::GenFuture<T> as "
		     "core::future::future::Future>::poll",
		     "tokio::runtime::task::core::CoreStage<T>::poll::{{closure}}",
		     "tokio::loom::std::unsafe_cell::UnsafeCell<T>::with_mut",
		     "<core::panic::unwind_safe::AssertUnwindSafe<F> as "
		     "core::ops::function::FnOnce<()>>::call_once",
		     "std::panicking::try", "tokio::runtime::task::raw::poll",
		     "std::sys::unix::thread::Thread::new::thread_start", "start_thread");

	assert_trimmed(
		DHAT_TRIM_TOKIO, stack,
		LIST("alloc::vec::from_elem", "service::handle::{{closure}}", "start_thread"));
	assert_trimmed(0, stack, stack);
	assert_trimmed(DHAT_TRIM_ALLOCATOR, stack, stack);
	/* glue without an executor next to it means something */
	assert_trimmed(DHAT_TRIM_TOKIO, LIST("f", "std::panicking::try", "main"),
		       LIST("f", "std::panicking::try", "main"));
	/* the call that a person wrote stays */
	assert_trimmed(DHAT_TRIM_TOKIO,
		       LIST("tokio::runtime::task::core::Cell<T,S>::new",
			    "tokio::task::spawn::spawn", "service::main::{{closure}}"),
		       LIST("tokio::task::spawn::spawn", "service::main::{{closure}}"));
}

/* Names of a program whose symbols are v0: type arguments are in them. */
static void test_tokio_v0(void **state)
{
	const char *poll = "<core::future::from_generator::GenFuture<app::serve::{closure#0}> as "
			   "core::future::future::Future>::poll";
	const char *harness =
		"<tokio::runtime::task::harness::Harness<core::future::from_generator::"
		"GenFuture<app::serve::{closure#0}>, alloc::sync::Arc<Handle>>>::poll";
	const char *launch =
		"<tokio::runtime::task::core::Core<BlockingTask<tokio::runtime::worker::"
		"launch::{closure#0}>>>::poll";

	/* inlined and without debugging information: this frame alone names the function */
	assert_trimmed(DHAT_TRIM_TOKIO, LIST("shop::fill", poll, harness, launch, "main"),
		       LIST("shop::fill", poll, "main"));
	assert_trimmed(DHAT_TRIM_TOKIO, LIST("shop::fill", harness, launch, "main"),
		       LIST("shop::fill", harness, "main"));
	/* the function has a frame of its own, inside or outside */
	assert_trimmed(DHAT_TRIM_TOKIO,
		       LIST("app::serve::{closure#0}", poll, harness, launch, "main"),
		       LIST("app::serve::{closure#0}", "main"));
	assert_trimmed(
		DHAT_TRIM_TOKIO,
		LIST(harness, "tokio::task::spawn::spawn::<app::serve::{closure#0}>", "main"),
		LIST("tokio::task::spawn::spawn::<app::serve::{closure#0}>", "main"));
	/* the runtime's own closures say nothing, nor does what is cut off */
	assert_trimmed(DHAT_TRIM_TOKIO, LIST("a", launch, "main"), LIST("a", "main"));
	assert_trimmed(DHAT_TRIM_TOKIO, LIST("a", "tokio::runtime::poll::<app::{closure", "main"),
		       LIST("a", "main"));
	assert_trimmed(DHAT_TRIM_TOKIO, LIST("a", "tokio::runtime::poll::<{", "main"),
		       LIST("a", "main"));
}

static void test_both(void **state)
{
	assert_trimmed(DHAT_TRIM_ALLOCATOR | DHAT_TRIM_TOKIO,
		       LIST("__rust_alloc", "alloc::alloc::exchange_malloc",
			    "service::handle::{{closure}}", "tokio::runtime::task::raw::poll"),
		       LIST("service::handle::{{closure}}"));
	/* Rust 1.85, and an allocator of the program's own that is not inlined */
	assert_trimmed(DHAT_TRIM_ALLOCATOR | DHAT_TRIM_TOKIO,
		       LIST("<app::Jemalloc as core::alloc::global::GlobalAlloc>::alloc",
			    "app::allocator::_::__rust_alloc", "alloc::alloc::alloc",
			    "app::handle::{closure#0}", "tokio::runtime::task::raw::poll",
			    "std::sys::pal::unix::thread::Thread::new::thread_start"),
		       LIST("app::handle::{closure#0}"));
}

static void test_nothing_but_noise(void **state)
{
	bool keep[1];

	assert_trimmed(DHAT_TRIM_ALLOCATOR, LIST("__rust_alloc", "alloc::alloc::alloc"),
		       LIST("alloc::alloc::alloc"));
	assert_int_equal(dhat_trim_stack(NULL, 0, DHAT_TRIM_ALLOCATOR, keep), 0);
}

static void test_nameless(void **state)
{
	static const char *const stack[] = { NULL, "operator new(unsigned long)", "" };
	bool keep[3];

	assert_int_equal(dhat_trim_stack(stack, 3, DHAT_TRIM_ALLOCATOR | DHAT_TRIM_TOKIO, keep), 3);
	assert_true(keep[0] && keep[1] && keep[2]);
}

static void test_parse(void **state)
{
	static const char *const bad[] = {
		"", "x", "tokio,", ",tokio", "tokio allocator", "Tokio"
	};
	unsigned rules = 9;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct dhat_error err = { 0 };

		assert_int_equal(dhat_trim_parse(bad[i], &rules, &err), -EINVAL);
		assert_int_equal(err.code, DHAT_EXIT_USAGE);
	}
	assert_int_equal(rules, 9);
	assert_int_equal(dhat_trim_parse("tokio", &rules, NULL), 0);
	assert_int_equal(rules, DHAT_TRIM_TOKIO);
	assert_int_equal(dhat_trim_parse("allocator,tokio", &rules, NULL), 0);
	assert_int_equal(rules, DHAT_TRIM_ALLOCATOR | DHAT_TRIM_TOKIO);
	assert_int_equal(dhat_trim_parse("std", &rules, NULL), 0);
	assert_int_equal(rules, DHAT_TRIM_STD);
	assert_int_equal(dhat_trim_parse("all", &rules, NULL), 0);
	assert_int_equal(rules, DHAT_TRIM_ALLOCATOR | DHAT_TRIM_TOKIO | DHAT_TRIM_STD);
	assert_string_equal(dhat_trim_word(DHAT_TRIM_STD), "std");
	assert_null(dhat_trim_word(DHAT_TRIM_STD << 1));
}

/* The standard libraries go, wherever they stand: C++'s by the name behind a return type, too. */
static void test_std(void **state)
{
	assert_trimmed(
		DHAT_TRIM_STD,
		LIST("operator new(unsigned long)",
		     "std::pair<int, bool> std::_Hashtable<int, app::T>::emplace<int>(int&&)",
		     "app::T* std::__uninitialized_copy<app::T>(app::T*)", "app::login(int)",
		     "void std::__invoke_impl<void, app::login>(app::login&&)", "app::run()",
		     "execute_native_thread_function", "start_thread"),
		LIST("app::login(int)", "app::run()", "start_thread"));
	assert_trimmed(DHAT_TRIM_STD,
		       LIST("__rust_alloc", "alloc::raw_vec::finish_grow",
			    "<alloc::vec::Vec<T> as core::clone::Clone>::clone",
			    "<T as alloc::slice::hack::ConvertVec>::to_vec",
			    "<u8 as alloc::vec::spec_from_elem::SpecFromElem>::from_elem",
			    "<u8 as app::Encode>::encode",
			    "<app::Session as core::clone::Clone>::clone", "app::serve",
			    "core::ops::function::FnOnce::call_once", "std::rt::lang_start",
			    "main"),
		       LIST("<u8 as app::Encode>::encode",
			    "<app::Session as core::clone::Clone>::clone", "app::serve", "main"));
	/* what only looks alike, and what is nothing else */
	assert_trimmed(DHAT_TRIM_STD, LIST("std_like::f()", "mystd::g()", "main"),
		       LIST("std_like::f()", "mystd::g()", "main"));
	assert_trimmed(DHAT_TRIM_STD, LIST("std::a()", "std::b()"), LIST("std::b()"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cxx),	 cmocka_unit_test(test_rust),
		cmocka_unit_test(test_tokio),	 cmocka_unit_test(test_tokio_v0),
		cmocka_unit_test(test_both),	 cmocka_unit_test(test_nothing_but_noise),
		cmocka_unit_test(test_nameless), cmocka_unit_test(test_parse),
		cmocka_unit_test(test_std),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
