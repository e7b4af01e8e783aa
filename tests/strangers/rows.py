"""The strangers of tests/strangers/run, as data.

name      of the row
packages  of npm, with their versions
argv      what is run; "./" is the folder they are fetched into, with js/ and the scripts of loads/
env       variables for it, beside ours
live      it serves: which class of live.py drives it; dhatd attaches to it. Without: run to the end
attach    "busy": it works while dhatd attaches, for an allocator that is found by what its code does then. What is
          found is counted by bpftrace at the addresses that dhatd names
truth     [(file, pattern of function names)]: all that hands out or resizes blocks, counted by bpftrace
own       the program's own statistics of its live memory, by name; own_tolerance: the part of it that they may
          differ by (default: none); stack: count what is live below these functions only
hidden    an allocator that cannot be counted: what the verdict has to speak of (a regular expression). Truth is
          that of what is counted
verdict   the words that may be said instead of "exact" (a regular expression)
tolerance the part of the calls that may be missing or too many (default: a thousandth), and why
judgings  so often bpftrace counts, in as many runs: dhatd's count has to lie between the least and the greatest
scratch   a folder of the program's that is removed before each run: both begin alike
warm      run once before, so that both runs find the same files
refused   for programs that cannot be profiled: what the refusal has to speak of
whole     the least percentage of whole stacks, once unwind tables are there
before    (whole, early, false) percent of blocks at commit 0ca08d6, before code without rules was walked, as measured
          by hand on the same versions with loads much like these
"""
LIBC = ("/lib/x86_64-linux-gnu/libc.so.6",
        "malloc|calloc|realloc|posix_memalign|aligned_alloc|memalign|valloc|pvalloc")
TCMALLOC = ("TCMallocInternal(Malloc|Calloc|Realloc|ReallocArray|Memalign|AlignedAlloc|PosixMemalign|Valloc"
            r"|Pvalloc|New\w*|AllocAtLeast|AlignedAllocAtLeast)")
CHROMIUM = ("/usr/lib/chromium/chromium",
            r"malloc|calloc|realloc|memalign|aligned_alloc|posix_memalign|valloc|pvalloc|_Zn[wa]m\w*")
