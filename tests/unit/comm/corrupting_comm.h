// A communicator that passes everything on and spoils one element of large sums on one rank, where
// the host reads them: at once in its own memory, by copy from a device. Thread safety: as Comm.
#pragma once

#include "launch/comm/comm.h"

namespace atelier::comm {

/// Lifetime: `inner` outlives it.
class CorruptingComm final : public Comm {
 public:
  CorruptingComm(Comm& inner, int victim) : inner_(inner), victim_(victim) {}
  [[nodiscard]] int rank() const override { return inner_.rank(); }
  [[nodiscard]] int world() const override { return inner_.world(); }
  [[nodiscard]] int local_rank() const override { return inner_.local_rank(); }
  [[nodiscard]] int hosts() const override { return inner_.hosts(); }
  [[nodiscard]] std::string_view backend() const override { return inner_.backend(); }
  [[nodiscard]] Place place() const override { return inner_.place(); }
  [[nodiscard]] bool host_can_touch() const override { return inner_.host_can_touch(); }
  [[nodiscard]] std::byte* allocate(std::size_t bytes) override { return inner_.allocate(bytes); }
  void all_reduce(Buffer data, ReduceOp op, const CallOptions& options) override {
    inner_.all_reduce(data, op, options);
    if (data.place != Place::kHost) {
      ++device_sums_;
    } else if (data.dtype == DType::kFloat32) {
      spoil(data);
    }
  }
  void synchronize() override { inner_.synchronize(); }
  void copy(ConstBuffer from, Buffer to, const CallOptions& options) override {
    inner_.copy(from, to, options);
    if (to.place == Place::kHost) spoil(to);
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
  [[nodiscard]] int device_sums() const { return device_sums_; }

 private:
  void spoil(Buffer data) const {
    if (data.count > 4000 && rank() == victim_) static_cast<float*>(data.data)[4000] += 1;
  }

  Comm& inner_;
  int victim_;
  int device_sums_ = 0;
};

}  // namespace atelier::comm
