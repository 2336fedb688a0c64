#include "tests/unit/comm/comm_contract.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <list>
#include <thread>
#include <vector>

#include "launch/base/error.h"
#include "launch/base/text.h"

namespace atelier::comm {

using std::chrono::milliseconds;
using Bytes = std::vector<std::byte>;

bool all_ranks(Comm& comm, bool mine) {
  std::int64_t verdict = mine ? 1 : 0;
  comm.all_reduce({&verdict, 1, DType::kInt64}, ReduceOp::kMin, {.label = "verdict"});
  return verdict == 1;
}

std::string comm_error(const std::function<void()>& call) {
  try {
    call();
  } catch (const CommError& error) {
    return error.what();
  }
  return "";
}

namespace {

constexpr std::array kDTypes{DType::kFloat32, DType::kFloat64, DType::kBFloat16, DType::kInt64,
                             DType::kUInt8};
constexpr std::array kOps{ReduceOp::kSum, ReduceOp::kMin, ReduceOp::kMax};
// The longest: three chunks of float32, so that each of the two slots is used again.
constexpr std::array<std::size_t, 7> kSizes{0, 1, 7, 63, 1000, 5000, (std::size_t{1} << 19) + 3};
constexpr std::size_t kLongest = kSizes.back();

std::uint64_t mix(std::uint64_t key) {  // splitmix64
  key = (key + 0x9e3779b97f4a7c15U) * 0xbf58476d1ce4e5b9U;
  key = (key ^ (key >> 27)) * 0x94d049bb133111ebU;
  return key ^ (key >> 31);
}

double element(std::uint64_t key) {  // magnitudes far apart, so that the order of a sum shows
  const std::uint64_t bits = mix(key);
  const double fraction = static_cast<double>(bits >> 12) * 0x1p-52 - 0.5;
  return fraction * static_cast<double>(1U << bits % 24);
}

float widen(std::uint16_t value) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(value) << 16);
}

std::uint16_t narrow(float value) {  // by the definition: the nearer neighbour, ties to even
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const auto low = static_cast<std::uint16_t>(bits >> 16);
  const std::uint32_t rest = bits & 0xffffU;
  const bool up = rest > 0x8000U || (rest == 0x8000U && low % 2 == 1);
  return static_cast<std::uint16_t>(low + (up ? 1 : 0));
}

template <typename T, typename Make>
void fill(Bytes& bytes, Make make) {
  for (std::size_t i = 0; i * sizeof(T) < bytes.size(); ++i) {
    const T value = make(i);
    std::memcpy(&bytes[i * sizeof value], &value, sizeof value);
  }
}

/// Input of `rank`: `count` elements from number `first` on.
Bytes make_input(int rank, std::size_t count, DType dtype, std::size_t first = 0) {
  Bytes bytes(count * size_of(dtype));
  const auto key = [&](std::size_t i) {
    return static_cast<std::uint64_t>(rank) << 40 | (first + i);
  };
  switch (dtype) {
    case DType::kFloat32:
      fill<float>(bytes, [&](std::size_t i) { return static_cast<float>(element(key(i))); });
      break;
    case DType::kFloat64:
      fill<double>(bytes, [&](std::size_t i) { return element(key(i)); });
      break;
    case DType::kBFloat16:
      fill<std::uint16_t>(
          bytes, [&](std::size_t i) { return narrow(static_cast<float>(element(key(i)))); });
      break;
    case DType::kInt64:
      fill<std::uint64_t>(bytes, [&](std::size_t i) { return mix(key(i)); });
      break;
    case DType::kUInt8:
      fill<std::uint8_t>(bytes,
                         [&](std::size_t i) { return static_cast<std::uint8_t>(mix(key(i))); });
      break;
  }
  return bytes;
}

template <typename T>
T at(const Bytes& bytes, std::size_t index) {
  T value;
  std::memcpy(&value, &bytes[index * sizeof value], sizeof value);
  return value;
}

