#include "launch/comm/call.h"

#include <algorithm>

#include "launch/base/error.h"
#include "launch/base/text.h"

namespace atelier::comm {
namespace {

std::string_view name_of(CallKind kind) {
  constexpr std::array<std::string_view, 7> kNames{
      "all_reduce", "reduce_scatter", "all_gather", "broadcast", "barrier", "allocate", "replay"};
  return kNames.at(static_cast<std::size_t>(kind));
}

std::string_view name_of(ReduceOp op) {
  constexpr std::array<std::string_view, 3> kNames{"sum", "min", "max"};
  return kNames.at(static_cast<std::size_t>(op));
}

}  // namespace

void CallRecord::set_label(std::string_view text) {
  const std::size_t length = std::min(text.size(), label.size() - 1);
  std::copy_n(text.begin(), length, label.begin());
  label[length] = '\0';
}

bool same_call(const CallRecord& left, const CallRecord& right) {
  return left.sequence == right.sequence && left.count == right.count && left.root == right.root &&
         left.kind == right.kind && left.op == right.op && left.dtype == right.dtype &&
         left.region == right.region && left.offset == right.offset;
}

std::string describe(const CallRecord& call) {
  const bool reduces = call.kind == CallKind::kAllReduce || call.kind == CallKind::kReduceScatter;
  std::string arguments = reduces ? text(name_of(call.op), ", ") : "";
  if (call.kind == CallKind::kBroadcast) {
    arguments = text("from rank ", call.root, ", ");
  }
  if (call.kind == CallKind::kReplay) {
    arguments += text(call.count, " recorded calls");
  } else if (call.kind != CallKind::kBarrier) {
    arguments += text(comm::name_of(call.dtype), " x ", call.count);
  }
  if (call.region > 0) {
    arguments += text(" at region ", call.region, " + ", call.offset);
  }
  const std::string_view label(call.label.data());
  if (!label.empty()) {
    arguments += text(arguments.empty() ? "" : ", ", '"', label, '"');
  }
  return text(name_of(call.kind), "(", arguments, "), call ", call.sequence);
}

void require_same_call(const std::vector<const CallRecord*>& calls) {
  for (std::size_t rank = 1; rank < calls.size(); ++rank) {
    if (!same_call(*calls[0], *calls[rank])) {
      throw CommError(text("Ranks entered different collectives: rank ", rank, " is in ",
                           describe(*calls[rank]), ", rank 0 is in ", describe(*calls[0]), "."),
                      "All ranks must make the same calls in the same order; this is a defect.");
    }
  }
}

std::string name_ranks(const std::vector<int>& ranks) {
  std::vector<std::string> names;
  names.reserve(ranks.size());
  for (const int rank : ranks) {
    names.push_back(std::to_string(rank));
  }
  return text(ranks.size() == 1 ? "rank " : "ranks ", join(names));
}

}  // namespace atelier::comm
