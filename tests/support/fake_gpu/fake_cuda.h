// The part of CUDA's runtime that the communicator uses, over host memory: streams are threads that
// take closures in order, an event is the mark that its last record left. The default stream (null)
// is the calling thread itself: what is "on" it has happened already, and it waits by waiting, as
// LibTorch's operations on CPU tensors need it. Thread safety: as CUDA, any thread.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "launch/comm/nccl.h"
#include "tests/support/fake_gpu/faults.h"

namespace atelier::tests {

/// Memory "on the device", what is done to it, and which of it is in use. In whole pages, so that
/// it can be kept from the host as a GPU's memory is: see protect().
class FakeMemory {
 public:
  FakeMemory() = default;
  ~FakeMemory();
  FakeMemory(const FakeMemory&) = delete;
  FakeMemory& operator=(const FakeMemory&) = delete;
  [[nodiscard]] void* allocate(std::size_t bytes);
  /// False when a call in flight still uses it; then it stays.
  [[nodiscard]] bool free(void* memory);
  /// As free(), but what is in use goes with its last user.
  void give_back(void* memory);
  [[nodiscard]] bool holds(const void* memory, std::size_t bytes) const;
  void begin_use(const void* memory);
  void end_use(const void* memory);

  /// From now on a touch of memory that is not in use ends the process (SIGSEGV).
  void protect();
  [[nodiscard]] bool is_protected() const;
  [[nodiscard]] std::size_t bytes() const;  ///< allocated and not freed

  using Contents = std::map<std::byte*, std::vector<std::byte>>;
  /// What all of it holds, and puts it back where it is still there.
  [[nodiscard]] Contents contents();
  void restore(const Contents& contents);

  std::atomic<bool> failed{false};  ///< the device itself: every later question about it says so
  std::atomic<std::size_t> most_bytes{SIZE_MAX};  ///< that LibTorch gets

 private:
  struct Block {
    std::size_t bytes = 0;
    int users = 0;
    bool given_back = false;
  };
  using Blocks = std::map<std::byte*, Block>;
  [[nodiscard]] Blocks::const_iterator find(const void* memory) const;
  [[nodiscard]] Blocks::iterator find(const void* memory);
  void remove(Blocks::iterator block);
  mutable std::mutex mutex_;
  Blocks blocks_;
  std::size_t bytes_ = 0;
  bool protected_ = false;
};

class FakeStream {
 public:
  FakeStream();
  ~FakeStream();  ///< waits for the closure that runs; those behind it are dropped
  FakeStream(const FakeStream&) = delete;
  FakeStream& operator=(const FakeStream&) = delete;
  void enqueue(std::function<void(const std::atomic<bool>& stopping)> work);

 private:
  void work();
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void(const std::atomic<bool>&)>> queue_;
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

class FakeCuda final : public comm::CudaApi {
 public:
  FakeCuda(const Faults& faults, std::shared_ptr<FakeMemory> memory);
  ~FakeCuda() override;
  FakeCuda(const FakeCuda&) = delete;
  FakeCuda& operator=(const FakeCuda&) = delete;

  int get_device_count(int& count) const override;
  int get_runtime_version(int& version) const override;
  int get_driver_version(int& version) const override;
  int header_version() const override { return 13000; }
  std::string error_text(int code) const override;
  bool host_can_touch() const override { return !memory_->is_protected(); }
  int set_device(int device) override;
  int get_bus_id(int device, std::string& id) const override;
  int get_device_properties(int device, comm::DeviceProperties& properties) const override;
  int can_access_peer(bool& can, int device, int peer) const override;
  int mem_get_info(std::size_t& free, std::size_t& total) const override;
  int stream_create(comm::CudaStream& stream) override;
  int stream_destroy(comm::CudaStream stream) override;
  int stream_wait_event(comm::CudaStream stream, comm::CudaEvent event) override;
  int event_create(comm::CudaEvent& event) override;
  int event_record(comm::CudaEvent event, comm::CudaStream stream) override;
  int event_query(comm::CudaEvent event) override;
  int event_destroy(comm::CudaEvent event) override;
  int memset_async(void* memory, int value, std::size_t bytes, comm::CudaStream stream) override;
  /// Refuses memory of the host that is not page-locked: the real one would hold the caller up.
  int memcpy_async(void* to, const void* from, std::size_t bytes, comm::CudaStream stream) override;
  int host_alloc(void*& memory, std::size_t bytes) override;
  int host_free(void* memory) override;

 private:
  using Mark = std::shared_ptr<std::atomic<bool>>;
  struct Event {
    std::mutex mutex;
    Mark mark = std::make_shared<std::atomic<bool>>(true);
  };
  [[nodiscard]] bool may_copy(const void* memory, std::size_t bytes);

  Faults faults_;
  std::shared_ptr<FakeMemory> memory_;
  std::mutex mutex_;
  std::map<const void*, std::vector<std::byte>> page_locked_;
  std::vector<std::unique_ptr<FakeStream>> streams_;
};

}  // namespace atelier::tests