/// The slow, obviously right reduction: element by element, in rank order.
template <typename T, typename In, typename Back>
Bytes reference_of(const std::vector<Bytes>& inputs, ReduceOp op, In in, Back back) {
  Bytes out(inputs[0].size());
  fill<T>(out, [&](std::size_t i) {
    auto value = in(at<T>(inputs[0], i));
    for (std::size_t rank = 1; rank < inputs.size(); ++rank) {
      const auto next = in(at<T>(inputs[rank], i));
      value = op == ReduceOp::kSum   ? static_cast<decltype(value)>(value + next)
              : op == ReduceOp::kMin ? std::min(value, next)
                                     : std::max(value, next);
    }
    return back(value);
  });
  return out;
}

Bytes reference(const std::vector<Bytes>& inputs, DType dtype, ReduceOp op) {
  const auto same = [](auto value) { return value; };
  switch (dtype) {
    case DType::kFloat32:
      return reference_of<float>(inputs, op, same, same);
    case DType::kFloat64:
      return reference_of<double>(inputs, op, same, same);
    case DType::kBFloat16:
      return reference_of<std::uint16_t>(inputs, op, widen, narrow);
    case DType::kInt64:
      return op == ReduceOp::kSum ? reference_of<std::uint64_t>(inputs, op, same, same)
                                  : reference_of<std::int64_t>(inputs, op, same, same);
    case DType::kUInt8:
      return reference_of<std::uint8_t>(inputs, op, same, same);
  }
  return {};
}

std::vector<Bytes> all_inputs(int world, std::size_t count, DType dtype, std::size_t first = 0) {
  std::vector<Bytes> inputs;
  for (int rank = 0; rank < world; ++rank) {
    inputs.push_back(make_input(rank, count, dtype, first));
  }
  return inputs;
}

/// Bytes where the communicator's buffers lie: on the device, or the given ones themselves.
class Placed {
 public:
  Placed(DeviceMemory* device, Bytes& bytes) : device_(device), bytes_(bytes) {
    if (device_ == nullptr) return;
    memory_ = device_->allocate(std::max<std::size_t>(bytes.size(), 1));
    device_->write(memory_, bytes.data(), bytes.size());
  }
  ~Placed() {
    if (device_ != nullptr) device_->free(memory_);
  }
  Placed(const Placed&) = delete;
  Placed& operator=(const Placed&) = delete;
  [[nodiscard]] Buffer buffer(std::size_t count, DType dtype) {
    return {device_ != nullptr ? memory_ : bytes_.data(), count, dtype,
            device_ != nullptr ? Place::kCuda : Place::kHost};
  }
  /// Brings what calls have left there into the bytes.
  void take(Comm& comm) {
    comm.synchronize();
    if (device_ == nullptr) return;
    device_->read(bytes_.data(), memory_, bytes_.size());
  }

 private:
  DeviceMemory* device_;
  Bytes& bytes_;
  void* memory_ = nullptr;
};

/// To and from memory of Comm::allocate, which lies on the device where there is one.
void put(DeviceMemory* device, std::byte* to, const Bytes& bytes) {
  if (device != nullptr) return device->write(to, bytes.data(), bytes.size());
  std::copy(bytes.begin(), bytes.end(), to);
}

Bytes get(DeviceMemory* device, const std::byte* from, std::size_t count) {
  Bytes bytes(count);
  if (device != nullptr) {
    device->read(bytes.data(), from, count);
  } else {
    std::copy_n(from, count, bytes.begin());
  }
  return bytes;
}

Bytes bytes_of(std::size_t count, std::int64_t value) {
  Bytes bytes(count * sizeof value);
  fill<std::int64_t>(bytes, [&](std::size_t) { return value; });
  return bytes;
}

void all_reduce(Comm& comm, DeviceMemory* device, Bytes& data, DType dtype, ReduceOp op,
                const CallOptions& options = {}) {
  Placed placed(device, data);
  comm.all_reduce(placed.buffer(data.size() / size_of(dtype), dtype), op, options);
  placed.take(comm);
}

/// One value, likewise.
template <typename T>
T reduced(Comm& comm, DeviceMemory* device, T value, DType dtype, ReduceOp op,
          const CallOptions& options = {}) {
  Bytes bytes(sizeof value);
  std::memcpy(bytes.data(), &value, sizeof value);
  all_reduce(comm, device, bytes, dtype, op, options);
  std::memcpy(&value, bytes.data(), sizeof value);
  return value;
}

