#include "tests/support/fake_gpu/torch_device.h"

#include <chrono>
#include <mutex>
#include <stdexcept>

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/SequenceNumber.h>
#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <c10/core/CPUAllocator.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>

#include "tests/support/fake_gpu/torch_parts.h"

namespace atelier::tests {
namespace {

using c10::Device;
using c10::DeviceIndex;
using c10::Stream;
using c10::StreamId;

constexpr StreamId kStreams = 4;  ///< in the pool; 0 is the default stream
constexpr std::size_t kMemoryBytes = std::size_t{64} << 30;
const Device kHost(c10::DeviceType::CPU);

std::atomic<TorchDeviceState*>& state_place() {
  static std::atomic<TorchDeviceState*> place{nullptr};
  return place;
}

void check_device(Device device) {
  TORCH_CHECK(device.type() == kFakeDevice.type() && device.index() <= 0, "There is no ", device,
              ": the made-up machine has one device, ", kFakeDevice, ".");
}

void check_index(DeviceIndex index) { check_device(Device(kFakeDevice.type(), index)); }

/// Memory of the device, from FakeMemory, with the numbers that LibTorch keeps of its own.
class DeviceMemory final : public c10::DeviceAllocator {
 public:
  explicit DeviceMemory(FakeMemory& memory) : memory_(memory) {}

  c10::DataPtr allocate(std::size_t bytes) override {
    if (bytes == 0) return {nullptr, kFakeDevice};
    TORCH_CHECK_WITH(OutOfMemoryError, memory_.bytes() + bytes <= memory_.most_bytes,
                     "the made-up device has ", memory_.most_bytes.load(), " bytes, of which ",
                     memory_.bytes(), " are in use; ", bytes, " more were asked for.");
    auto* const block = new Block{this, memory_.allocate(bytes), bytes};
    count(bytes, /*freed=*/false);
    return {block->memory, block, &DeviceMemory::release, kFakeDevice};
  }
  void copy_data(void* to, const void* from, std::size_t bytes) const override {
    memory_.begin_use(to);
    memory_.begin_use(from);
    default_copy_data(to, from, bytes);
    memory_.end_use(from);
    memory_.end_use(to);
  }

  bool initialized() override { return true; }
  void emptyCache(c10::MempoolId_t) override {}
  void recordStream(const c10::DataPtr&, Stream) override {}
  c10::CachingDeviceAllocator::DeviceStats getDeviceStats(DeviceIndex index) override {
    check_index(index);
    const std::scoped_lock lock(mutex_);
    return stats_;
  }
  void resetAccumulatedStats(DeviceIndex index) override {
    check_index(index);
    const std::scoped_lock lock(mutex_);
    each_stat([](auto& stat) { stat.reset_accumulated(); });
  }
  void resetPeakStats(DeviceIndex index) override {
    check_index(index);
    const std::scoped_lock lock(mutex_);
    each_stat([](auto& stat) { stat.reset_peak(); });
  }
  std::pair<std::size_t, std::size_t> getMemoryInfo(DeviceIndex index) override {
    check_index(index);
    return {kMemoryBytes - std::min(kMemoryBytes, memory_.bytes()), kMemoryBytes};
  }

 private:
  struct Block {
    DeviceMemory* owner;
    void* memory;
    std::size_t bytes;
  };
  // A call in flight keeps the memory until it ends, as the stream's order does on a GPU.
  static void release(void* context) {
    const std::unique_ptr<Block> block(static_cast<Block*>(context));
    block->owner->memory_.give_back(block->memory);
    block->owner->count(block->bytes, /*freed=*/true);
  }
  void each_stat(const auto& change) {
    change(stats_.allocation[0]);
    for (auto* const bytes : {&stats_.allocated_bytes, &stats_.reserved_bytes, &stats_.active_bytes,
                              &stats_.requested_bytes}) {
      change((*bytes)[0]);
    }
  }
  void count(std::size_t bytes, bool freed) {
    const std::scoped_lock lock(mutex_);
    each_stat([&](auto& stat) {
      const std::size_t amount = &stat == &stats_.allocation[0] ? 1 : bytes;
      freed ? stat.decrease(amount) : stat.increase(amount);
    });
  }

