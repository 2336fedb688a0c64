// NCCL over host memory that real processes (or threads) share: POSIX shared memory named by the
// unique id. Sums are taken in rank order, so that results equal those of the host backends bit for
// bit. What the real library punishes with a crash, a hang or garbage is told here: use before the
// initialisation is complete, calls that differ between ranks in order or size, memory that is no
// device's or was freed while in flight, calls after an abort. Thread safety: as NCCL.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "launch/comm/nccl.h"
#include "tests/support/fake_gpu/fake_cuda.h"
#include "tests/support/fake_gpu/faults.h"

namespace atelier::tests {

class FakeNccl final : public comm::NcclApi {
 public:
  FakeNccl(const Faults& faults, std::shared_ptr<FakeMemory> memory);
  ~FakeNccl() override;
  FakeNccl(const FakeNccl&) = delete;
  FakeNccl& operator=(const FakeNccl&) = delete;

  int get_version(int& version) const override;
  int header_version() const override { return 22809; }
  std::string error_text(int code) const override;
  std::string last_error(comm::NcclHandle comm) const override;
  int get_unique_id(comm::NcclId& id) override;
  int comm_init_rank(comm::NcclHandle& comm, int world, const comm::NcclId& id, int rank) override;
  int comm_get_async_error(comm::NcclHandle comm, int& state) override;
  int comm_finalize(comm::NcclHandle comm) override;
  int comm_destroy(comm::NcclHandle comm) override;
  int comm_abort(comm::NcclHandle comm) override;
  int all_reduce(const void* in, void* out, std::size_t count, comm::DType dtype, comm::ReduceOp op,
                 comm::NcclHandle comm, comm::CudaStream stream) override;
  int reduce_scatter(const void* in, void* out, std::size_t count, comm::DType dtype,
                     comm::ReduceOp op, comm::NcclHandle comm, comm::CudaStream stream) override;
  int all_gather(const void* in, void* out, std::size_t count, comm::DType dtype,
                 comm::NcclHandle comm, comm::CudaStream stream) override;
  int broadcast(const void* in, void* out, std::size_t count, comm::DType dtype, int root,
                comm::NcclHandle comm, comm::CudaStream stream) override;
  int mem_alloc(void*& memory, std::size_t bytes) override;
  int mem_free(void* memory) override;

 private:
  class Communicator;
  struct Call;
  int enqueue(comm::NcclHandle comm, const Call& call, comm::CudaStream stream);
  void run_now(comm::NcclHandle comm, const Call& call, comm::CudaStream stream);
  int start(Communicator& communicator, const Call& call, comm::CudaStream stream);
  int complain(std::string what, int code) const;

  Faults faults_;
  std::shared_ptr<FakeMemory> memory_;
  mutable std::mutex mutex_;
  mutable std::string complaint_;  ///< of calls that belong to no communicator
  std::vector<std::shared_ptr<Communicator>> communicators_;  ///< also those that have ended
};

/// Both fakes, on one made-up device.
[[nodiscard]] comm::DeviceApis make_fake_gpu(const Faults& faults);
[[nodiscard]] comm::DeviceApis make_fake_gpu(const Faults& faults,
                                             const std::shared_ptr<FakeMemory>& memory);

}  // namespace atelier::tests