/// Calls `check(dtype, count)` for every dtype and size; the longest with float32 and bfloat16
/// only.
void for_each_shape(const std::function<void(DType, std::size_t)>& check) {
  for (const DType dtype : kDTypes) {
    for (const std::size_t count : kSizes) {
      if (count != kLongest || dtype == DType::kFloat32) {
        check(dtype, count);
      }
    }
  }
}

TEST_P(CommContract, all_reduce_equals_the_reference_bit_for_bit) {
  run([this](Comm& comm, Comm&) {
    for_each_shape([&](DType dtype, std::size_t count) {
      const std::vector<Bytes> inputs = all_inputs(comm.world(), count, dtype);
      for (const ReduceOp op : kOps) {
        if (count == kLongest && op != ReduceOp::kSum) {
          continue;
        }
        Bytes data = inputs[static_cast<std::size_t>(comm.rank())];

        all_reduce(comm, device(), data, dtype, op, {.label = "contract"});

        EXPECT_TRUE(data == reference(inputs, dtype, op))
            << name_of(dtype) << " x " << count << ", op " << static_cast<int>(op);
      }
    });
  });
}

TEST_P(CommContract, all_reduce_in_allocated_memory_equals_the_reference_too) {
  run([this](Comm& comm, Comm&) {
    const std::size_t bytes = kLongest * sizeof(float) + 256;
    std::byte* const memory = comm.allocate(bytes);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(memory) % 128, 0U);
    EXPECT_TRUE(get(device(), memory, bytes) == Bytes(bytes));
    for_each_shape([&](DType dtype, std::size_t count) {
      const std::vector<Bytes> inputs = all_inputs(comm.world(), count, dtype);
      const Bytes& mine = inputs[static_cast<std::size_t>(comm.rank())];
      for (const std::size_t offset : {std::size_t{0}, std::size_t{192}}) {
        put(device(), memory + offset, mine);

        comm.all_reduce({memory + offset, count, dtype, comm.place()}, ReduceOp::kSum);
        comm.synchronize();

        const Bytes expected = reference(inputs, dtype, ReduceOp::kSum);
        EXPECT_TRUE(get(device(), memory + offset, expected.size()) == expected)
            << name_of(dtype) << " x " << count << " at " << offset;
      }
    });
  });
}

TEST_P(CommContract, allocated_memory_may_change_as_soon_as_a_call_returns) {
  run([this](Comm& comm, Comm&) {
    constexpr std::size_t kCount = 100'000;
    std::byte* const data = comm.allocate(kCount * sizeof(std::int64_t));
    const std::int64_t world = comm.world();
    bool whole = true;
    for (std::int64_t step = 0; step < 50; ++step) {
      put(device(), data, bytes_of(kCount, step + comm.rank()));
      comm.all_reduce({data, kCount, DType::kInt64, comm.place()}, ReduceOp::kSum);
      comm.synchronize();
      const std::int64_t sum = world * step + world * (world - 1) / 2;
      whole = whole && get(device(), data, kCount * sizeof sum) == bytes_of(kCount, sum);
    }
    EXPECT_TRUE(whole);
  });
}

