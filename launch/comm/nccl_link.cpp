#include "launch/comm/nccl_link.h"

#include <future>
#include <thread>
#include <utility>

#include "launch/base/error.h"
#include "launch/base/text.h"
#include "launch/comm/nccl_checks.h"
#include "launch/comm/waiter.h"

namespace atelier::comm {
namespace {

constexpr std::chrono::milliseconds kLook{5};

}  // namespace

std::optional<int> NcclLink::state() const {
  const std::scoped_lock lock(mutex_);
  if (comm_ == nullptr) return std::nullopt;
  int now = 0;
  const int code = nccl_->comm_get_async_error(comm_, now);
  return code != 0 ? code : now;
}

std::string NcclLink::describe(int code, std::string_view what) const {
  const std::scoped_lock lock(mutex_);
  return describe_nccl(*nccl_, comm_, code, what);
}

bool NcclLink::settle(int code, std::string_view what, std::chrono::milliseconds timeout) {
  Waiter waiter(Manner::kYield, Waiter::Clock::now() + timeout);
  while (code == kNcclInProgress) {
    if (!waiter.pause()) return false;
    const std::optional<int> now = state();
    if (!now) throw CommError(text(what, ": the communicator was ended meanwhile."));
    code = *now;
  }
  if (code != 0) throw CommError(text(describe(code, what), "."));
  return true;
}

bool NcclLink::open(int world, const NcclId& id, int rank, std::chrono::milliseconds timeout) {
  int code = 0;
  {
    const std::scoped_lock lock(mutex_);
    code = nccl_->comm_init_rank(comm_, world, id, rank);
  }
  return settle(code, text("ncclCommInitRankConfig for rank ", rank, " of ", world), timeout);
}

bool NcclLink::launch(const std::function<int(NcclHandle)>& launch, std::string_view what,
                      std::chrono::milliseconds timeout) {
  int code = 0;
  {
    const std::scoped_lock lock(mutex_);
    if (comm_ == nullptr) throw CommError(text(what, ": the communicator was ended."));
    code = launch(comm_);
  }
  return settle(code, what, timeout);
}

std::string NcclLink::trouble() const {
  const int now = state().value_or(0);
  return now == 0 || now == kNcclInProgress ? "" : describe(now, "the communicator");
}

bool NcclLink::close(std::chrono::milliseconds timeout) {
  if (!launch([&](NcclHandle comm) { return nccl_->comm_finalize(comm); }, "ncclCommFinalize",
              timeout)) {
    return false;
  }
  const std::scoped_lock lock(mutex_);
  const int code = nccl_->comm_destroy(std::exchange(comm_, nullptr));
  if (code != 0 && code != kNcclInProgress) {
    throw CommError(text(describe_nccl(*nccl_, nullptr, code, "ncclCommDestroy"), "."));
  }
  return true;
}

bool NcclLink::abort(std::chrono::milliseconds patience, const std::function<void()>& meanwhile) {
  const auto end = std::chrono::steady_clock::now() + patience;
  NcclHandle comm = nullptr;
  {
    const std::unique_lock lock(mutex_, end);
    if (!lock) return false;
    comm = std::exchange(comm_, nullptr);
  }
  if (comm == nullptr) return true;
  auto done = std::make_shared<std::promise<void>>();
  const std::future<void> returned = done->get_future();
  // It shares what it uses: when it hangs, it outlives this object.
  std::thread([nccl = nccl_, comm, done] {
    static_cast<void>(nccl->comm_abort(comm));
    done->set_value();
  }).detach();
  while (returned.wait_for(kLook) != std::future_status::ready) {
    if (std::chrono::steady_clock::now() > end) return false;
    meanwhile();
  }
  return true;
}

}  // namespace atelier::comm
