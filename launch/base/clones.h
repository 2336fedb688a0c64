// One program for every x86-64: a function marked ATELIER_CLONES is compiled for several
// instruction sets, and the best that the processor has is chosen when the program is loaded.
// Sanitizers instrument that choice before their own start and crash, so they get the plain
// function. Thread safety: none needed.
#pragma once

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define ATELIER_CLONES __attribute__((target_clones("arch=x86-64-v4", "avx2", "default")))
#else
#define ATELIER_CLONES
#endif