  FakeMemory& memory_;
  std::mutex mutex_;
  c10::CachingDeviceAllocator::DeviceStats stats_;
};

/// Memory of the host that the device could reach; remembered, so that others can be told apart.
class PinnedMemory final : public c10::Allocator {
 public:
  c10::DataPtr allocate(std::size_t bytes) override {
    c10::DataPtr data = c10::GetCPUAllocator()->allocate(std::max<std::size_t>(bytes, 1));
    auto* const block = new Block{this, std::move(data)};
    const std::scoped_lock lock(mutex_);
    void* const memory = block->data.get();
    blocks_[static_cast<const std::byte*>(memory)] = std::max<std::size_t>(bytes, 1);
    return {memory, block, &PinnedMemory::release, kHost};
  }
  void copy_data(void* to, const void* from, std::size_t bytes) const override {
    default_copy_data(to, from, bytes);
  }
  [[nodiscard]] bool holds(const void* memory) const {
    const std::scoped_lock lock(mutex_);
    const auto* const place = static_cast<const std::byte*>(memory);
    auto after = blocks_.upper_bound(place);
    if (after == blocks_.begin()) return false;
    --after;
    return place < after->first + after->second;
  }

 private:
  struct Block {
    PinnedMemory* owner;
    c10::DataPtr data;
  };
  static void release(void* context) {
    const std::unique_ptr<Block> block(static_cast<Block*>(context));
    const std::scoped_lock lock(block->owner->mutex_);
    block->owner->blocks_.erase(static_cast<const std::byte*>(block->data.get()));
  }

  mutable std::mutex mutex_;
  std::map<const std::byte*, std::size_t> blocks_;
};

PinnedMemory& pinned_memory() {
  static auto* const memory = new PinnedMemory;  // outlives LibTorch's own static tensors
  return *memory;
}

// Autograd orders a backward pass by numbers that each thread gives out alone; what a pass records
// on the device's thread (gradients of gradients) would be ordered, and its sums rounded, unlike on
// the CPU, which has one thread. LibTorch asks for the stream as it records and before it runs each
// node: there this thread's count goes on where the others' are.
void share_autograd_order() {
  static std::atomic<std::uint64_t> furthest{0};
  std::uint64_t others = furthest;
  const std::uint64_t mine = at::sequence_number::peek();
  while (others < mine && !furthest.compare_exchange_weak(others, mine)) {
  }
  while (at::sequence_number::peek() < others) at::sequence_number::get_and_increment();
}

/// Streams and events. What is enqueued has happened, so a recorded event has been reached.
class Guard final : public c10::impl::DeviceGuardImplInterface {
 public:
  c10::DeviceType type() const override { return kFakeDevice.type(); }
  Device exchangeDevice(Device device) const override {
    check_device(device);
    return kFakeDevice;
  }
  Device getDevice() const override { return kFakeDevice; }
  void setDevice(Device device) const override { check_device(device); }
  void uncheckedSetDevice(Device) const noexcept override {}
  DeviceIndex deviceCount() const noexcept override { return 1; }

  Stream getStream(Device device) const override {
    share_autograd_order();
    return stream(device, current_stream());
  }
  Stream getDefaultStream(Device device) const override { return stream(device, 0); }
  Stream getStreamFromGlobalPool(Device device, bool) const override {
    static std::atomic<StreamId> taken{0};
    return stream(device, 1 + taken++ % kStreams);
  }
  Stream getNewStream(Device device, int) const override {
    return getStreamFromGlobalPool(device, false);
  }
  Stream exchangeStream(Stream next) const override {
    check_stream(next);
    const Stream before = getStream(kFakeDevice);
    current_stream() = next.id();
    return before;
  }
  // FakeCuda's null stream is the calling thread, where LibTorch's work is done.
  void* getStreamNativeHandle(const Stream next) const override {
    check_stream(next);
    return nullptr;
  }
  bool queryStream(const Stream& next) const override { return check_stream(next), true; }
  void synchronizeStream(const Stream& next) const override {
    check_stream(next);
    forbid_in_recordings("synchronising a stream");
    ++torch_device_state().waits_of_host;
  }
  void synchronizeDevice(const DeviceIndex index) const override {
    check_index(index);
    forbid_in_recordings("synchronising the device");
    ++torch_device_state().waits_of_host;
  }

  void record(void** event, const Stream& on, const DeviceIndex index,
              const c10::EventFlag) const override {
    check_stream(on);
    check_index(index);
    if (*event == nullptr) *event = new Event;
    static_cast<Event*>(*event)->recorded = std::chrono::steady_clock::now();
  }
  void block(void* event, const Stream& next) const override {
    check_stream(next);
    static_cast<void>(recorded(event));
  }
  bool queryEvent(void* event) const override { return recorded(event), true; }
  void synchronizeEvent(void* event) const override {
    static_cast<void>(recorded(event));
    forbid_in_recordings("waiting for an event");
    ++torch_device_state().waits_of_host;
  }
  double elapsedTime(void* from, void* to, const DeviceIndex) const override {
    const auto between = recorded(to).recorded - recorded(from).recorded;
    return std::chrono::duration<double, std::milli>(between).count();
  }
  void destroyEvent(void* event, const DeviceIndex) const noexcept override {
    delete static_cast<Event*>(event);
  }

