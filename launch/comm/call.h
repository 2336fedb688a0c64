// One collective call as a fixed-size record. Ranks show their records to each other, so that a
// rank that entered another operation, count or dtype is named instead of answered with garbage.
// The record is trivially copyable: it lives in shared memory and travels between hosts.
// Thread safety: values.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "launch/comm/comm.h"

namespace atelier::comm {

enum class CallKind : std::uint8_t {
  kAllReduce,
  kReduceScatter,
  kAllGather,
  kBroadcast,
  kBarrier,
  kAllocate,
  kReplay  ///< `count` calls that a device repeats
};

struct CallRecord {
  std::uint64_t sequence = 0;  ///< 1 for the first call of a communicator
  std::uint64_t count = 0;     ///< elements of the input of one rank
  std::uint64_t offset = 0;    ///< bytes into the region
  std::uint32_t region = 0;    ///< 1 for what allocate() gave first, 0 for other memory
  std::int32_t root = 0;
  CallKind kind = CallKind::kBarrier;
  ReduceOp op = ReduceOp::kSum;
  DType dtype = DType::kFloat32;
  std::array<char, 65> label{};  ///< zero-terminated, cut off where too long

  void set_label(std::string_view text);
};

/// Whether two ranks mean the same call; labels may differ.
[[nodiscard]] bool same_call(const CallRecord& left, const CallRecord& right);

/// `all_reduce(sum, float32 x 1000, "gradients of G"), call 17`.
[[nodiscard]] std::string describe(const CallRecord& call);

/// Throws CommError naming the first rank whose record differs from that of rank 0. Given the same
/// records, it throws the same on every rank.
void require_same_call(const std::vector<const CallRecord*>& calls);

/// "rank 2" or "ranks 1, 3".
[[nodiscard]] std::string name_ranks(const std::vector<int>& ranks);

}  // namespace atelier::comm
