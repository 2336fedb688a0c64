// One NCCL communicator from its creation to its end. NCCL never blocks here: what takes time is
// polled against a deadline, and an abort, which can hang itself, has a thread and a deadline of
// its own. Thread safety: one thread at a time; state() and abort() from any.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
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
  /// Ends what runs on the device. False when NCCL itself did not come back within `patience`: then
  /// nothing but the process's end helps. Idempotent.
  [[nodiscard]] bool abort(std::chrono::milliseconds patience);

 private:
  [[nodiscard]] bool settle(int code, std::string_view what, std::chrono::milliseconds timeout);
  [[nodiscard]] NcclHandle handle() const;
  /// Takes the handle away: nobody else uses it any more.
  [[nodiscard]] NcclHandle take();
  /// Of the communicator; success when there is none.
  [[nodiscard]] int state() const;

  std::shared_ptr<NcclApi> nccl_;
  mutable std::mutex mutex_;  ///< guards comm_, which an abort frees
  NcclHandle comm_ = nullptr;
};

}  // namespace atelier::comm