 private:
  struct Event {
    std::chrono::steady_clock::time_point recorded;
  };
  static const Event& recorded(void* event) {
    TORCH_CHECK(event != nullptr, "An event that nobody recorded was asked about or waited for.");
    return *static_cast<Event*>(event);
  }
  static StreamId& current_stream() {
    static thread_local StreamId id = 0;
    return id;
  }
  static Stream stream(Device device, StreamId id) {
    check_device(device);
    return Stream(Stream::UNSAFE, kFakeDevice, id);
  }
  static void check_stream(const Stream& stream) {
    TORCH_CHECK(stream.device() == kFakeDevice && stream.id() >= 0 && stream.id() <= kStreams,
                "Stream ", stream.id(), " of ", stream.device(), " is none of ", kFakeDevice,
                "'s: take it from getStreamFromGlobalPool().");
  }
};

struct Hooks final : at::PrivateUse1HooksInterface {
  explicit Hooks(FakeMemory& device_memory) : memory(device_memory) {}

  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  bool hasPrimaryContext(DeviceIndex) const override { return true; }
  DeviceIndex deviceCount() const override { return 1; }
  void setCurrentDevice(DeviceIndex index) const override { check_index(index); }
  DeviceIndex getCurrentDevice() const override { return 0; }
  DeviceIndex exchangeDevice(DeviceIndex index) const override { return check_index(index), 0; }
  DeviceIndex maybeExchangeDevice(DeviceIndex) const override { return 0; }
  bool isPinnedPtr(const void* data) const override { return pinned_memory().holds(data); }
  c10::Allocator* getPinnedMemoryAllocator() const override { return &pinned_memory(); }
  Device getDeviceFromPtr(void* data) const override {
    TORCH_CHECK(memory.holds(data, 1), "There is no memory of ", kFakeDevice, " at ", data,
                ": take it from the device's allocator or the communicator's.");
    return kFakeDevice;
  }
  const at::Generator& getDefaultGenerator(DeviceIndex) const override { return generator; }
  at::Generator getNewGenerator(DeviceIndex) const override {
    return at::detail::createCPUGenerator();
  }
  void resizePrivateUse1Bytes(const c10::Storage& storage, std::size_t bytes) const override {
    auto* const allocator = c10::GetAllocator(kFakeDevice.type());
    c10::DataPtr grown = allocator->allocate(bytes);
    const std::size_t kept = std::min(bytes, storage.nbytes());
    if (kept > 0) allocator->copy_data(grown.get(), storage.data(), kept);
    storage.unsafeGetStorageImpl()->set_data_ptr_noswap(std::move(grown));
    storage.unsafeGetStorageImpl()->set_nbytes(bytes);
  }

  FakeMemory& memory;
  at::Generator generator = at::detail::createCPUGenerator();
};

}  // namespace

TorchDeviceState& torch_device_state() {
  TorchDeviceState* const state = state_place();
  if (state == nullptr) throw std::logic_error("Call register_torch_device() first.");
  return *state;
}

bool is_pinned_memory(const void* memory) { return pinned_memory().holds(memory); }

void register_torch_device(std::shared_ptr<FakeMemory> memory) {
  auto state = std::make_unique<TorchDeviceState>();
  state->memory = std::move(memory);
  TorchDeviceState* none = nullptr;
  if (!state_place().compare_exchange_strong(none, state.get())) {
    throw std::logic_error("register_torch_device() was called twice; there is one device.");
  }
  FakeMemory& device = *state->memory;
  device.protect();
  // LibTorch keeps these until the process ends, after every destructor of ours.
  c10::SetAllocator(kFakeDevice.type(), new DeviceMemory(device));
  c10::impl::registerDeviceGuard(kFakeDevice.type(), new Guard);
  at::RegisterPrivateUse1HooksInterface(new Hooks(device));
  c10::register_privateuse1_backend("privateuseone");
  register_operators(*state);
  register_moving();
  register_autocast(*state);
  register_recording();
  static_cast<void>(state.release());
}

std::int64_t copies_to_host() { return torch_device_state().copies_to_host; }

std::int64_t waits_of_host() { return torch_device_state().waits_of_host; }

}  // namespace atelier::tests
