#include "launch/comm/self_test.h"

#include <gtest/gtest.h>

#include "launch/base/error.h"
#include "launch/comm/self_comm.h"
#include "launch/comm/thread_comm.h"

namespace atelier::comm {
namespace {

// Passes everything on, and spoils one element of large sums on one rank.
class Corrupting final : public Comm {
 public:
  Corrupting(Comm& inner, int victim) : inner_(inner), victim_(victim) {}
  [[nodiscard]] int rank() const override { return inner_.rank(); }
  [[nodiscard]] int world() const override { return inner_.world(); }
  [[nodiscard]] int local_rank() const override { return inner_.local_rank(); }
  [[nodiscard]] int hosts() const override { return inner_.hosts(); }
  [[nodiscard]] std::string_view backend() const override { return inner_.backend(); }
  [[nodiscard]] std::byte* allocate(std::size_t bytes) override { return inner_.allocate(bytes); }
  void all_reduce(Buffer data, ReduceOp op, const CallOptions& options) override {
    inner_.all_reduce(data, op, options);
    if (data.count > 4000 && rank() == victim_) static_cast<float*>(data.data)[4000] += 1;
  }
  void reduce_scatter(ConstBuffer in, Buffer out, ReduceOp op,
                      const CallOptions& options) override {
    inner_.reduce_scatter(in, out, op, options);
  }
  void all_gather(ConstBuffer in, Buffer out, const CallOptions& options) override {
    inner_.all_gather(in, out, options);
  }
  void broadcast(Buffer data, int root, const CallOptions& options) override {
    inner_.broadcast(data, root, options);
  }
  void barrier(const CallOptions& options) override { inner_.barrier(options); }
  void abort(std::string_view reason, int exit_code) override { inner_.abort(reason, exit_code); }
  [[nodiscard]] std::uint64_t sequence() const override { return inner_.sequence(); }
  [[nodiscard]] FlightRecorder& recorder() override { return inner_.recorder(); }
  void set_default_timeout(std::chrono::milliseconds timeout) override {
    inner_.set_default_timeout(timeout);
  }

 private:
  Comm& inner_;
  int victim_;
};

TEST(SelfTest, passes_and_measures) {
  for (const int world : {1, 8}) {
    run_ranks(world, [](Comm& comm) {
      const SelfTest result = self_test(comm);
      EXPECT_GT(result.latency_seconds, 0);
      EXPECT_GT(result.bytes_per_second, 0);
      EXPECT_EQ(result.large_bytes, std::size_t{4} << 20U);
    });
  }
}

TEST(SelfTest, a_wrong_sum_on_one_rank_is_told_on_all) {
  run_ranks(3, [](Comm& comm) {
    Corrupting broken(comm, 2);
    try {
      static_cast<void>(self_test(broken));
      FAIL() << "nothing was noticed on rank " << comm.rank();
    } catch (const DeviceError& error) {
      EXPECT_NE(std::string(error.what()).find("4099 known values came out wrong on rank 2"),
                std::string::npos)
          << error.what();
    }
  });
}

}  // namespace
}  // namespace atelier::comm