WORKERD = "node_modules/@cloudflare/workerd-linux-64/bin/workerd"
BIOME = "./node_modules/@biomejs/cli-linux-x64/biome"
SASS = "./node_modules/sass-embedded-linux-x64/dart-sass/src/"
ROWS = [
    # ---- allocators without symbols: run to the end, the part that is counted is right and the other is
    # told of, or found by its code while it runs
    # jemalloc 5.3.0, static
    {"name": "biome", "packages": ["@biomejs/cli-linux-x64@2.6.8"], "argv": [BIOME, "lint", "js"],
     "truth": [LIBC], "hidden": "jemalloc|perhaps used before", "verdict": "partial|inexact"},
    {"name": "biome-musl", "packages": ["@biomejs/cli-linux-x64-musl@2.6.8"],
     "argv": ["./node_modules/@biomejs/cli-linux-x64-musl/biome", "lint", "js"], "refused": "jemalloc"},
    # mimalloc 3.5.3, static, and no .eh_frame
    {"name": "bun", "packages": ["@oven/bun-linux-x64@1.4.5"],
     "argv": ["./node_modules/@oven/bun-linux-x64/bin/bun", "plain.js"],
     "truth": [LIBC], "hidden": "mimalloc|perhaps used before", "verdict": "partial|inexact"},
    # mimalloc 3.3.2 in a static program
    {"name": "turbo", "packages": ["@turbo/linux-64@2.11.11"],
     "argv": ["./node_modules/@turbo/linux-64/bin/turbo", "--version"], "refused": "mimalloc"},
    {"name": "esbuild", "packages": ["@esbuild/linux-x64@0.28.2"],
     "argv": ["./node_modules/@esbuild/linux-x64/bin/esbuild", "js/f199.js", "--bundle", "--outfile=esbuild.out"],
     "refused": r"\bGo\b"},
    # mimalloc 2 and 3 in libraries of node, whose own calls are of glibc
    {"name": "rolldown", "packages": ["rolldown@1.3.3"], "argv": ["node", "rolldown.mjs"],
     "truth": [LIBC], "hidden": "mimalloc|perhaps used before", "verdict": "partial|inexact"},
    {"name": "rspack", "packages": ["@rspack/core@2.3.3"], "argv": ["node", "rspack.js"],
     "truth": [LIBC], "hidden": "mimalloc|perhaps used before", "verdict": "partial|inexact",
     "whole": 95, "before": (17, 45, 38)},
    # its library is packed, and unpacked into the cache of the user, by another name, when it is first loaded
    {"name": "swc", "packages": ["@swc/core@1.16.22"], "argv": ["node", "swc.js"], "warm": True,
     "truth": [LIBC], "hidden": "mimalloc|perhaps used before", "verdict": "partial|inexact"},
    {"name": "oxlint", "packages": ["oxlint@1.94.0"],
     "argv": ["node", "./node_modules/oxlint/bin/oxlint", "--no-ignore", "js"],
     "truth": [LIBC], "hidden": "mimalloc|perhaps used before", "verdict": "partial|inexact"},

    # ---- the same attached to while they work: found by what their code does
    {"name": "biome-server", "live": "biome", "attach": "busy", "argv": [BIOME],
     "truth": [LIBC], "hidden": "jemalloc|cannot be followed", "verdict": "partial|inexact"},
    {"name": "rolldown-loop", "live": "lines", "attach": "busy", "argv": ["node", "bundle.mjs"],
     "truth": [LIBC], "hidden": "mimalloc|cannot be followed", "verdict": "partial|inexact"},

    # ---- allocators with symbols
    # Google's tcmalloc with an operator new of its own
    {"name": "workerd", "packages": ["@cloudflare/workerd-linux-64@1.20261117.1"],
     "argv": ["./" + WORKERD, "compile", "worker.capnp"], "truth": [(WORKERD, TCMALLOC)]},
    {"name": "workerd-serve", "live": "workerd", "argv": ["./" + WORKERD], "truth": [(WORKERD, TCMALLOC)],
     "whole": 99, "before": (60, 3, 37)},
    # PartitionAlloc behind malloc and an operator new of its own; renderer and all in one process
    {"name": "chromium",
     "argv": ["/usr/lib/chromium/chromium", "--headless", "--no-sandbox", "--disable-gpu", "--single-process",
              "--no-first-run", "--user-data-dir=chromium", "--dump-dom", "./page.html"],
     "truth": [CHROMIUM], "scratch": "chromium", "verdict": "inexact", "tolerance": 0.02, "judgings": 2},
    {"name": "renderer", "live": "renderer", "argv": ["/usr/lib/chromium/chromium"], "truth": [CHROMIUM],
     "whole": 99, "before": (0.5, 99.5, 0)},
    # its data in a jemalloc under the prefix duckdb_je_, the rest in glibc
    {"name": "duckdb", "packages": ["@duckdb/node-bindings@1.5.6-r.1"], "argv": ["node", "duckdb.js"],
     "truth": [LIBC, ("node_modules/@duckdb/node-bindings-linux-x64/libduckdb.so",
                      "duckdb_je_(malloc|calloc|realloc|posix_memalign|aligned_alloc|memalign|valloc|mallocx"
                      "|rallocx)")],
     "verdict": "inexact"},  # the library comes late

    # ---- glibc
    {"name": "lightningcss", "packages": ["lightningcss-cli-linux-x64-gnu@1.33.0"],
     "argv": ["./node_modules/lightningcss-cli-linux-x64-gnu/lightningcss", "--minify", "plain.css", "-o", "css.out"],
     "truth": [LIBC]},
    {"name": "node", "argv": ["node", "plain.js"], "truth": [LIBC],
     "whole": 99, "before": (24, 21, 56)},
    {"name": "sharp", "packages": ["sharp@0.35.5"], "argv": ["node", "sharp.js"], "truth": [LIBC],
     "whole": 95, "before": (2, 97, 1)},
    {"name": "onnxruntime", "packages": ["onnxruntime-node@1.30.0"], "argv": ["node", "onnx.js"], "truth": [LIBC],
     "whole": 99, "before": (4, 71, 24)},
    {"name": "tailwind", "packages": ["@tailwindcss/oxide@4.3.5"], "argv": ["node", "tailwind.js"], "truth": [LIBC]},
    {"name": "deno", "packages": ["@deno/linux-x64-glibc@2.9.6"], "env": {"DENO_DIR": "./deno"}, "warm": True,
     "argv": ["./node_modules/@deno/linux-x64-glibc/deno", "run", "--no-config", "plain.js"], "truth": [LIBC]},
    {"name": "dprint", "packages": ["@dprint/linux-x64-glibc@0.57.4"],
     "argv": ["./node_modules/@dprint/linux-x64-glibc/dprint", "help"], "truth": [LIBC]},
    {"name": "sass", "packages": ["sass-embedded-linux-x64@1.108.2"],
     "argv": [SASS + "dart", SASS + "sass.snapshot", "plain.scss", "sass.out"], "truth": [LIBC]},
    {"name": "clang", "argv": ["clang++-14", "-O1", "-c", "vector.cc", "-o", "vector.o"], "truth": [LIBC]},
    {"name": "emacs", "argv": ["emacs", "-Q", "--batch", "-l", "plain.el"], "truth": [LIBC]},

    # ---- Debian's servers and languages, attached to; what they say themselves
    {"name": "mariadbd", "live": "mariadb", "argv": ["mariadbd"], "truth": [LIBC],
     "own": "Memory_used", "own_tolerance": 0.02},
    {"name": "ruby", "live": "ruby", "argv": ["ruby", "strings.rb"], "truth": [LIBC],
     "own": "ObjectSpace", "stack": r"\brb_str_times\b",
     "own_tolerance": 0.0005},  # a page of slots has 344 bytes, which ObjectSpace leaves out
    {"name": "openjdk", "live": "java", "truth": [LIBC],
     "argv": ["java", "-XX:NativeMemoryTracking=summary", "-Xmx64m", "Direct.java"],
     "own": "NMT", "stack": r"\bUnsafe_AllocateMemory0\b"},
    # jemalloc 5.3.0, as a library
    {"name": "varnish", "live": "varnish", "argv": ["varnishd"], "own": "SMA.s0.g_bytes",
     "stack": r"\b(VFP_GetStorage|SML_allocobj)\b", "own_tolerance": 0.01,  # beside: 72 bytes that describe each
     "truth": [LIBC, ("/usr/lib/x86_64-linux-gnu/libjemalloc.so.2",
                      "malloc|calloc|realloc|posix_memalign|aligned_alloc|memalign|valloc|mallocx|rallocx")]},
    {"name": "haproxy", "live": "haproxy", "argv": ["haproxy"], "truth": [LIBC]},
]
