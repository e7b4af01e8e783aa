#pragma once
/* demangle: C++ and Rust (legacy and v0) symbol names as in the source, by libiberty.
 *
 * Pure. Names are hostile: substitutions let a short one unfold without end, so the output is cut
 * off at DEMANGLE_MAX_BYTES, where the mangled name stays as it is.
 */
#define DEMANGLE_MAX_BYTES 65536

/* Rust's hash suffix and LLVM's ".llvm.123" are dropped; GCC's clone suffixes stay readable
 * ("f(int) [clone .part.0]"). NULL: not a mangled name, or one that cannot be unfolded. The caller
 * frees. */
char *demangle(const char *linkage_name);
