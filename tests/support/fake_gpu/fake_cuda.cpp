#include "tests/support/fake_gpu/fake_cuda.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <new>
#include <system_error>
#include <utility>

#include <sys/mman.h>

namespace atelier::tests {
namespace {

constexpr int kInvalidValue = 1;
constexpr int kDevicesUnavailable = 46;
constexpr int kNoDevice = 100;
constexpr int kInvalidDevice = 101;
constexpr int kIllegalAddress = 700;
constexpr std::size_t kDeviceBytes = std::size_t{80} << 30U;
constexpr std::size_t kFullBytes = std::size_t{64} << 20U;  // what is left of a full device
constexpr std::size_t kPageBytes = 4096;
constexpr std::chrono::microseconds kNap{20};

std::size_t pages(std::size_t bytes) {
  return std::max<std::size_t>(1, (bytes + kPageBytes - 1) / kPageBytes) * kPageBytes;
}

void set_access(void* memory, std::size_t bytes, int access) {
  if (::mprotect(memory, pages(bytes), access) == 0) return;
  throw std::system_error(errno, std::generic_category(),
                          "cannot change who may touch memory of the made-up device");
}

void wait_for(const std::atomic<bool>& mark, const std::atomic<bool>& stopping) {
  while (!mark.load(std::memory_order_acquire) && !stopping.load()) {
    std::this_thread::sleep_for(kNap);
  }
}

}  // namespace

FakeMemory::~FakeMemory() {
  for (const auto& [memory, block] : blocks_) ::munmap(memory, pages(block.bytes));
}

void* FakeMemory::allocate(std::size_t bytes) {
  void* const memory = ::mmap(nullptr, pages(bytes), PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS, /*fd=*/-1, /*offset=*/0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  std::memset(memory, 0xA5, bytes);  // device memory is not zeroed
  const std::scoped_lock lock(mutex_);
  blocks_[static_cast<std::byte*>(memory)] = {.bytes = bytes};
  bytes_ += bytes;
  if (protected_) set_access(memory, bytes, PROT_NONE);
  return memory;
}

void FakeMemory::remove(Blocks::iterator block) {
  ::munmap(block->first, pages(block->second.bytes));
  bytes_ -= block->second.bytes;
  blocks_.erase(block);
}

bool FakeMemory::free(void* memory) {
  const std::scoped_lock lock(mutex_);
  const auto found = blocks_.find(static_cast<std::byte*>(memory));
  if (found == blocks_.end() || found->second.users > 0) return false;
  remove(found);
  return true;
}

void FakeMemory::give_back(void* memory) {
  const std::scoped_lock lock(mutex_);
  const auto found = blocks_.find(static_cast<std::byte*>(memory));
  if (found == blocks_.end()) return;
  found->second.given_back = true;
  if (found->second.users == 0) remove(found);
}

FakeMemory::Blocks::const_iterator FakeMemory::find(const void* memory) const {
  auto* const place = static_cast<std::byte*>(const_cast<void*>(memory));
  auto after = blocks_.upper_bound(place);
  if (after == blocks_.begin()) return blocks_.end();
  --after;
  return place < after->first + after->second.bytes ? after : blocks_.end();
}

FakeMemory::Blocks::iterator FakeMemory::find(const void* memory) {
  const auto block = std::as_const(*this).find(memory);
  return blocks_.erase(block, block);  // the same place, to be written
}

bool FakeMemory::holds(const void* memory, std::size_t bytes) const {
  const std::scoped_lock lock(mutex_);
  const auto block = find(memory);
  if (block == blocks_.end()) return false;
  const auto offset =
      static_cast<std::size_t>(static_cast<const std::byte*>(memory) - block->first);
  return offset + bytes <= block->second.bytes;
}

void FakeMemory::begin_use(const void* memory) {
  const std::scoped_lock lock(mutex_);
  const auto block = find(memory);
  if (block == blocks_.end()) return;
  if (block->second.users++ == 0 && protected_) {
    set_access(block->first, block->second.bytes, PROT_READ | PROT_WRITE);
  }
}

void FakeMemory::end_use(const void* memory) {
  const std::scoped_lock lock(mutex_);
  const auto block = find(memory);
  if (block == blocks_.end() || --block->second.users > 0) return;
  if (block->second.given_back) {
    remove(block);
  } else if (protected_) {
    set_access(block->first, block->second.bytes, PROT_NONE);
  }
}

FakeMemory::Contents FakeMemory::contents() {
  const std::scoped_lock lock(mutex_);
  Contents all;
  for (const auto& [memory, block] : blocks_) {
    const bool closed = protected_ && block.users == 0;
    if (closed) set_access(memory, block.bytes, PROT_READ);
    all[memory].assign(memory, memory + block.bytes);
    if (closed) set_access(memory, block.bytes, PROT_NONE);
  }
  return all;
}

void FakeMemory::restore(const Contents& contents) {
  const std::scoped_lock lock(mutex_);
  for (const auto& [memory, bytes] : contents) {
    const auto found = blocks_.find(memory);
    if (found == blocks_.end() || found->second.bytes != bytes.size()) continue;
    const bool closed = protected_ && found->second.users == 0;
    if (closed) set_access(memory, bytes.size(), PROT_READ | PROT_WRITE);
    std::memcpy(memory, bytes.data(), bytes.size());
    if (closed) set_access(memory, bytes.size(), PROT_NONE);
  }
}

void FakeMemory::protect() {
  const std::scoped_lock lock(mutex_);
  protected_ = true;
  for (const auto& [memory, block] : blocks_) {
    if (block.users == 0) set_access(memory, block.bytes, PROT_NONE);
  }
}

bool FakeMemory::is_protected() const {
  const std::scoped_lock lock(mutex_);
  return protected_;
}

std::size_t FakeMemory::bytes() const {
  const std::scoped_lock lock(mutex_);
  return bytes_;
}

FakeStream::FakeStream() : thread_([this] { work(); }) {}

FakeStream::~FakeStream() {
  {
    const std::scoped_lock lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void FakeStream::enqueue(std::function<void(const std::atomic<bool>&)> work) {
  {
    const std::scoped_lock lock(mutex_);
    queue_.push_back(std::move(work));
  }
  changed_.notify_all();
}

void FakeStream::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
    if (stopping_) return;
    const auto now = std::move(queue_.front());
    queue_.pop_front();
    lock.unlock();
    now(stopping_);
    lock.lock();
  }
}

FakeCuda::FakeCuda(const Faults& faults, std::shared_ptr<FakeMemory> memory)
    : faults_(faults), memory_(std::move(memory)) {}
FakeCuda::~FakeCuda() = default;

int FakeCuda::get_device_count(int& count) const {
  count = faults_.devices;
  return faults_.devices > 0 ? 0 : kNoDevice;
}
int FakeCuda::get_runtime_version(int& version) const {
  version = faults_.runtime;
  return 0;
}
int FakeCuda::get_driver_version(int& version) const {
  version = faults_.driver;
  return 0;
}
std::string FakeCuda::error_text(int code) const {
  switch (code) {
    case kInvalidValue:
      return "invalid argument";
    case kNoDevice:
      return "no CUDA-capable device is detected";
    case kInvalidDevice:
      return "invalid device ordinal";
    case kDevicesUnavailable:
      return "CUDA-capable device(s) is/are busy or unavailable";
    default:
      return "an illegal memory access was encountered";
  }
}
int FakeCuda::set_device(int device) {
  if (faults_.device_busy) return kDevicesUnavailable;
  return device < faults_.devices ? 0 : kInvalidDevice;
}
int FakeCuda::get_bus_id(int device, std::string& id) const {
  if (device >= faults_.devices) return kInvalidDevice;
  id = "0000:" + std::to_string(10 + faults_.first + (faults_.one_bus ? 0 : device)) + ":00.0";
  return 0;
}

int FakeCuda::get_device_properties(int device, comm::DeviceProperties& properties) const {
  if (device >= faults_.devices) return kInvalidDevice;
  properties = {.name = faults_.name,
                .major = faults_.capability / 10,
                .minor = faults_.capability % 10,
                .total_bytes = kDeviceBytes};
  return 0;
}

int FakeCuda::can_access_peer(bool& can, int device, int peer) const {
  if (device >= faults_.devices || peer >= faults_.devices) return kInvalidDevice;
  can = device != peer && !faults_.no_peers;
  return 0;
}

int FakeCuda::mem_get_info(std::size_t& free, std::size_t& total) const {
  total = kDeviceBytes;
  free = faults_.memory_full ? kFullBytes : kDeviceBytes - (std::size_t{1} << 30U);
  return 0;
}

int FakeCuda::stream_create(comm::CudaStream& stream) {
  const std::scoped_lock lock(mutex_);
  streams_.push_back(std::make_unique<FakeStream>());
  stream = streams_.back().get();
  return 0;
}

int FakeCuda::stream_destroy(comm::CudaStream stream) {
  const std::scoped_lock lock(mutex_);
  const auto count =
      std::erase_if(streams_, [&](const auto& mine) { return mine.get() == stream; });
  return count == 1 ? 0 : kInvalidValue;
}

int FakeCuda::event_create(comm::CudaEvent& event) {
  event = new Event;
  return 0;
}

int FakeCuda::event_destroy(comm::CudaEvent event) {
  delete static_cast<Event*>(event);
  return 0;
}

int FakeCuda::event_record(comm::CudaEvent event, comm::CudaStream stream) {
  auto* const what = static_cast<Event*>(event);
  auto mark = std::make_shared<std::atomic<bool>>(stream == nullptr);
  {
    const std::scoped_lock lock(what->mutex);
    what->mark = mark;
  }
  if (stream == nullptr) return 0;
  static_cast<FakeStream*>(stream)->enqueue([mark](const std::atomic<bool>&) { *mark = true; });
  return 0;
}

int FakeCuda::stream_wait_event(comm::CudaStream stream, comm::CudaEvent event) {
  auto* const what = static_cast<Event*>(event);
  Mark mark;
  {
    const std::scoped_lock lock(what->mutex);
    mark = what->mark;
  }
  if (stream == nullptr) {
    wait_for(*mark, std::atomic<bool>(false));
    return 0;
  }
  static_cast<FakeStream*>(stream)->enqueue(
      [mark](const std::atomic<bool>& stopping) { wait_for(*mark, stopping); });
  return 0;
}

int FakeCuda::event_query(comm::CudaEvent event) {
  if (memory_->failed) return kIllegalAddress;
  auto* const what = static_cast<Event*>(event);
  const std::scoped_lock lock(what->mutex);
  return what->mark->load(std::memory_order_acquire) ? 0 : comm::kCudaNotReady;
}

int FakeCuda::memset_async(void* memory, int value, std::size_t bytes, comm::CudaStream stream) {
  if (!memory_->holds(memory, bytes)) return kInvalidValue;
  memory_->begin_use(memory);
  static_cast<FakeStream*>(stream)->enqueue([=, device = memory_](const std::atomic<bool>&) {
    std::memset(memory, value, bytes);
    device->end_use(memory);
  });
  return 0;
}

bool FakeCuda::may_copy(const void* memory, std::size_t bytes) {
  if (memory_->holds(memory, bytes)) return true;
  const std::scoped_lock lock(mutex_);
  const auto found = page_locked_.find(memory);
  return found != page_locked_.end() && bytes <= found->second.size();
}

int FakeCuda::memcpy_async(void* to, const void* from, std::size_t bytes, comm::CudaStream stream) {
  if (!may_copy(to, bytes) || !may_copy(from, bytes)) return kInvalidValue;
  memory_->begin_use(to);
  memory_->begin_use(from);
  static_cast<FakeStream*>(stream)->enqueue(
      [=, device = memory_, never = faults_.copy_never](const std::atomic<bool>& stopping) {
        if (never) return wait_for(std::atomic<bool>(false), stopping);
        std::memcpy(to, from, bytes);
        device->end_use(from);
        device->end_use(to);
      });
  return 0;
}

int FakeCuda::host_alloc(void*& memory, std::size_t bytes) {
  std::vector<std::byte> block(bytes);
  memory = block.data();
  const std::scoped_lock lock(mutex_);
  page_locked_[memory] = std::move(block);
  return 0;
}

int FakeCuda::host_free(void* memory) {
  const std::scoped_lock lock(mutex_);
  return page_locked_.erase(memory) == 1 ? 0 : kInvalidValue;
}

}  // namespace atelier::tests
