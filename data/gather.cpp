#include "data/gather.h"

#include <cstdint>
#include <cstring>

#ifdef __x86_64__
#include <immintrin.h>
#endif

namespace atelier::data {
namespace {

// Copies samples that lie all over memory, some at a time, a piece of each in turn: a processor
// fetches ahead along each of several streams, so that it waits for memory less often than with
// one. It writes past the caches: a batch is wanted only after those that are ready before it, and
// lines that are written whole need not be read first. (Measured on Zen 4, beside memcpy of each
// sample, one after the other: 2.0; four streams 1.8, sixteen 1.6, one 1.1; pieces of 128
// bytes 1.6, of 512 1.8, of 1024 1.5. On Zen 3 four streams of 512 bytes gave 1.6, of 256
// bytes 1.2.)
constexpr std::size_t kStreams = 8;
constexpr std::size_t kPiece = 256;

#ifdef __x86_64__
using Lane = __m256i;

bool can_pass_caches(const std::byte* to, std::size_t bytes) {
  static const bool known = __builtin_cpu_supports("avx2") != 0;
  return known && reinterpret_cast<std::uintptr_t>(to) % sizeof(Lane) == 0 &&
         bytes % sizeof(Lane) == 0;
}

__attribute__((target("avx2"))) void copy_streams(const std::byte* const* from, std::size_t bytes,
                                                  std::byte* to) {
  constexpr std::size_t kTogetherLanes = 4;
  std::size_t at = 0;
  for (; at + kPiece <= bytes; at += kPiece) {
    for (std::size_t stream = 0; stream < kStreams; ++stream) {
      const auto* const in = reinterpret_cast<const Lane*>(from[stream] + at);
      auto* const out = reinterpret_cast<Lane*>(to + stream * bytes + at);
      for (std::size_t i = 0; i < kPiece / sizeof(Lane); i += kTogetherLanes) {
        const Lane a = _mm256_loadu_si256(in + i), b = _mm256_loadu_si256(in + i + 1);
        const Lane c = _mm256_loadu_si256(in + i + 2), d = _mm256_loadu_si256(in + i + 3);
        _mm256_stream_si256(out + i, a);
        _mm256_stream_si256(out + i + 1, b);
        _mm256_stream_si256(out + i + 2, c);
        _mm256_stream_si256(out + i + 3, d);
      }
    }
  }
  for (std::size_t stream = 0; stream < kStreams; ++stream)
    std::memcpy(to + stream * bytes + at, from[stream] + at, bytes - at);
  _mm_sfence();  // so that other threads see it when they are told
}
#else
bool can_pass_caches(const std::byte* /*to*/, std::size_t /*bytes*/) { return false; }
void copy_streams(const std::byte* const* /*from*/, std::size_t /*bytes*/, std::byte* /*to*/) {}
#endif

}  // namespace

void Gather::operator()() const {
  constexpr std::size_t kNumber = sizeof(std::uint64_t);  // a label or an id
  const std::size_t count = from.size();
  std::size_t i = 0;
  for (; bytes == kNumber && i < count; ++i) std::memcpy(out + i * kNumber, from[i], kNumber);
  if (can_pass_caches(out, bytes)) {
    for (; i + kStreams <= count; i += kStreams) copy_streams(&from[i], bytes, out + i * bytes);
  }
  for (; i < count; ++i) std::memcpy(out + i * bytes, from[i], bytes);
}

}  // namespace atelier::data
