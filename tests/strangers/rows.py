"""The strangers of tests/strangers/run, as data.

name      of the row
packages  of npm, with their versions
argv      what is run; "./" is the folder they are fetched into, with js/ and the scripts of loads/
truth     [(file, pattern of function names)]: all that hands out or resizes blocks, counted by bpftrace;
          empty where there are no symbols
hidden    what a verdict that is not "exact" has to speak of (a regular expression)
least_bytes  where there is no truth: what is known to be handed out at the least, measured as said
scratch   a folder of the program's that is removed before each run: both begin alike
refused   for programs that cannot be profiled: what the refusal has to speak of
"""
LIBC = ("/lib/x86_64-linux-gnu/libc.so.6",
        "malloc|calloc|realloc|posix_memalign|aligned_alloc|memalign|valloc|pvalloc")
ROWS = [
    # jemalloc 5.3.0, static, no symbols; glibc's malloc hands out 100 kB in 48 blocks
    {"name": "biome", "packages": ["@biomejs/cli-linux-x64@2.6.8"],
     "argv": ["./node_modules/@biomejs/cli-linux-x64/biome", "lint", "js"],
     "truth": [], "hidden": "jemalloc", "least_bytes": 20_000_000},
    # mimalloc 3.5.3, static, no symbols and no .eh_frame
    {"name": "bun", "packages": ["@oven/bun-linux-x64@1.4.5"],
     "argv": ["./node_modules/@oven/bun-linux-x64/bin/bun", "plain.js"],
     "truth": [], "hidden": "mimalloc", "least_bytes": 4_000_000},
    # Google's tcmalloc with an operator new of its own, symbols
    {"name": "workerd", "packages": ["@cloudflare/workerd-linux-64@1.20261117.1"],
     "argv": ["./node_modules/@cloudflare/workerd-linux-64/bin/workerd", "compile", "worker.capnp"],
     "truth": [("node_modules/@cloudflare/workerd-linux-64/bin/workerd",
                "TCMallocInternal(Malloc|Calloc|Realloc|ReallocArray|Memalign|AlignedAlloc|PosixMemalign|Valloc"
                r"|Pvalloc|New\w*|AllocAtLeast|AlignedAllocAtLeast)")],
     "hidden": "tcmalloc|operator"},
    # mimalloc 3.3.2 in a static program without symbols
    {"name": "turbo", "packages": ["@turbo/linux-64@2.11.11"],
     "argv": ["./node_modules/@turbo/linux-64/bin/turbo", "--version"],
     "truth": [], "hidden": "mimalloc", "refused": "static|mimalloc"},
    {"name": "esbuild", "packages": ["@esbuild/linux-x64@0.28.2"],
     "argv": ["./node_modules/@esbuild/linux-x64/bin/esbuild", "js/f199.js", "--bundle", "--outfile=esbuild.out"],
     "truth": [], "refused": r"\bGo\b"},
    {"name": "lightningcss", "packages": ["lightningcss-cli-linux-x64-gnu@1.33.0"],
     "argv": ["./node_modules/lightningcss-cli-linux-x64-gnu/lightningcss", "--minify", "plain.css", "-o", "css.out"],
     "truth": [LIBC]},
    {"name": "node", "packages": [], "argv": ["node", "plain.js"], "truth": [LIBC]},
    # its data in a jemalloc under the prefix duckdb_je_, the rest in glibc
    {"name": "duckdb", "packages": ["@duckdb/node-bindings@1.5.6-r.1"], "argv": ["node", "duckdb.js"],
     "truth": [LIBC, ("node_modules/@duckdb/node-bindings-linux-x64/libduckdb.so",
                      "duckdb_je_(malloc|calloc|realloc|posix_memalign|aligned_alloc|memalign|valloc|mallocx"
                      "|rallocx)")],
     "hidden": "jemalloc"},
    {"name": "sharp", "packages": ["sharp@0.35.5"], "argv": ["node", "sharp.js"], "truth": [LIBC]},
    # PartitionAlloc behind malloc and an operator new of its own; renderer and all in one process
    {"name": "chromium", "packages": [],
     "argv": ["/usr/lib/chromium/chromium", "--headless", "--no-sandbox", "--disable-gpu", "--single-process",
              "--no-first-run", "--user-data-dir=chromium", "--dump-dom", "./page.html"],
     "truth": [("/usr/lib/chromium/chromium",
                r"malloc|calloc|realloc|memalign|aligned_alloc|posix_memalign|valloc|pvalloc|_Zn[wa]m\w*")],
     "scratch": "chromium"},
    # mimalloc 2 and 3 without symbols in libraries of node
    {"name": "rolldown", "packages": ["rolldown@1.3.3"], "argv": ["node", "rolldown.mjs"],
     "truth": [], "hidden": "mimalloc", "least_bytes": 20_000_000},
    {"name": "rspack", "packages": ["@rspack/core@2.3.3"], "argv": ["node", "rspack.js"],
     "truth": [], "hidden": "mimalloc", "least_bytes": 20_000_000},
    {"name": "oxlint", "packages": ["oxlint@1.94.0"], "argv": ["node", "./node_modules/oxlint/bin/oxlint", "js"],
     "truth": [], "hidden": "mimalloc", "least_bytes": 5_000_000},
]
