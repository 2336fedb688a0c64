#include "launch/comm/nccl_link.h"

#include <future>
#include <thread>
#include <utility>

#include "launch/base/error.h"
#include "launch/base/text.h"
#include "launch/comm/nccl_checks.h"
#include "launch/comm/waiter.h"

namespace atelier::comm {

NcclHandle NcclLink::handle() const {
  const std::scoped_lock lock(mutex_);
  return comm_;
}

NcclHandle NcclLink::take() {
  const std::scoped_lock lock(mutex_);
  return std::exchange(comm_, nullptr);
}

int NcclLink::state() const {
  const std::scoped_lock lock(mutex_);
  if (comm_ == nullptr) return 0;
  int now = 0;
  const int code = nccl_->comm_get_async_error(comm_, now);
  return code != 0 ? code : now;
}

bool NcclLink::settle(int code, std::string_view what, std::chrono::milliseconds timeout) {
  Waiter waiter(Manner::kYield, Waiter::Clock::now() + timeout);
  while (code == kNcclInProgress) {
    if (!waiter.pause()) return false;
    code = state();
  }
  if (code != 0) throw CommError(text(describe_nccl(*nccl_, handle(), code, what), "."));
  return true;
}

bool NcclLink::open(int world, const NcclId& id, int rank, std::chrono::milliseconds timeout) {
  NcclHandle made = nullptr;
  const int code = nccl_->comm_init_rank(made, world, id, rank);
  {
    const std::scoped_lock lock(mutex_);
    comm_ = made;
  }
  return settle(code, text("ncclCommInitRankConfig for rank ", rank, " of ", world), timeout);
}

bool NcclLink::launch(const std::function<int(NcclHandle)>& launch, std::string_view what,
                      std::chrono::milliseconds timeout) {
  NcclHandle const comm = handle();
  if (comm == nullptr) throw CommError(text(what, ": the communicator was ended."));
  return settle(launch(comm), what, timeout);
}

std::string NcclLink::trouble() const {
  const int now = state();
  if (now == 0 || now == kNcclInProgress) return "";
  return describe_nccl(*nccl_, handle(), now, "the communicator");
}

bool NcclLink::close(std::chrono::milliseconds timeout) {
  NcclHandle const comm = handle();
  if (comm == nullptr) return true;
  if (!settle(nccl_->comm_finalize(comm), "ncclCommFinalize", timeout)) return false;
  const int code = nccl_->comm_destroy(take());
  if (code != 0 && code != kNcclInProgress) {
    throw CommError(text(describe_nccl(*nccl_, nullptr, code, "ncclCommDestroy"), "."));
  }
  return true;
}

bool NcclLink::abort(std::chrono::milliseconds patience) {
  NcclHandle const comm = take();
  if (comm == nullptr) return true;
  auto done = std::make_shared<std::promise<void>>();
  std::future<void> returned = done->get_future();
  // It shares what it uses: when it hangs, it outlives this object.
  std::thread([nccl = nccl_, comm, done] {
    static_cast<void>(nccl->comm_abort(comm));
    done->set_value();
  }).detach();
  return returned.wait_for(patience) == std::future_status::ready;
}

}  // namespace atelier::comm
