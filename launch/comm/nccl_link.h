// One NCCL communicator from its creation to its end. NCCL never blocks here: what takes time is
// polled against a deadline, and an abort, which can hang itself, has a thread and a deadline of
// its own. Thread safety: one thread at a time; state() and abort() from any.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "launch/comm/nccl.h"

namespace atelier::comm {

class NcclLink {
 public:
  explicit NcclLink(std::shared_ptr<NcclApi> nccl) : nccl_(std::move(nccl)) {}
  ~NcclLink() =
      default;  ///< local; what was neither ended nor aborted is left to the process's end
  NcclLink(const NcclLink&) = delete;
  NcclLink& operator=(const NcclLink&) = delete;

  /// Makes the communicator; false when the deadline passes first. Collective: all ranks.
  /// Throws: CommError.
  [[nodiscard]] bool open(int world, const NcclId& id, int rank, std::chrono::milliseconds timeout);
  /// Starts a call by `launch`; false when NCCL has not taken it by the deadline.
  /// Throws: CommError with NCCL's words.
  [[nodiscard]] bool launch(const std::function<int(NcclHandle)>& launch, std::string_view what,
                            std::chrono::milliseconds timeout);
  /// Empty, or what went wrong since: a peer is gone, a wire is down.
  [[nodiscard]] std::string trouble() const;
  /// Waits for what is under way and frees the communicator; false when the deadline passes.
  /// Collective: all ranks. Throws: CommError.
  [[nodiscard]] bool close(std::chrono::milliseconds timeout);
  /// Ends what runs on the device, calling `meanwhile` again and again. False when NCCL itself did
  /// not come back within `patience`: then nothing but the process's end helps. Idempotent.
  [[nodiscard]] bool abort(
      std::chrono::milliseconds patience, const std::function<void()>& meanwhile = [] {});

 private:
  [[nodiscard]] bool settle(int code, std::string_view what, std::chrono::milliseconds timeout);
  [[nodiscard]] std::string describe(int code, std::string_view what) const;
  /// Of the communicator; none where there is no communicator any more.
  [[nodiscard]] std::optional<int> state() const;

  std::shared_ptr<NcclApi> nccl_;
  /// Held during each call into the communicator: an abort frees it. A call that hangs itself (a
  /// launch queue that is full behind a kernel that waits) makes the abort fail by its patience.
  mutable std::timed_mutex mutex_;
  NcclHandle comm_ = nullptr;
};

}  // namespace atelier::comm