TEST_P(CommContract, what_is_started_gives_the_same_bits_once_it_is_waited_for) {
  run([this](Comm& comm, Comm&) {
    constexpr std::array<std::size_t, 4> kCounts{5000, kLongest, 1, 70'000};
    std::byte* const memory = comm.allocate(kCounts[3] * sizeof(float));
    for (int round = 0; round < 3; ++round) {
      std::vector<std::vector<Bytes>> inputs;
      std::vector<Bytes> data;
      for (const std::size_t count : kCounts) {
        inputs.push_back(all_inputs(comm.world(), count, DType::kFloat32));
        data.push_back(inputs.back()[static_cast<std::size_t>(comm.rank())]);
      }
      put(device(), memory, data[3]);
      std::list<Placed> placed;
      for (std::size_t i = 0; i < 3; ++i) placed.emplace_back(device(), data[i]);
      const std::uint64_t before = comm.sequence();
      for (std::size_t i = 0; Placed & each : placed) {
        comm.start_all_reduce(each.buffer(kCounts.at(i++), DType::kFloat32), ReduceOp::kSum);
      }
      comm.start_all_reduce({memory, kCounts[3], DType::kFloat32, comm.place()}, ReduceOp::kSum);
      EXPECT_EQ(comm.sequence() - before, kCounts.size());
      if (round == 1) {  // any call waits, as finish_started does
        const std::int64_t rank = comm.rank();
        EXPECT_EQ(reduced(comm, device(), rank, DType::kInt64, ReduceOp::kSum),
                  comm.world() * (comm.world() - 1) / 2);
      } else {
        comm.finish_started();
      }
      for (Placed& each : placed) each.take(comm);
      data[3] = get(device(), memory, data[3].size());
      for (std::size_t i = 0; i < kCounts.size(); ++i) {
        EXPECT_TRUE(data[i] == reference(inputs[i], DType::kFloat32, ReduceOp::kSum)) << i;
      }
    }
    comm.finish_started();  // nothing is left
  });
}

TEST_P(CommContract, what_goes_wrong_in_a_started_call_is_told_to_who_waits) {
  run_and_break([this](Comm& comm, Comm& agree) {
    if (comm.world() > 1) {
      const bool odd = comm.rank() == comm.world() - 1;
      Bytes data(8 * sizeof(float));
      Placed placed(device(), data);
      const std::string error = comm_error([&] {
        comm.start_all_reduce(placed.buffer(odd ? 7 : 8, DType::kFloat32), ReduceOp::kSum);
        comm.start_all_reduce(placed.buffer(8, DType::kFloat32), ReduceOp::kSum);
        comm.synchronize();
      });
      if (ranks().compares_calls()) {
        EXPECT_NE(error.find(text("rank ", comm.world() - 1)), std::string::npos) << error;
        EXPECT_NE(error.find("float32 x 7"), std::string::npos) << error;
        EXPECT_NE(comm_error([&] { comm.synchronize(), comm.barrier(); }), "") << "it went on";
      }
    }
    agree.barrier();
  });
}

TEST_P(CommContract, a_communicator_may_go_while_something_started_runs) {
  run_and_break([](Comm& comm, Comm& agree) {
    // The last rank never comes: the others' calls end by their deadline, in the destructor.
    std::byte* const data = comm.allocate(8 * sizeof(float));
    if (comm.rank() != comm.world() - 1) {
      for (int i = 0; i < 2; ++i) {
        comm.start_all_reduce({data, 8, DType::kFloat32, comm.place()}, ReduceOp::kSum,
                              {.timeout = milliseconds(100)});
      }
    }
    agree.barrier();
  });
}

TEST_P(CommContract, ranks_that_pass_different_places_are_named) {
  if (device() != nullptr) return;  // on devices they may, see below
  run_and_break([](Comm& comm, Comm& agree) {
    std::byte* const memory = comm.allocate(1024);
    const bool odd = comm.world() > 1 && comm.rank() == comm.world() - 1;
    const std::string error = comm_error([&] {
      comm.all_reduce({memory + (odd ? 256 : 0), 8, DType::kFloat32}, ReduceOp::kSum);
    });
    if (comm.world() > 1) {
      EXPECT_NE(error.find("region 1 + 256"), std::string::npos) << error;
      EXPECT_NE(error.find(text("rank ", comm.world() - 1)), std::string::npos) << error;
    }
    agree.barrier();
  });
}

TEST_P(CommContract, on_devices_ranks_may_pass_different_places) {
  if (device() == nullptr) return;  // on hosts they may not, see above
  run([this](Comm& comm, Comm&) {
    std::byte* const place = comm.allocate(1024) + 64 * comm.rank();
    put(device(), place, bytes_of(1, comm.rank()));

    comm.all_reduce({place, 1, DType::kInt64, Place::kCuda}, ReduceOp::kSum);
    comm.synchronize();

    EXPECT_EQ(at<std::int64_t>(get(device(), place, sizeof(std::int64_t)), 0),
              comm.world() * (comm.world() - 1) / 2);
  });
}

TEST_P(CommContract, allocations_of_different_sizes_are_named) {
  run_and_break([](Comm& comm, Comm& agree) {
    const bool odd = comm.world() > 1 && comm.rank() == comm.world() - 1;
    const std::string error =
        comm_error([&] { static_cast<void>(comm.allocate(odd ? 2048 : 1024)); });
    if (comm.world() > 1) {
      EXPECT_NE(error.find("allocate(uint8 x 2048)"), std::string::npos) << error;
    }
    agree.barrier();
  });
}

TEST_P(CommContract, reduce_scatter_leaves_the_part_of_each_rank) {
  run([this](Comm& comm, Comm&) {
    const auto world = static_cast<std::size_t>(comm.world());
    const auto rank = static_cast<std::size_t>(comm.rank());
    for_each_shape([&](DType dtype, std::size_t count) {
      Bytes mine = make_input(comm.rank(), count * world, dtype);
      Bytes out(count * size_of(dtype));
      Placed placed_in(device(), mine);
      Placed placed_out(device(), out);

      comm.reduce_scatter(placed_in.buffer(count * world, dtype), placed_out.buffer(count, dtype),
                          ReduceOp::kSum);

      placed_out.take(comm);

      const std::vector<Bytes> parts = all_inputs(comm.world(), count, dtype, rank * count);
      EXPECT_TRUE(out == reference(parts, dtype, ReduceOp::kSum))
          << name_of(dtype) << " x " << count;
    });
  });
}

TEST_P(CommContract, all_gather_concatenates_in_rank_order) {
  run([this](Comm& comm, Comm&) {
    for_each_shape([&](DType dtype, std::size_t count) {
      const std::vector<Bytes> inputs = all_inputs(comm.world(), count, dtype);
      Bytes expected;
      for (const Bytes& input : inputs) {
        expected.insert(expected.end(), input.begin(), input.end());
      }
      Bytes out(expected.size());
      Bytes mine = inputs[static_cast<std::size_t>(comm.rank())];
      Placed placed_in(device(), mine);
      Placed placed_out(device(), out);

      comm.all_gather(placed_in.buffer(count, dtype),
                      placed_out.buffer(count * inputs.size(), dtype));

      placed_out.take(comm);

      EXPECT_TRUE(out == expected) << name_of(dtype) << " x " << count;
    });
  });
}

TEST_P(CommContract, broadcast_copies_from_every_root) {
  run([this](Comm& comm, Comm&) {
    for_each_shape([&](DType dtype, std::size_t count) {
      for (int root = count == kLongest ? comm.world() - 1 : 0; root < comm.world(); ++root) {
        Bytes data = make_input(comm.rank(), count, dtype);

        Placed placed(device(), data);

        comm.broadcast(placed.buffer(count, dtype), root);

        placed.take(comm);
        EXPECT_TRUE(data == make_input(root, count, dtype)) << name_of(dtype) << " x " << count;
      }
    });
  });
}

TEST_P(CommContract, copies_reach_allocated_memory_and_come_after_the_calls_so_far) {
  run([](Comm& comm, Comm&) {
    for (const std::size_t count : {std::size_t{0}, std::size_t{1}, std::size_t{1000}, kLongest}) {
      const std::size_t bytes = count * sizeof(float);
      const Buffer there{comm.allocate(bytes + 1), count, DType::kFloat32, comm.place()};
      const std::vector<Bytes> inputs = all_inputs(comm.world(), count, DType::kFloat32);
      const Bytes& mine = inputs[static_cast<std::size_t>(comm.rank())];
      Bytes back(bytes);
      const std::uint64_t before = comm.sequence();
      comm.copy({mine.data(), count, DType::kFloat32}, there);
      comm.copy(there, {back.data(), count, DType::kFloat32});
      EXPECT_TRUE(back == mine) << count;
      EXPECT_EQ(comm.sequence(), before) << "a copy is no call";

      comm.start_all_reduce(there, ReduceOp::kSum);
      comm.copy(there, {back.data(), count, DType::kFloat32}, {.label = "sums"});

      EXPECT_TRUE(back == reference(inputs, DType::kFloat32, ReduceOp::kSum)) << count;
    }
  });
}

TEST_P(CommContract, copies_between_unlike_buffers_are_refused) {
  run([](Comm& comm, Comm&) {
    std::array<float, 2> memory{};
    const Buffer one{memory.data(), 1, DType::kFloat32};

    EXPECT_THROW(comm.copy(one, {memory.data() + 1, 0, DType::kFloat32}), InternalError);
    EXPECT_THROW(comm.copy(one, {memory.data() + 1, 1, DType::kUInt8}), InternalError);
    EXPECT_THROW(comm.copy(one, {nullptr, 1, DType::kFloat32}), InternalError);
  });
}

TEST_P(CommContract, min_and_max_keep_a_nan) {
  run([this](Comm& comm, Comm&) {
    for (const ReduceOp op : {ReduceOp::kMin, ReduceOp::kMax}) {
      for (int sick = 0; sick < comm.world(); ++sick) {
        const float value = comm.rank() == sick ? std::numeric_limits<float>::quiet_NaN() : 1.0F;

        DeviceMemory* const where = ranks().keeps_nan() ? device() : nullptr;
        EXPECT_TRUE(std::isnan(reduced(comm, where, value, DType::kFloat32, op)));
      }
    }
  });
}

TEST_P(CommContract, calls_follow_each_other_without_mixing) {
  run([this](Comm& comm, Comm&) {
    for (int step = 0; step < 300; ++step) {
      const std::int64_t mine = step + comm.rank();
      ASSERT_EQ(reduced(comm, device(), mine, DType::kInt64, ReduceOp::kSum),
                comm.world() * step + comm.world() * (comm.world() - 1) / 2);
      std::int64_t from_last = step * comm.rank();
      comm.broadcast({&from_last, 1, DType::kInt64}, comm.world() - 1);
      ASSERT_EQ(from_last, step * (comm.world() - 1));
      if (step % 7 == 0) {
        comm.barrier();
      }
    }
  });
}

TEST_P(CommContract, a_slow_reader_is_never_overtaken) {
  run([](Comm& comm, Comm&) {
    constexpr std::size_t kChunk = std::size_t{1} << 18;  // 1 MiB
    constexpr std::size_t kCount = 4 * kChunk;
    const auto value = [](int step, std::size_t i) {
      return static_cast<float>(step * 4) + static_cast<float>(i / kChunk);
    };
    bool whole = true;
    for (int step = 0; step < 5; ++step) {
      // Memory never touched before: each page faults, so that reading is slower than writing.
      const auto data = std::make_unique_for_overwrite<float[]>(kCount);
      for (std::size_t i = 0; i < kCount && comm.rank() == 0; ++i) {
        data[i] = value(step, i);
      }
      comm.broadcast({data.get(), kCount, DType::kFloat32}, 0);
      for (std::size_t i = 0; i < kCount; ++i) {
        whole = whole && data[i] == value(step, i);
      }
    }
    EXPECT_TRUE(whole);
  });
}

TEST_P(CommContract, sequence_counts_entered_calls_only) {
  run([](Comm& comm, Comm&) {
    float value = 0;
    const std::uint64_t start = comm.sequence();  // some backends have met before
    comm.barrier();
    comm.all_reduce({&value, 1, DType::kFloat32}, ReduceOp::kSum);
    EXPECT_EQ(comm.sequence(), start + 2);

    EXPECT_THROW(comm.all_reduce({nullptr, 1, DType::kFloat32, comm.place()}, ReduceOp::kSum),
                 InternalError);
    EXPECT_THROW(comm.broadcast({&value, 1, DType::kFloat32}, comm.world()), InternalError);
    EXPECT_THROW(comm.all_gather({&value, 1, DType::kFloat32}, {&value, 9, DType::kFloat32}),
                 InternalError);
    if (comm.place() == Place::kHost) {
      EXPECT_THROW(comm.all_reduce({&value, 1, DType::kFloat32, Place::kCuda}, ReduceOp::kSum),
                   InternalError);
    }
    EXPECT_EQ(comm.sequence(), start + 2);
    comm.barrier();
  });
}

TEST_P(CommContract, ranks_are_numbered_and_counted) {
  run([this](Comm& comm, Comm&) {
    EXPECT_EQ(comm.world(), world());
    EXPECT_GE(comm.local_rank(), 0);
    EXPECT_LE(comm.local_rank(), comm.rank());
    EXPECT_GE(comm.hosts(), 1);
    std::int64_t rank = comm.rank();
    std::vector<std::int64_t> ranks(static_cast<std::size_t>(comm.world()));
    comm.all_gather({&rank, 1, DType::kInt64}, {ranks.data(), ranks.size(), DType::kInt64});
    for (std::size_t i = 0; i < ranks.size(); ++i) {
      EXPECT_EQ(ranks[i], static_cast<std::int64_t>(i));
    }
  });
}

TEST_P(CommContract, a_missing_rank_is_named_by_the_deadline) {
  run_and_break([this](Comm& comm, Comm& agree) {
    const int late = comm.world() - 1;
    const auto start = std::chrono::steady_clock::now();
    std::string error;
    comm.barrier();
    if (comm.world() > 1 && comm.rank() != late) {
      const CallOptions options{.timeout = milliseconds(150), .label = "gradients of G"};
      const std::uint64_t before = comm.sequence();
      error = comm_error([&] {
        static_cast<void>(reduced(comm, device(), 1.0F, DType::kFloat32, ReduceOp::kSum, options));
      });
      const auto waited = std::chrono::steady_clock::now() - start;
      EXPECT_GE(waited, milliseconds(150));
      EXPECT_LT(waited, milliseconds(5000));
      EXPECT_NE(error.find(text("rank ", late)), std::string::npos) << error;
      const std::string call =
          text("all_reduce(sum, float32 x 1, \"gradients of G\"), call ", before + 1);
      EXPECT_NE(error.find(call), std::string::npos) << error;
      EXPECT_NE(comm_error([&] { comm.synchronize(), comm.barrier(); }), "") << "it went on";
    }
    agree.barrier();
  });
}

TEST_P(CommContract, a_late_rank_is_waited_for) {
  run([](Comm& comm, Comm&) {
    if (comm.rank() == 0) {
      std::this_thread::sleep_for(milliseconds(30));
    }
    comm.barrier({.timeout = milliseconds(20'000)});
  });
}

TEST_P(CommContract, different_calls_are_named_on_every_rank) {
  struct Case {
    std::string name;
    std::function<void(Comm&, Placed& data, bool odd)> call;
  };
  const std::vector<Case> cases{
      {"float32 x 7",
       [](Comm& comm, Placed& data, bool odd) {
         comm.all_reduce(data.buffer(odd ? 7 : 8, DType::kFloat32), ReduceOp::kSum);
       }},
      {"bfloat16 x 8",
       [](Comm& comm, Placed& data, bool odd) {
         comm.all_reduce(data.buffer(8, odd ? DType::kBFloat16 : DType::kFloat64), ReduceOp::kSum);
       }},
      {"all_reduce(max",
       [](Comm& comm, Placed& data, bool odd) {
         comm.all_reduce(data.buffer(8, DType::kFloat32), odd ? ReduceOp::kMax : ReduceOp::kMin);
       }},
      {"barrier", [](Comm& comm, Placed& data, bool odd) {
         if (odd) {
           comm.barrier();
         } else {
           comm.broadcast(data.buffer(8, DType::kFloat32), 0);
         }
       }}};
  for (const Case& a_case : cases) {
    run_and_break([&](Comm& comm, Comm& agree) {
      if (comm.world() == 1) {
        return;
      }
      comm.set_default_timeout(milliseconds(device() != nullptr ? 500 : 15'000));
      const bool odd = comm.rank() == comm.world() - 1;
      Bytes bytes(8 * sizeof(double));
      Placed data(device(), bytes);
      const auto start = std::chrono::steady_clock::now();
      const std::string error = comm_error([&] { a_case.call(comm, data, odd), data.take(comm); });
      EXPECT_LT(std::chrono::steady_clock::now() - start, milliseconds(20'000)) << a_case.name;
      if (!ranks().compares_calls()) return agree.barrier();
      EXPECT_NE(error.find(text("rank ", comm.world() - 1)), std::string::npos) << error;
      EXPECT_NE(error.find(a_case.name), std::string::npos) << error;
      agree.barrier();
    });
  }
}

TEST_P(CommContract, no_deadline_in_the_past) {
  run([](Comm& comm, Comm&) {
    EXPECT_THROW(comm.set_default_timeout(milliseconds(0)), InternalError);
    comm.set_default_timeout(milliseconds(30'000));
    comm.barrier();
  });
}

TEST_P(CommContract, verdicts_are_reached_together) {
  run([](Comm& comm, Comm&) {
    EXPECT_TRUE(all_ranks(comm, true));
    EXPECT_FALSE(all_ranks(comm, comm.rank() != 0));
  });
}

}  // namespace
}  // namespace atelier::comm
