#pragma once
/* compiled_by: which compiler made a BPF object, for the message when a verifier refuses it. */
#define COMPILED_BY_TEXT(x) #x
#define COMPILED_BY_EXPAND(x) COMPILED_BY_TEXT(x)

const volatile char compiled_by[] = "clang " COMPILED_BY_EXPAND(__clang_major__);
